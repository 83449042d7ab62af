//! Any JSON, in any wrapping, written in any of the ways in which models write: exactly that value comes out.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::prompt::extract::{Said, Wanted, json_in, said};

fn any_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(Value::from),
    ];
    let text = prop_oneof![
        any::<String>(),
        "[a-z{}\\[\\]\"'`,:/*#<>\\\\\n\t 你好“”：，]{0,20}",
        Just("</think>{\"a\":1}".to_owned()),
        Just("```\n{\"a\":1}\n```".to_owned()),
    ];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text.prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof!["[a-z_]{1,8}", any::<String>(), "[类别分数]{1,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof!["[a-z_]{1,8}", any::<String>()];
    prop::collection::vec((key, any_value()), 1..5).prop_map(|members| members.into_iter().collect())
}

/// How a model writes JSON.
#[derive(Clone, Copy, Debug)]
enum Hand {
    Compact,
    Pretty,
    /// With trailing commas, comments and line ends as they are.
    Sloppy,
    Python,
    /// With curly quotes and full-width punctuation.
    Chinese,
    /// Put into a string once more.
    Escaped,
    EscapedTwice,
}

const HANDS: [Hand; 7] =
    [Hand::Compact, Hand::Pretty, Hand::Sloppy, Hand::Python, Hand::Chinese, Hand::Escaped, Hand::EscapedTwice];

fn written(value: &Value, hand: Hand) -> String {
    match hand {
        Hand::Compact => value.to_string(),
        Hand::Pretty => serde_json::to_string_pretty(value).unwrap(),
        Hand::Escaped => Value::from(value.to_string()).to_string(),
        Hand::EscapedTwice => Value::from(Value::from(value.to_string()).to_string()).to_string(),
        Hand::Sloppy | Hand::Python | Hand::Chinese => {
            let mut out = String::new();
            write(value, hand, &mut out);
            out
        }
    }
}

