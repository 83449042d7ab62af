//! What tests need and products must not ship: the disk that crashes, fakes with scripted faults, the five kinds of
//! work in small (the suite of the `Handler` port). Suites of the other ports come with their second implementations.

mod clock;
mod crash_disk;
mod draw;
pub mod five_kinds;
mod memory;
mod scripted;
pub mod servers;
mod terminal;

pub use clock::SteppingClock;
pub use crash_disk::CrashDisk;
pub use draw::Draw;
pub use memory::{MemoryJournal, MemoryRequests, MemorySink, MemorySource, Shown};
pub use scripted::{Reply, ScriptedHandler, answer};
pub use terminal::Terminal;
