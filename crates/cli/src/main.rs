//! The one binary. All that it does is in the library beside it, which the fuzzer can call too.

use std::process::ExitCode;

// Most of what a record needs is allocated on one thread and freed on another (the journal's, the sink's), which the
// system's allocator answers with locks and consolidation. This one costs a few seconds of compile time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
