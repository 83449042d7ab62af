//! The main job beyond one run: trying again, judging again, calling off, sampling, spending.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use simulate::{Answer, Fault, FaultKind, Script};

use crate::story::{Pipeline, Ran, Story, json_lines, records, slow};

/// A pipeline in which an answer that is not what was asked for is given up at once.
fn strict() -> Pipeline {
    Pipeline {
        flow: "{ retries: { content: 0 }, backoff: { first: 20ms, max: 100ms } }",
        step: "tolerate: { failed: any }",
        ..Pipeline::default()
    }
}

/// A vendor that answers this share of first asks with something that is no JSON.
fn garbled(rate: f64) -> Script {
    Script { faults: vec![Fault { asks: Some(1), ..Fault::new(FaultKind::Garbage, rate) }], ..Script::default() }
}

#[track_caller]
fn adds_up(story: &Story) -> Value {
    let account = story.accounting();
    assert_eq!(account["done"], true, "{account}");
    for step in account["steps"].as_array().expect("an account has steps") {
        assert_eq!(step["adds_up"], true, "{step}");
        let of = |name: &str| step[name].as_u64().unwrap_or_default();
        let ends = of("succeeded") + of("failed") + of("skipped") + of("cancelled") + of("missing");
        assert_eq!(ends, of("records"), "{step}");
    }
    account
}

#[test]
fn failed_records_are_tried_again_and_no_others() {
    let story = Story::with(records(60), garbled(0.3), &strict());
    story.run([]).says(0, &["failed (invalid_output"]);
    let n_failed = story.failures().len() as u64;
    assert!(n_failed > 5 && n_failed < 40, "{n_failed} failed");
    assert_eq!(story.asked(), 60);

    story.tidemill(["retry", "latest", "--kind", "timeout"]).says(0, &["no record to try again"]);
    assert_eq!(story.asked(), 60, "nothing failed in that way");
    let opened = format!("{n_failed} records opened again");
    story.tidemill(["retry", "latest", "--kind", "no_json"]).says(0, &[&opened, "60 succeeded"]);
    assert_eq!(story.asked(), 60 + n_failed, "only what had failed is asked again");
    assert_eq!((story.ids(), story.failures().len()), ((1..=60).collect(), 0), "and stands where it belongs");
    let step = &adds_up(&story)["steps"][0];
    assert_eq!(step["billed"]["model"]["prompt_tokens"].as_u64(), billed(&story));
    assert_eq!(step["attempts"], 60 + n_failed, "those before the retry were made as well");

    let wrong = story.tidemill(["retry", "latest", "--kind", "no_jason"]);
    wrong.says(2, &["no_json"]);
    story.tidemill(["retry", "nobody"]).says(2, &["there is no run `nobody`"]);
}

/// Adds up what the journal says was billed: every answer that came.
fn billed(story: &Story) -> Option<u64> {
    let of = |line: &Value| {
        let entry = &line["entry"];
        let meta = if entry["outcome"]["reparsed"] == true { None } else { Some(&entry["outcome"]["meta"]) };
        let meta = meta.filter(|meta| meta.is_object()).unwrap_or(&entry["attempted"]["meta"]);
        meta["usage"]["prompt_tokens"].as_u64().unwrap_or_default()
    };
    Some(story.export(&story.run_id()).iter().map(of).sum())
}

#[test]
fn a_mended_field_list_is_applied_to_what_was_paid_for() {
    let story = Story::with(records(40), Script::default(), &Pipeline::default());
    story.run([]).says(0, &["40 succeeded"]);
    let before = story.output();

    // One field less: everything still passes.
    let fewer = Pipeline { output: "{ label: { enum: [good, bad] } }", ..Pipeline::default() };
    story.write("pipeline.yaml", fewer.text());
    story.run(["--resume"]).says(2, &["the pipeline has changed since it began", "work.prompt.output"]);
    story.tidemill(["reparse", "latest"]).says(0, &["40 answers judged again", "40 with other fields"]);
    assert_eq!(story.asked(), 40, "nothing is asked for what passes");
    let after = story.output();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&after["id"], &after["label"]), (&before["id"], &before["label"]));
        assert!(after.get("score").is_none(), "{after}");
    }

    // A narrower one: what does not pass any more is asked for again, and nothing else.
    let narrower = Pipeline { output: "{ label: { enum: [good] } }", ..Pipeline::default() };
    story.write("pipeline.yaml", narrower.text());
    let n_bad = after.iter().filter(|record| record["label"] == "bad").count() as u64;
    assert!(n_bad > 0 && n_bad < 40);
    let told = format!("{n_bad} do not pass any more and are asked again");
    story.tidemill(["reparse", "latest"]).says(0, &[&told, "40 succeeded"]);
    assert_eq!(story.asked(), 40 + n_bad);
    assert!(story.output().iter().all(|record| record["label"] == "good"));
    adds_up(&story);
    assert_eq!(billed(&story), adds_up(&story)["steps"][0]["billed"]["model"]["prompt_tokens"].as_u64());

    // Another question is another run.
    let other = Pipeline { template: "Judge this: {{ text }}", ..narrower };
    story.write("pipeline.yaml", other.text());
    story.tidemill(["reparse", "latest"]).says(2, &["the pipeline has changed since it began", "work.prompt.template"]);
}

