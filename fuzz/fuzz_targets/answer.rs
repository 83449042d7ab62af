//! What a model said: the thought is told from the answer, and the JSON is found in it.

#![no_main]

mod answers;
mod seeds;

libfuzzer_sys::fuzz_target!(
    init: seeds::write("answer", answers::said().map(String::into_bytes)),
    |data: &[u8]| work::prompt::fuzzing::answer(data)
);
