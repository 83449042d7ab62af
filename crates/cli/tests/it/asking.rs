//! What is asked: conversations, files, filters and embeddings, through the real binary.

use serde_json::Value;
use simulate::{Lacks, Script};

use crate::story::{Pipeline, Story, records, slow};

const EMBED: &str = "\
version: 1
name: vectors
models: models.yaml
steps:
  embed:
    source: { jsonl: { path: in.jsonl } }
    work:
      embed: { input: \"{{ text }}\", into: vector, batch: 5, dimensions: 7 }
    sink: { jsonl: { path: out/labels.jsonl } }
finish: { accounting: out/accounting.json }
";

#[test]
fn embeddings_come_in_batches_and_a_killed_run_asks_for_the_rest_alone() {
    let story = Story::with(records(103), slow(25), &Pipeline::default());
    story.write("pipeline.yaml", EMBED);
    story.run_and_kill(20);
    let settled = story.n_live() as u64;
    let before = story.asked();
    story.run([]).says(0, &["103 succeeded"]);
    let asked = story.asked() - before;
    assert!(asked <= (103 - settled).div_ceil(5) + 1, "{asked} requests for {} records", 103 - settled);
    assert_eq!(story.ids(), (1..=103).collect::<Vec<_>>());
    for record in story.output() {
        assert_eq!(record["vector"].as_array().map(Vec::len), Some(7), "{record}");
    }
    let account = story.accounting();
    let tokens = |value: &Value| value["prompt_tokens"].as_u64().unwrap_or(0);
    let billed = &account["steps"][0]["billed"]["model"];
    assert!(tokens(billed) > 103, "each record bears its share of the bill: {account}");
}

#[test]
fn a_text_that_the_vendor_does_not_take_costs_its_neighbours_nothing() {
    let long = "and one more word ".repeat(40);
    let source: String = (1..=103)
        .map(|id| serde_json::json!({ "id": id, "text": if id % 40 == 7 { long.as_str() } else { "short" } }))
        .map(|record| format!("{record}\n"))
        .collect();
    let lacks = Lacks { inputs_above: Some(100), ..Lacks::default() };
    let story = Story::with(source, Script { lacks, ..Script::default() }, &Pipeline::default());
    story.write("pipeline.yaml", EMBED);
    story.run([]).says(1, &["100 succeeded", "3 failed (rejected 3)"]);
    let failed: Vec<u64> = story.failures().iter().filter_map(|failure| failure["line"].as_u64()).collect();
    assert_eq!(failed, [7, 47, 87]);
    let rest = (1..=103).filter(|id| !failed.contains(id)).collect::<Vec<_>>();
    assert_eq!(story.ids(), rest);
    // 21 batches; of five records of which one is not taken, at most seven requests find it.
    assert!(story.asked() <= 21 + 3 * 6, "{}", story.asked());
}

#[test]
fn a_conversation_goes_out_with_the_files_that_its_record_names() {
    let source = concat!(
        "{\"id\":1,\"talk\":[{\"role\":\"user\",\"content\":\"look\"}],\"photo\":\"img/a.png\",\"lang\":\"zh\"}\n",
        "{\"id\":2,\"talk\":[{\"role\":\"user\",\"content\":\"look\"}],\"photo\":\"img/none.png\",\"lang\":\"zh\"}\n",
        "{\"id\":3,\"talk\":[{\"role\":\"user\",\"content\":\"look\"}],\"photo\":\"img/large.png\",\"lang\":\"zh\"}\n",
        "{\"id\":4,\"talk\":\"no conversation\",\"photo\":null,\"lang\":\"zh\"}\n",
        "{\"id\":5,\"lang\":\"en\"}\n",
    );
    let pipeline = Pipeline {
        beside_source: "where: \"lang == 'zh'\"",
        template: "What is it?",
        prompt: "messages: talk\nattach: [{ image: photo, max_bytes: 64 }]\nstream: true",
        ..Pipeline::default()
    };
    let story = Story::with(source, Script::default(), &pipeline);
    story.write("img/a.png", b"\x89PNG\r\n\x1a\n of a kind");
    story.write("img/large.png", [0x89; 65]);
    story.run([]).says(1, &["1 succeeded", "2 failed (rejected 2)", "bad_record 1", "filtered 1"]);
    assert_eq!(story.ids(), [1]);
    assert_eq!(story.asked(), 1, "nothing is asked for what cannot be sent");
    let messages: Vec<String> =
        story.failures().iter().map(|failure| failure["message"].as_str().unwrap_or_default().to_owned()).collect();
    for (message, expected) in messages.iter().zip([
        "in.jsonl line 2: the image `img/none.png` (field `photo`) cannot be read: ",
        "in.jsonl line 3: the image `img/large.png` (field `photo`) has more than 64 bytes; `max_bytes` says how large",
        "in.jsonl line 4: the field `talk` is not an array of messages: it is a string",
    ]) {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn mistakes_of_a_prompt_point_at_their_place() {
    let pipeline = Pipeline {
        beside_source: "where: \"lang = 'zh'\"",
        prompt: "models: [model, other]\nexamples: [{ record: { text: hi }, answer: { label: fine, score: 1 } }]\nkeep: { \
                 reasoning: label }\nanswers: { length: { more_tokens: 2 } }",
        ..Pipeline::default()
    };
    let story = Story::with(records(1), Script::default(), &pipeline);
    story.tidemill(["check", "pipeline.yaml"]).says(
        2,
        &[
            "unexpected input after expression; write `==` to compare",
            "there is a new field `label` already; choose another name",
            "there is no limit to raise: set `max_tokens`",
            "the models file knows no model or route `other`; it has: model",
        ],
    );
    let pipeline = Pipeline {
        prompt: "examples: [{ record: { text: hi }, answer: { label: fine, score: 1 } }]",
        ..Pipeline::default()
    };
    story.write("pipeline.yaml", pipeline.text());
    story.tidemill(["check", "pipeline.yaml"]).says(2, &["`label`: \"fine\" is not one of \"good\" or \"bad\""]);
}
