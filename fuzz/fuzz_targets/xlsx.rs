//! A workbook, or one part of a workbook that is otherwise sound: rows are read, and answers are put into them.

#![no_main]

mod seeds;

use connect::fuzzing::{package, sheet, sheet_seeds, workbook};

libfuzzer_sys::fuzz_target!(
    init: seeds::write("xlsx", sheet_seeds().into_iter().flat_map(|part| [package(&part), part])),
    |data: &[u8]| if data.starts_with(b"PK") { workbook(data) } else { sheet(data) }
);
