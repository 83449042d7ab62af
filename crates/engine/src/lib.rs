//! The crate `engine`.
