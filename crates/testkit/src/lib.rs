//! What tests need and products must not ship: the disk that crashes, fakes with scripted faults, and one conformance
//! suite per port.

mod crash_disk;
mod draw;

pub use crash_disk::CrashDisk;
pub use draw::Draw;
