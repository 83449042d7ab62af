//! A configuration of AI-DataFlux's: its models are read, and a pipeline is made of it.

#![no_main]

mod seeds;

libfuzzer_sys::fuzz_target!(
    init: seeds::write("dataflux", cli::fuzzing::dataflux_seeds()),
    |data: &[u8]| cli::fuzzing::dataflux(data)
);
