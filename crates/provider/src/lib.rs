//! The crate `provider`.