fn write(value: &Value, hand: Hand, out: &mut String) {
    let (comma, colon) = match hand {
        Hand::Python => (", ", ": "),
        Hand::Chinese => ("，", "："),
        _ => (",\n // a note, with \"quotes\" and }\n\t", " :\u{a0}"),
    };
    match value {
        Value::Null | Value::Bool(_) if matches!(hand, Hand::Python) => out.push_str(match value {
            Value::Bool(true) => "True",
            Value::Bool(false) => "False",
            _ => "None",
        }),
        Value::String(text) => write_text(text, hand, out),
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                write(element, hand, out);
                out.push_str(comma);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push_str(if matches!(hand, Hand::Sloppy) { "{ /* } */ " } else { "{" });
            for (key, value) in members {
                if matches!(hand, Hand::Sloppy) {
                    // Line ends within a key are nobody's.
                    out.push_str(&Value::from(key.as_str()).to_string());
                } else {
                    write_text(key, hand, out);
                }
                out.push_str(colon);
                write(value, hand, out);
                out.push_str(comma);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_text(text: &str, hand: Hand, out: &mut String) {
    let (open, close) = match hand {
        Hand::Python => ('\'', '\''),
        Hand::Chinese => ('“', '”'),
        _ => ('"', '"'),
    };
    out.push(open);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' if !matches!(hand, Hand::Sloppy) => out.push_str("\\n"),
            '\u{0}'..'\u{20}' if !matches!(hand, Hand::Sloppy) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '"' => out.push_str("\\\""),
            '\'' if matches!(hand, Hand::Python) => out.push_str("\\'"),
            // What the text is quoted with cannot stand in it.
            '“' | '”' | '＂' if matches!(hand, Hand::Chinese) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(close);
}

/// What models put around their JSON, and what must be said to be thought.
fn wrapped(json: &str, wrapping: usize, draft: &str) -> (String, Option<String>) {
    let thought = format!("Maybe {draft}? Or {{placeholder}}.\n```json\n{draft}\n```");
    let text = match wrapping {
        0 => json.to_owned(),
        1 => format!("\u{feff}\n {json} \r\n"),
        2 => format!("Here is the {{answer}} you [asked] for: {json}\n\nI hope it helps [1]. Replace {{x}}."),
        3 => format!("Sure!\n```json\n{json}\n```\nDone."),
        4 => format!("```JSON\n{json}\n"),
        5 => format!("~~~\n{json}\n~~~"),
        6 => format!("<answer>\n{json}\n</answer>"),
        7 => return (format!("<think>\n{thought}\n</think>\n\n{json}"), Some(thought)),
        8 => return (format!("{thought}\n</think>\n```\n{json}\n```"), Some(thought)),
        9 => return (format!("[THINK]{thought}[/THINK]Answer: {json}"), Some(thought)),
        10 => {
            let marks = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>");
            return (format!("{}{thought}{}{json}<|return|>", marks.0, marks.1), Some(thought));
        }
        11 => return (format!("◁think▷{thought}◁/think▷{json}"), Some(thought)),
        12 => return (format!("<thinking>{thought}</thinking>\nSo:\n{json}"), Some(thought)),
        13 => return (format!("<思考>{thought}</思考>\n结果如下：{json}"), Some(thought)),
        _ => {
            format!("For example {{\"zzz\": 1}}.\n\nNow the answer:\n{json}\n\nNote: {{'zzz': 2}} is only an example.")
        }
    };
    (text, None)
}

const N_WRAPPINGS: usize = 15;

/// The value that comes out, to compare by what it means.
fn value_in(text: &str, wanted: Wanted, fields: &[&str]) -> Option<Value> {
    json_in(text, wanted, fields).map(|found| serde_json::from_str(&found).unwrap())
}

/// As many cases as are asked for, or a thousand.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(1000), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_object_comes_out_of_any_wrapping_as_it_was_meant(
        meant in any_object(), draft in any_object(), hand in 0..HANDS.len(), wrapping in 0..N_WRAPPINGS,
    ) {
        let meant = Value::Object(meant);
        let hand = HANDS[hand];
        let (text, thought) = wrapped(&written(&meant, hand), wrapping, &Value::Object(draft).to_string());
        let found = said(&text);
        prop_assert_eq!(found.thought.as_deref(), thought.as_deref(), "{}", text);
        let fields: Vec<&str> = meant.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert_eq!(value_in(&found.answer, Wanted::Object, &fields), Some(meant.clone()), "{:?}: {}", hand, text);
        // Without fields to go by, the last one at the end of a line is meant.
        if wrapping < N_WRAPPINGS - 1 && wrapping != 2 {
            prop_assert_eq!(value_in(&found.answer, Wanted::Object, &[]), Some(meant), "{:?}: {}", hand, text);
        }
    }

    #[test]
    fn any_array_comes_out_of_a_code_block(
        meant in prop::collection::vec(any_value(), 0..5), hand in 0..HANDS.len(), wrapping in 3_usize..8,
    ) {
        let meant = Value::from(meant);
        let (text, _) = wrapped(&written(&meant, HANDS[hand]), wrapping, "[0]");
        prop_assert_eq!(value_in(&said(&text).answer, Wanted::Array, &[]), Some(meant), "{}", text);
    }

    /// What is valid comes out to the byte, and borrowed.
    #[test]
    fn valid_json_is_never_touched(meant in any_object(), pretty in any::<bool>(), wrapping in 0..N_WRAPPINGS - 1) {
        let meant = Value::Object(meant);
        let json = written(&meant, if pretty { Hand::Pretty } else { Hand::Compact });
        let (text, _) = wrapped(&json, wrapping, "{\"draft\":1}");
        let Said { answer, .. } = said(&text);
        let fields: Vec<&str> = meant.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert_eq!(json_in(&answer, Wanted::Object, &fields), Some(json.as_str().into()), "{}", text);
    }

    /// An answer that was cut is none, wherever it was cut, and whatever came before it.
    #[test]
    fn a_cut_answer_is_no_answer(meant in any_object(), at in any::<prop::sample::Index>(), wrapping in 0..4_usize) {
        let json = Value::Object(meant.clone()).to_string();
        let mut end = at.index(json.len() - 1) + 1;
        while !json.is_char_boundary(end) {
            end -= 1;
        }
        let cut = &json[..end.max(1)];
        let text = match wrapping {
            0 => cut.to_owned(),
            1 => format!("The answer is {cut}"),
            2 => format!("```json\n{cut}"),
            _ => format!("Format: {{\"zzz\": 0}}\nAnswer: {cut}"),
        };
        let fields: Vec<&str> = meant.keys().map(String::as_str).collect();
        prop_assert_eq!(json_in(&text, Wanted::Object, &fields), None, "{}", text);
        prop_assert_eq!(json_in(&text, Wanted::Object, &[]), None, "{}", text);
    }

    /// Strings keep every byte, also where models write them with line ends as they are.
    #[test]
    fn strings_keep_every_byte(text in any::<String>(), hand in 0..HANDS.len()) {
        let meant = json!({"text": text});
        let written = written(&meant, HANDS[hand]);
        prop_assert_eq!(value_in(&written, Wanted::Object, &["text"]), Some(meant), "{}", written);
    }

    /// Quotes within a string that nobody escaped stay in it, as long as they pair up.
    #[test]
    fn quotes_that_pair_up_stay_in_their_string(
        pieces in prop::collection::vec(("[a-z 你好]{1,6}", "[a-z你好]{1,6}"), 1..4), behind in "[a-z 你好]{0,6}",
        at_the_end in any::<bool>(),
    ) {
        let mut text: String = pieces.iter().map(|(before, quoted)| format!("{before}\"{quoted}\"")).collect();
        if !at_the_end {
            text.push('好');
            text.push_str(&behind);
        }
        let written = format!("{{\"text\": \"{text}\", \"n\": 1}}");
        prop_assert_eq!(value_in(&written, Wanted::Object, &["text", "n"]), Some(json!({"text": text, "n": 1})));
    }
}
