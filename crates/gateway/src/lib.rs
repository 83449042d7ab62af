//! The crate `gateway`.
