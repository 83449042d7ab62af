//! What the worst answers cost: a multiple of their length, counted in bytes that are looked at.

use std::time::{Duration, Instant};

use crate::prompt::extract::{Wanted, said, work_on};

const MEGABYTE: usize = 1 << 20;

/// Openings that get the whole megabyte; the others a quarter.
const NAMED: [&str; 4] = ["{", "[", "`", "<think>"];

#[test]
fn a_megabyte_of_openings_costs_a_multiple_of_its_length() {
    let long = "x".repeat(1000);
    let spaced = format!("{{\"a\":1}}{}\n", " ".repeat(50));
    for unit in [
        "{",
        "[",
        "[{",
        "{\"",
        "{\"a\":",
        "{\"a\":\"",
        "{\"a\":[",
        "[\"",
        "[\"a",
        "{'",
        "{'a':'",
        "{a:",
        "{/*",
        "{//\n",
        "[1,",
        "\"",
        "`",
        "```",
        "```json\n{",
        "<think>",
        "</think>",
        "<think></thinking>",
        "x<think></think>",
        "【思考】",
        "<answer>\n",
        "<|channel|>",
        "<|channel|>final<|message|>",
        "<|end|><|start|>",
        "analysis",
        "{\\\"",
        "{\\\"a\\\":\\\"",
        "{\\\\\\\"",
        "\\",
        "{\"a\":\"x\"y",
        "{\"a\":\"x\", \"",
        "{“",
        "{“a”：“",
        "{\u{a0}",
        "\u{feff}",
        "{\"\"\"",
        "{\"a\":\"\"\"",
        "{}",
        "[]",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{\"a\":1 ",
        "{\"a\":{\"b\":x}}",
        " ",
        "\n",
        "{x",
        "H",
        "Here is my thought process:",
        &long,
        &spaced,
    ] {
        let length = if NAMED.contains(&unit) { MEGABYTE } else { MEGABYTE / 4 };
        let text = unit.repeat(length / unit.len());
        let before = Instant::now();
        for wanted in [Wanted::Object, Wanted::Array] {
            let work = work_on(&text, wanted, &["a", "b"]);
            assert!(work <= 10 * text.len() + 128 * 1024, "{unit:?} costs {} bytes a byte", work / text.len());
        }
        said(&text);
        let took = before.elapsed();
        assert!(took < Duration::from_secs(20), "{unit:?} takes {took:?}");
    }
}