#[test]
fn answers_that_had_failed_pass_by_a_mended_rule_and_nothing_is_asked() {
    let answer = Answer::Fixed(r#"{"label":"good","score":12}"#.to_owned());
    let story = Story::with(records(30), Script { answer, ..Script::default() }, &strict());
    story.run([]).says(0, &["30 failed (invalid_output 30)"]);
    assert_eq!(story.accounting()["steps"][0]["failed_by_reason"]["schema"], 30);
    let mended = "{ label: { enum: [good, bad] }, score: { type: integer, minimum: 0, maximum: 20 } }";
    story.write("pipeline.yaml", Pipeline { output: mended, ..strict() }.text());
    story.tidemill(["reparse", "latest"]).says(0, &["30 had failed and pass now", "30 succeeded"]);
    assert_eq!((story.asked(), story.ids().len()), (30, 30));

    // And without asking, an answer that a stricter rule turns down ends as failed.
    story.write("pipeline.yaml", strict().text());
    story.tidemill(["reparse", "latest", "--no-ask"]).says(0, &["30 do not pass any more", "30 failed"]);
    assert_eq!((story.asked(), story.failures().len()), (30, 30));
    adds_up(&story);
}

#[test]
fn a_run_that_was_killed_can_be_called_off_and_taken_up_again() {
    let story = Story::with(records(80), slow(60), &Pipeline::default());
    story.run_and_kill(10);
    let asked = story.asked();
    let ran = story.tidemill(["cancel", "latest"]);
    ran.says(1, &["cancelled"]);
    assert_eq!(story.asked(), asked, "calling off asks for nothing");
    let account = adds_up(&story);
    let n_cancelled = account["steps"][0]["cancelled"].as_u64().expect("it is counted");
    assert_eq!(story.ids().len() as u64 + n_cancelled, 80, "{account}");
    assert!(story.failures().iter().all(|line| line["status"] == "cancelled"));

    story.tidemill(["retry", "latest", "--kind", "cancelled"]).says(0, &["80 succeeded"]);
    assert_eq!(story.ids(), (1..=80).collect::<Vec<_>>());
    adds_up(&story);
}

#[test]
fn a_sample_is_shown_and_not_paid_for_twice() {
    let story = Story::of(records(200));
    let ran = story.run(["--sample", "7", "--seed", "3"]);
    ran.says(0, &["a sample of 7 of 200 records (--seed 3)", "the answers are kept", "tidemill run pipeline.yaml"]);
    let shown = json_lines(&ran.stdout);
    let lines: BTreeSet<u64> = shown.iter().map(|line| line["line"].as_u64().expect("it says where")).collect();
    assert_eq!((shown.len(), lines.len(), story.asked()), (7, 7, 7));
    assert!(lines.iter().max() > Some(&50), "it is drawn from the whole file: {lines:?}");
    assert!(shown.iter().all(|line| line["status"] == "succeeded" && line["output"]["label"].is_string()));
    assert!(!story.has("out/labels.jsonl"), "seven records are no output");

    let again = story.run(["--sample", "7", "--seed", "3", "--preview"]);
    again.says(0, &[]);
    assert_eq!(story.asked(), 7, "the same seed draws the same records, which are settled");
    assert!(
        again.stdout.contains("user: Label this: message") && again.stdout.contains("→ label:"),
        "{}",
        again.stdout
    );

    story.run([]).says(0, &["7 records are settled already", "200 succeeded"]);
    assert_eq!(story.asked(), 200);
    adds_up(&story);
}

#[test]
fn a_budget_stops_the_run_with_status_4_and_a_greater_one_goes_on() {
    let story = Story::with(records(300), slow(20), &Pipeline::default());
    story.models(", price: { prompt: 1, completion: 1, currency: USD }");
    let with_budget = |budget: &str| format!("{}budget: {budget}\n", Pipeline::default().text());
    story.write("pipeline.yaml", with_budget("0.002 USD"));
    let ran = story.run([]);
    ran.says(4, &["the budget of 0.0020 USD is spent", "Everything settled is safe"]);
    let picos = |story: &Story| -> u64 {
        let of = |line: &Value| {
            let usage = &line["entry"]["outcome"]["meta"]["usage"];
            usage["prompt_tokens"].as_u64().unwrap_or_default()
                + usage["completion_tokens"].as_u64().unwrap_or_default()
        };
        story.export(&story.run_id()).iter().map(of).sum()
    };
    let (spent, asked) = (picos(&story), story.asked());
    let dearest = 20;
    assert!((2_000..=2_000 + 8 * dearest).contains(&spent), "{spent} millionths were spent, with 8 in flight at most");

    story.run([]).says(4, &["is spent"]);
    assert_eq!(story.asked(), asked, "what is spent stays spent");
    story.write("pipeline.yaml", with_budget("[1 USD, 3k tokens]"));
    story.run([]).says(4, &["the budget of 3000 tokens is spent"]);
    story.write("pipeline.yaml", with_budget("1 CNY"));
    story.run([]).says(2, &["the budget is in CNY", "USD"]);
    story.write("pipeline.yaml", with_budget("1 USD"));
    story.run([]).says(0, &["300 succeeded", "cost: "]);
    assert_eq!(story.asked(), 300);
    assert_eq!(story.accounting()["cost"]["USD"].as_f64().map(|cost| (cost * 1e6).round() as u64), Some(picos(&story)));
}

/// A hundred records, of which ten make each the same request.
fn alike() -> String {
    (0..100).map(|id| json!({ "id": id, "text": format!("message {}", id % 10) }).to_string() + "\n").collect()
}

#[test]
fn identical_requests_are_asked_once_and_every_record_is_answered() {
    let pipeline = Pipeline { prompt: "dedupe: true", ..Pipeline::default() };
    let story = Story::with(alike(), slow(30), &pipeline);
    let ran = story.run([]);
    ran.says(0, &["100 succeeded", "90 answered like an identical request"]);
    assert_eq!(story.asked(), 10, "as many as there are distinct requests");
    let output = story.output();
    assert!((0..100).all(|i| output[i]["label"] == output[i % 10]["label"] && output[i]["id"] == i));
    let account = adds_up(&story);
    assert_eq!(account["steps"][0]["duplicates"], 90);
    assert_eq!(account["steps"][0]["billed"]["model"]["prompt_tokens"].as_u64(), billed(&story));
}

#[test]
fn identical_requests_stay_one_through_kills() {
    let pipeline = Pipeline { prompt: "dedupe: true", ..Pipeline::default() };
    let story = Story::with(alike().repeat(20), slow(150), &pipeline);
    for _ in 0..3 {
        let mut running = story.start([]);
        running.until("something is asked", |_| story.vendor.counts().in_flight > 0);
        std::thread::sleep(Duration::from_millis(80));
        running.kill();
    }
    story.run([]).says(0, &["2,000 succeeded"]);
    // Ten requests, and at each kill no more than what was in flight.
    assert!(story.asked() <= 10 + 3 * 8, "{} were asked", story.asked());
    let asked = story.asked();
    story.run(["--fresh", "--task-id", "second"]).says(0, &["2,000 succeeded"]);
    assert_eq!(story.asked(), asked + 10, "another run has answers of its own");
}

#[test]
fn candidates_are_asked_for_until_enough_are_accepted() {
    let pipeline = Pipeline {
        prompt: "until_accepted: { accepted: 2, candidates: 6, where: \"answer.label == 'good'\" }\nkeep: { sample: draw }",
        step: "tolerate: { failed: any }",
        ..Pipeline::default()
    };
    let story = Story::with(records(30), Script::default(), &pipeline);
    story.run([]).says(0, &["with fewer accepted answers than wanted"]);
    // The scripted vendor answers a request alike, however often it is asked: a record has two good ones, or none of six.
    let account = adds_up(&story);
    let short = account["steps"][0]["short"].as_u64().expect("it is counted");
    assert!(short > 0 && short < 30, "{account}");
    assert_eq!(story.asked(), 2 * (30 - short) + 6 * short);
    assert_eq!(story.output().len() as u64, 2 * (30 - short));
    assert!(story.output().iter().all(|row| row["label"] == "good" && row["draw"].as_u64() < Some(2)));
    assert_eq!(story.failures().len() as u64, 6 * short);

    let strict = Pipeline { step: "", ..pipeline };
    story.write("pipeline.yaml", strict.text());
    story.run([]).says(1, &["done already"]);
}

#[test]
fn every_record_is_asked_of_every_model_and_as_often_as_wanted() {
    let pipeline = Pipeline {
        prompt: "models: [one, other]\nsamples: 2\nkeep: { sample: draw, asked_model: by }",
        ..Pipeline::default()
    };
    let story = Story::with(records(25), slow(10), &pipeline);
    let vendor = story.vendor.address();
    let models = format!(
        "channels:\n  vendor: {{ url: \"http://{vendor}/v1\" }}\nmodels:\n  - {{ name: one, channel: vendor, max_in_flight: 2 \
         }}\n  - {{ name: other, channel: vendor, max_in_flight: 2 }}\n"
    );
    story.write("models.yaml", models);
    story.run_and_kill(20);
    story.run([]).says(0, &["100 succeeded"]);
    let rows = story.output();
    let of = |row: &Value| (row["id"].as_u64(), row["by"].as_str().map(str::to_owned), row["draw"].as_u64());
    let distinct: BTreeSet<_> = rows.iter().map(of).collect();
    assert_eq!((rows.len(), distinct.len()), (100, 100), "each of them once");
    assert_eq!(story.ids(), (1..=25).flat_map(|id| [id; 4]).collect::<Vec<_>>(), "a record's rows stand side by side");
    let account = adds_up(&story);
    for model in ["one", "other"] {
        assert!(account["steps"][0]["billed"][model]["prompt_tokens"].as_u64() > Some(0), "{account}");
    }
}

/// Numbers that repeat for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % n
    }
}

