//! What it will cost, before it does.

use std::{fs, path::Path};

use serde_json::Value;
use simulate::Script;

use crate::story::{Pipeline, Story, json_lines, records};

/// Questions of GSM8K's test set where they lie beside the checkout, and our own messages otherwise.
fn questions() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let questions = fs::read_to_string(root.join("../shared/data/gsm8k-test.jsonl"));
    let own = || fs::read_to_string(root.join("examples/quickstart/messages.jsonl")).expect("our own file is there");
    let text = questions.unwrap_or_else(|_| own().replace("\"text\"", "\"question\""));
    text.lines().take(1319).map(|line| line.to_owned() + "\n").collect()
}

/// A vendor that bills by real tokens.
fn billing() -> Script {
    serde_json::from_value(serde_json::json!({ "usage": { "tokenizer": "o200k_base" } })).expect("it is a script")
}

fn asking() -> Pipeline {
    Pipeline {
        template: "Solve this, and say how sure you are: {{ question }}",
        output: "{ steps: { type: string, max_length: 200 }, result: { type: integer }, sure: { type: integer, minimum: \
                 0, maximum: 100 } }",
        ..Pipeline::default()
    }
}

const PRICE: &str = ", price: { prompt: 2.5, completion: 10, currency: USD }, tokenizer: o200k_base";

fn estimated(story: &Story) -> Value {
    let ran = story.tidemill(["estimate", "pipeline.yaml", "--json"]);
    ran.says(0, &[]);
    json_lines(&ran.stdout).remove(0)["steps"][0].clone()
}

#[track_caller]
fn is_within(percent: f64, estimated: f64, real: f64, what: &str) {
    let off = (estimated - real).abs() / real * 100.0;
    assert!(off <= percent, "{what}: {estimated} was estimated, and it was {real}: {off:.2} % off");
}

#[test]
fn an_estimate_is_within_five_percent_of_the_bill() {
    let story = Story::with(questions(), billing(), &asking());
    story.models(PRICE);
    let blind = estimated(&story);
    assert_eq!((story.asked(), blind["answer"]["basis"].as_str()), (0, Some("unknown")), "{blind}");
    let n = blind["records"].as_u64().expect("they are counted");

    story.run(["--sample", "100", "--seed", "11"]).says(0, &[]);
    let sampled = estimated(&story);
    assert_eq!((sampled["requests"].as_u64(), sampled["answered"].as_u64()), (Some(n - 100), Some(100)), "{sampled}");
    assert_eq!(story.asked(), 100, "an estimate asks for nothing");
    let spent = |story: &Story| {
        story.export(&story.run_id()).iter().fold((0.0, 0.0), |(prompt, completion), line| {
            let usage = &line["entry"]["outcome"]["meta"]["usage"];
            let of = |name: &str| usage[name].as_f64().unwrap_or_default();
            (prompt + of("prompt_tokens"), completion + of("completion_tokens"))
        })
    };
    let before = spent(&story);
    story.run([]).says(0, &[&format!("{} succeeded", if n > 999 { "1,319".to_owned() } else { n.to_string() })]);
    let after = spent(&story);
    let cost = (after.0 * 2.5 + after.1 * 10.0) / 1e6;
    let cost_before = (before.0 * 2.5 + before.1 * 10.0) / 1e6;

    let tokens = |of: &Value, name: &str| of[name].as_f64().expect("tokens are a number");
    is_within(5.0, tokens(&blind, "prompt_tokens"), after.0, "prompt tokens, before anything was asked");
    is_within(1.0, before.0 + tokens(&sampled, "prompt_tokens"), after.0, "prompt tokens, after a sample");
    is_within(5.0, before.1 + tokens(&sampled, "answer_tokens"), after.1, "answer tokens, after a sample");
    let of_rest = sampled["cost"]["USD"]["expected"].as_f64().expect("there is a price");
    is_within(5.0, cost_before + of_rest, cost, "the cost");
    is_within(0.1, story.accounting()["cost"]["USD"].as_f64().expect("it is told"), cost, "the account");

    let done = estimated(&story);
    assert_eq!((done["requests"].as_u64(), done["cost"].as_object().map(serde_json::Map::len)), (Some(0), Some(0)));
}

#[test]
fn a_dry_run_shows_what_would_be_sent_and_sends_nothing() {
    let story = Story::with(records(50) + "\n{\"id\":51}\n", Script::default(), &Pipeline::default());
    story.models(", price: { prompt: 1, completion: 2, currency: CNY }");
    let ran = story.run(["--dry-run"]);
    ran.says(
        0,
        &[
            "52 records, 50 requests to ask (1 skipped (blank), 1 skipped (missing_field))",
            "CNY, for the prompts alone",
            "nothing was asked",
        ],
    );
    assert!(ran.stdout.contains("Label this: message 1") && ran.stdout.contains("response_format"), "{}", ran.stdout);
    assert_eq!((story.asked(), story.run_ids().len()), (0, 0), "nothing is asked, and no run is begun");

    let given = story.tidemill(["estimate", "pipeline.yaml", "--answer-tokens", "100"]);
    given.says(0, &["5,000 tokens (100 each, as given)", "cost: "]);
    let limited = Pipeline { prompt: "parameters: { max_tokens: 200 }", ..Pipeline::default() };
    story.write("pipeline.yaml", limited.text());
    story
        .tidemill(["estimate", "pipeline.yaml"])
        .says(0, &["at most 10,000 tokens (`max_tokens` is 200)", "cost: at most"]);
    let alike = Pipeline { prompt: "dedupe: true", template: "Label this: {{ text[:3] }}", ..Pipeline::default() };
    story.write("pipeline.yaml", alike.text());
    story.tidemill(["estimate", "pipeline.yaml"]).says(0, &["1 request to ask"]);
}
