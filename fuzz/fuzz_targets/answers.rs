//! The shapes of answers that the tests know.

use serde_json::Value;

const ANSWERS: &str = include_str!("../../crates/work/src/prompt/tests/corpus/answers.jsonl");

/// Returns what the model said in each of them.
pub fn said() -> impl Iterator<Item = String> {
    ANSWERS.lines().map(|line| {
        let shape: Value = serde_json::from_str(line).expect("the corpus is JSON");
        shape["raw"].as_str().expect("every shape has a text").to_owned()
    })
}
