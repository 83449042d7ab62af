//! What the fuzzer runs, run by every test: the shapes of the corpus, and thousands of texts made of them.

use super::shapes;
use crate::prompt::fuzzing;

/// What messy answers are made of.
const TOKENS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "`",
    "\\",
    ",",
    ":",
    "\n",
    " ",
    "```",
    "```json\n",
    "~~~",
    "<think>",
    "</think>",
    "<answer>",
    "[THINK]",
    "◁/think▷",
    "【思考】",
    "【答案】",
    "<|channel|>final<|message|>",
    "<|end|><|start|>",
    "analysis",
    "assistantfinal",
    "//",
    "/*",
    "*/",
    "#",
    "“",
    "”",
    "‘",
    "：",
    "，",
    "\u{feff}",
    "\u{a0}",
    "\u{0}",
    "\\u",
    "\\ud83d",
    "\\\"",
    "{\\\"a\\\":",
    "True",
    "None",
    "NaN",
    "007",
    "+1",
    "\"\"\"",
];

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

fn mutated(text: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let (a, b) = (dice.below(text.len() + 1), dice.below(text.len() + 1));
    let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
    match dice.below(8) {
        0 => drop(text.drain(from..to)),
        1 => text.truncate(to),
        2 => drop(text.drain(..from)),
        3 => {
            let piece = text[from..to].to_vec();
            text.splice(a..a, piece);
        }
        4 => {
            let at = dice.below(other.len() + 1);
            text.splice(from.., other[at..].iter().copied());
        }
        5 if from < text.len() => text[from] ^= 1 << dice.below(8),
        _ => {
            let token = *dice.of(&TOKENS);
            text.splice(from..from, token.bytes());
        }
    }
}

#[test]
fn whatever_a_model_says_the_promises_of_the_parsers_hold() {
    let seeds: Vec<Vec<u8>> = shapes().into_iter().map(|shape| shape.raw.into_bytes()).collect();
    for seed in &seeds {
        fuzzing::answer(seed);
    }
    let mut dice = Dice(20_261_121);
    for _ in 0..20_000 {
        let mut text = dice.of(&seeds).clone();
        for _ in 0..=dice.below(6) {
            let other = dice.of(&seeds).clone();
            mutated(&mut text, &other, &mut dice);
        }
        let what = String::from_utf8_lossy(&text).into_owned();
        let held = std::panic::catch_unwind(|| fuzzing::answer(&text));
        assert!(held.is_ok(), "a promise is broken for {what:?}");
    }
}

#[test]
fn whatever_an_upstream_sends_its_envelope_is_read() {
    let bodies: Vec<Vec<u8>> = shapes()
        .into_iter()
        .map(|shape| {
            let message = serde_json::json!({"role": "assistant", "content": shape.raw, "refusal": null});
            let choice = serde_json::json!({"index": 0, "message": message, "finish_reason": "stop"});
            let usage = serde_json::json!({"prompt_tokens": 12, "completion_tokens": 3.0, "total_tokens": null});
            serde_json::json!({"id": "c-1", "model": "m", "choices": [choice], "usage": usage}).to_string().into_bytes()
        })
        .collect();
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let mut body = dice.of(&bodies).clone();
        for _ in 0..=dice.below(4) {
            let other = dice.of(&bodies).clone();
            mutated(&mut body, &other, &mut dice);
        }
        fuzzing::envelope(&body);
    }
}
