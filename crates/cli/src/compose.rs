//! From configuration to things that run.

pub(crate) mod environment;
pub(crate) mod identity;
pub(crate) mod looking;
pub(crate) mod models;
pub(crate) mod simulated;
pub(crate) mod step;
pub(crate) mod work;
