//! A CSV file: its dialect is found out, its rows are read, and answers are put into it.

#![no_main]

mod seeds;

libfuzzer_sys::fuzz_target!(
    init: seeds::write("csv", connect::fuzzing::csv_seeds()),
    |data: &[u8]| connect::fuzzing::csv(data)
);
