//! The crate `testkit`.
