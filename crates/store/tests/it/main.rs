//! The journal on the disk that crashes, and on the real one.

mod crash;
mod damage;
mod resume;
mod story;
