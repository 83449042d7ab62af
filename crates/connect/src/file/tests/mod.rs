//! What holds below tables.

mod packed;
mod parts;
mod standard;
mod text;

pub(crate) use packed::{gzip, zstd};
