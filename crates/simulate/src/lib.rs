//! The crate `simulate`.
