//! Answers as models really write them: `answers.jsonl` holds one shape a line, with where it was seen and what must come
//! out. `raw` is what the model said; `thought` and `answer` are its parts (no thought and all of it, where they are
//! left out); `wanted` and `fields` are what was asked for; `json` is the JSON that was meant, to the byte, or null where
//! there is none.

mod costs;
mod mutations;
mod properties;

use serde::Deserialize;

use crate::prompt::extract::{Wanted, json_in, said};

const ANSWERS: &str = include_str!("answers.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: String,
    /// An issue, a page of the references, or the kind of text that it is the shape of.
    seen: String,
    raw: String,
    thought: Option<String>,
    answer: Option<String>,
    #[serde(default)]
    wanted: Asked,
    #[serde(default)]
    fields: Vec<String>,
    json: Option<String>,
    /// Why that is what must come out, where one could think otherwise.
    #[serde(default)]
    why: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    #[default]
    Object,
    Array,
    Any,
}

impl From<Asked> for Wanted {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Object => Self::Object,
            Asked::Array => Self::Array,
            Asked::Any => Self::Any,
        }
    }
}

fn shapes() -> Vec<Shape> {
    ANSWERS.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn every_shape_seen_in_the_field_comes_out_as_what_was_meant() {
    let shapes = shapes();
    assert!(shapes.len() >= 80, "the corpus has {} shapes", shapes.len());
    let mut wrong = Vec::new();
    for Shape { name, seen, raw, thought, answer, wanted, fields, json, why } in shapes {
        assert!(
            ["https://", "reference ", "shape of ", "found by "].iter().any(|start| seen.starts_with(start)),
            "{name}: {seen}"
        );
        let said = said(&raw);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let found = json_in(&said.answer, wanted.into(), &fields);
        let is_right = said.thought.as_deref() == thought.as_deref()
            && said.answer == answer.as_deref().unwrap_or(&raw)
            && found.as_deref() == json.as_deref();
        if !is_right {
            wrong.push(format!("{name} ({seen}) {why}\n  raw: {raw:?}\n  {said:?}\n  {found:?}\n  meant: {json:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} shapes:\n{}", wrong.len(), wrong.join("\n"));
}