#[test]
fn whatever_is_done_to_a_run_and_however_it_is_killed_the_account_adds_up() {
    let seed = u64::from(std::process::id());
    let mut dice = Dice(seed);
    let faults = vec![
        Fault { asks: Some(2), ..Fault::new(FaultKind::Garbage, 0.2) },
        Fault { asks: Some(1), ..Fault::new(FaultKind::Unavailable, 0.1) },
    ];
    let script = Script { faults, ..slow(15) };
    let story = Story::with(records(120), script, &strict());
    let fewer = Pipeline { output: "{ label: { enum: [good] } }", ..strict() };
    let (mut n_kills, mut n_pauses) = (0, 0);
    let mut is_fewer = false;
    for round in 0..30 {
        let arguments: &[&str] = match (round, dice.below(4)) {
            (0..2, _) | (_, 0) => &["run", "pipeline.yaml", "--resume"],
            (_, 1) => &["retry", "latest"],
            (_, 2) => {
                is_fewer = !is_fewer;
                story.write("pipeline.yaml", if is_fewer { fewer.text() } else { strict().text() });
                &["reparse", "latest"]
            }
            _ => &["cancel", "latest"],
        };
        let arguments = if round == 0 { &["run", "pipeline.yaml"] } else { arguments };
        let mut running = crate::story::Running::of(story.command(arguments));
        if dice.below(3) == 0 {
            // Whether anybody listens yet, or still does, is chance: a pause that comes too early or too late is told so.
            std::thread::sleep(Duration::from_millis(dice.below(60)));
            let paused = story.tidemill(["pause", "latest"]).status == 0;
            n_pauses += u32::from(paused);
            if paused && dice.below(2) == 0 {
                running.kill();
                n_kills += 1;
                continue;
            }
            story.tidemill(["unpause", "latest"]);
        }
        if dice.below(4) > 0 {
            std::thread::sleep(Duration::from_millis(20 + dice.below(250)));
            running.kill();
            n_kills += 1;
        } else {
            let ran: Ran = running.wait();
            // A reparse that was killed in its first moment has not taken the new rules: that is told, and nothing is done.
            let needs_reparse = ran.status == 2 && ran.stderr.contains("`tidemill reparse");
            assert!(needs_reparse || matches!(ran.status, 0 | 1), "seed {seed}, round {round}: {ran:?}");
            if !needs_reparse {
                adds_up(&story);
            }
        }
    }
    assert!(n_kills > 6 && n_pauses > 0, "seed {seed}: {n_kills} kills, {n_pauses} pauses");
    for command in ["reparse", "retry"] {
        let ran = story.tidemill([command, "latest"]);
        assert!(matches!(ran.status, 0 | 1), "seed {seed}: {ran:?}");
    }
    let account = adds_up(&story);
    let step = &account["steps"][0];
    assert_eq!(step["records"], 120, "seed {seed}");
    assert_eq!(billed(&story), step["billed"]["model"]["prompt_tokens"].as_u64(), "seed {seed}");
    let answered = story.output().len() + story.failures().len();
    assert_eq!(answered, 120, "seed {seed}: every record stands in one of the two files");
    assert_eq!(json!(story.output().len()), step["succeeded"], "seed {seed}");
}
