//! What the fuzzer starts from: the shapes of answers that the tests know.

use std::{fs, path::Path};

use serde_json::Value;

const ANSWERS: &str = include_str!("../../crates/work/src/prompt/tests/corpus/answers.jsonl");

/// Writes each answer, as `input` makes it, into the folder that the fuzzer of `target` is about to read.
pub fn write(target: &str, input: impl Fn(&str) -> Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the folder of inputs can be written");
    for (number, line) in ANSWERS.lines().enumerate() {
        let shape: Value = serde_json::from_str(line).expect("the corpus is JSON");
        let said = shape["raw"].as_str().expect("every shape has a text");
        fs::write(folder.join(format!("seed-{number}")), input(said)).expect("an input can be written");
    }
}
