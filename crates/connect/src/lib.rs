//! The crate `connect`.
