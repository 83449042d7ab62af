//! The crate `work`.
