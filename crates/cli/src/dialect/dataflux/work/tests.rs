//! What their files come to.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Around, Work, is_one, pipeline};
use crate::dialect::Remark;

/// Every key that their tool knows, as its users write them; two tables, of which one is read.
const WHOLE: &str = include_str!("../../../../tests/fixtures/dataflux-whole.yaml");

fn parsed(text: &str) -> Value {
    let (value, _, diagnostics) = crate::config::read::<Value>("config.yaml".as_ref(), text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    value.unwrap()
}

fn made_with(file: &Value, profile: &dyn Fn(&str) -> Result<Value, String>) -> Work {
    pipeline(file, &Around { name: "config", models: "config.yaml", path: &str::to_owned, profile })
}

fn made(file: &Value) -> Work {
    made_with(file, &|path| Err(format!("there is no `{path}`")))
}

/// The least that works, with more keys merged into it.
fn with(more: Value) -> Work {
    made(&least(more))
}

fn least(more: Value) -> Value {
    let mut file = json!({
        "csv": { "input_path": "in.csv" }, "datasource": { "type": "csv" },
        "columns_to_extract": ["q"], "columns_to_write": { "a": "ai_a" }, "prompt": { "template": "{record_json}" },
    });
    for (key, value) in more.as_object().unwrap() {
        match (file.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(map), Some(more)) if key != "columns_to_write" => map.extend(more.clone()),
            _ => file[key] = value.clone(),
        }
    }
    file
}

fn step(work: &Work) -> Value {
    assert!(work.remarks.iter().all(|remark| !remark.is_mistake), "{:?}", work.remarks);
    work.draft.tree()["steps"]["process"].clone()
}

fn told(remarks: &[Remark]) -> Vec<(String, String)> {
    remarks.iter().map(|remark| (remark.path.join("."), remark.message.clone())).collect()
}

/// The one mistake of a file: where, and what.
#[track_caller]
fn mistake(more: Value) -> (String, String) {
    let work = with(more);
    let mistakes: Vec<_> = work.remarks.into_iter().filter(|remark| remark.is_mistake).collect();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    told(&mistakes).remove(0)
}

#[test]
fn their_file_is_known_by_its_shape() {
    assert!(is_one(&parsed(WHOLE)) && is_one(&least(json!({}))));
    for ours in [
        json!({ "version": 1, "steps": {}, "prompt": {} }),
        json!({ "channels": {}, "models": [] }),
        json!({ "channels": { "a": { "url": "http://h" } }, "models": [{ "channel": "a" }], "global": {} }),
        json!({ "models": [{ "channel_id": 1 }], "channels": {}, "gateway": {} }),
        json!([]),
        json!(null),
    ] {
        assert!(!is_one(&ours), "{ours}");
    }
}

#[test]
fn a_whole_file_becomes_a_pipeline_and_one_warning_names_what_has_no_use() {
    let profile = |_: &str| Ok(json!({ "prompt": { "template": "Weigh {record_json}" } }));
    let work = made_with(&parsed(WHOLE), &profile);
    assert_eq!(
        work.draft.tree(),
        json!({
            "version": 1, "name": "config", "models": "config.yaml",
            "steps": { "process": {
                "source": {
                    "excel": { "path": "./data/input.xlsx", "text": true },
                    "fields": ["question", "context"], "require": "any", "omit_empty": true, "pending": true,
                },
                "work": { "prompt": {
                    "model": "first", "system": "You are terse.", "template": "Sort this:\n{{ record_json }}\n",
                    "output": {
                        "answer": { "type": "any" },
                        "category": { "enum": ["technical", "business"] },
                        "note": { "type": "any", "optional": true },
                        "reason": { "type": "any", "drop": true },
                        "level": { "enum": [1, 2, 3], "optional": true, "drop": true },
                    },
                    "parameters": { "temperature": 0.3 },
                    "by": { "field": "kind", "cases": { "bug": { "template": "Weigh {{ record_json }}" } } },
                } },
                "sink": { "excel": {
                    "path": "./data/output.xlsx",
                    "columns": { "answer": "ai_answer", "category": "ai_category", "note": "ai_note" },
                    "overwrite": true,
                } },
                "flow": {
                    "max_in_flight": 50, "retries": { "api": 5, "content": 2, "system": 1 },
                    "pause": { "for": "1500ms", "window": "4500ms" }, "save_every": "120s",
                },
            } },
            "estimate": { "mode": "both", "sample": 100, "encoding": "cl100k_base" },
        })
    );
    let [remark] = work.remarks.as_slice() else { panic!("{:?}", told(&work.remarks)) };
    assert_eq!(remark.path, ["datasource", "engine"]);
    for key in [
        "engine",
        "excel_reader",
        "excel_writer",
        "shard_size",
        "min_shard_size",
        "max_shard_size",
        "max_workers",
        "tiktoken_model",
        "log",
        "flux_api_url",
    ] {
        assert!(remark.message.contains(&format!("`{key}`")), "{key}: {}", remark.message);
    }
}

#[test]
fn what_is_not_said_is_as_their_defaults_say() {
    let step = step(&with(json!({})));
    assert_eq!(step["flow"]["max_in_flight"], 100);
    assert_eq!(step["flow"]["retries"], json!({ "api": 3, "content": 1, "system": 2 }));
    assert_eq!(step["source"]["require"], "all");
    assert_eq!(step["work"]["prompt"]["parameters"], json!({ "temperature": 0.7 }));
    assert_eq!(step["work"]["prompt"]["model"], "auto");
    assert_eq!(step["work"]["prompt"]["response_format"], "none");
    // The output is the input.
    assert_eq!(step["sink"]["csv"]["path"], "in.csv");
    assert_eq!(step["sink"]["csv"]["rows"], "all");
    let nothing = json!({ "datasource": {}, "excel": { "input_path": "a.xlsx" }, "columns_to_extract": ["q"],
        "columns_to_write": { "a": "b" }, "prompt": { "template": "x {record_json}" } });
    assert_eq!(super::tests::step(&made(&nothing))["source"]["excel"]["path"], "a.xlsx");
}

#[test]
fn mistakes_are_told_where_they_stand() {
    for (more, path, said) in [
        (json!({ "columns_to_extract": [] }), "columns_to_extract", "names no column"),
        (json!({ "columns_to_write": null }), "columns_to_write", "names no column"),
        (json!({ "columns_to_write": { "a": [1] } }), "columns_to_write.a", "named by a text"),
        (json!({ "csv": { "input_path": null } }), "csv", "`csv: input_path:` is missing"),
        (json!({ "datasource": { "type": "mysqll" } }), "datasource.type", "`feishu_sheet`"),
        (json!({ "datasource": { "type": "feishu_bitable" } }), "datasource.type", "not supported yet"),
        (json!({ "datasource": { "type": "mysql" } }), "datasource.type", "the section `mysql` is missing"),
        (
            json!({ "datasource": { "concurrency": { "batch_size": 0 } } }),
            "datasource.concurrency.batch_size",
            "1 or more",
        ),
        (json!({ "prompt": { "template": " " } }), "prompt.template", "nothing to ask"),
        (json!({ "csv": { "input_path": "old.xls" } }), "csv.input_path", "old format"),
        (json!({ "routing": { "enabled": true } }), "routing", "`routing: field:` is missing"),
    ] {
        let (at, what) = mistake(more.clone());
        assert_eq!(at, path, "{more}");
        assert!(what.contains(said), "{more}: {what}");
    }
    let near = with(json!({ "datasource": { "type": "mysqll" } })).remarks;
    assert_eq!(near.iter().find_map(|remark| remark.help.as_deref()), Some("did you mean `mysql`?"));
}

#[test]
fn an_unknown_key_is_a_warning_with_a_suggestion_and_no_reason_to_stop() {
    let work = with(
        json!({ "promt": {}, "prompt": { "temprature": 1 }, "datasource": { "concurrency": { "batchsize": 3 } } }),
    );
    step(&work);
    let helps: Vec<_> = work.remarks.iter().filter_map(|remark| remark.help.as_deref()).collect();
    assert_eq!(
        helps,
        ["did you mean `prompt`?", "did you mean `temperature`?", "did you mean `batch_size`?"],
        "{:?}",
        told(&work.remarks)
    );
}

#[test]
fn a_database_is_named_by_a_url_and_its_password_by_a_variable() {
    let mysql = json!({ "host": "db", "user": "a b", "password": "planted-4711", "database": "shop", "table_name": "t",
        "pool_size": 5 });
    let work = with(json!({ "datasource": { "type": "mysql" }, "mysql": mysql }));
    let step = step(&work);
    let table = json!({ "url": "mysql://a%20b@db:3306/shop", "password": { "env": "MYSQL_PASSWORD" }, "table": "t" });
    assert_eq!(step["source"]["mysql"], table);
    assert_eq!(step["sink"]["mysql"]["columns"], json!({ "a": "ai_a" }));
    assert_eq!(step["sink"]["mysql"]["failures"], "config.failures.jsonl");
    assert_eq!(work.secrets["MYSQL_PASSWORD"].expose(), "planted-4711");
    assert!(!format!("{work:?} {}", work.draft.text()).contains("planted"));

    let postgres =
        json!({ "host": "::1", "port": 5433, "user": "u", "password": "", "database": "d", "table_name": "t" });
    let work = with(json!({ "datasource": { "type": "postgresql" }, "postgresql": postgres }));
    let table = json!({ "url": "postgres://u@[::1]:5433/d", "schema": "public", "table": "t" });
    assert_eq!(super::tests::step(&work)["source"]["postgres"], table);
    assert!(work.secrets.is_empty());

    let sqlite = json!({ "db_path": "a.db", "table_name": "t" });
    let work = with(json!({ "datasource": { "type": "sqlite" }, "sqlite": sqlite }));
    assert_eq!(super::tests::step(&work)["source"]["sqlite"], json!({ "path": "a.db", "table": "t" }));
}

#[test]
fn a_csv_input_with_an_xlsx_output_is_no_csv_under_the_wrong_name() {
    let step = step(&with(json!({ "csv": { "output_path": "out.xlsx" } })));
    assert!(step["source"]["csv"].is_object() && step["sink"]["excel"].is_object());
    // The ending of the input says what it is, whatever the type.
    let step =
        super::tests::step(&with(json!({ "datasource": { "type": "excel" }, "excel": { "input_path": "a.csv" } })));
    assert!(step["source"]["csv"].is_object() && step["sink"]["csv"].is_object());
}

#[test]
fn a_pause_does_not_begin_again_the_moment_it_ends() {
    let pause = |concurrency: Value| {
        step(&with(json!({ "datasource": { "concurrency": concurrency } })))["flow"]["pause"].clone()
    };
    assert_eq!(pause(json!({})), json!({ "for": "2s", "window": "4s" }));
    assert_eq!(
        pause(json!({ "api_pause_duration": 0.5, "api_error_trigger_window": 0 })),
        json!({ "for": "500ms", "window": "500ms" })
    );
    assert_eq!(pause(json!({ "api_pause_duration": 0 })), Value::Null);
}

#[test]
fn a_content_error_is_tried_again_as_often_as_the_limit_promised() {
    let concurrency = json!({ "concurrency": { "retry_limits": { "content_error": 3 } } });
    let retries = step(&with(json!({ "datasource": concurrency })))["flow"]["retries"].clone();
    assert_eq!(retries, json!({ "api": 3, "content": 3, "system": 2 }));
}

#[test]
fn the_json_schema_that_was_advertised_is_sent() {
    let prompt = step(&with(json!({ "prompt": { "use_json_schema": true } })))["work"]["prompt"].clone();
    // As a schema unless given.
    assert_eq!(prompt["response_format"], Value::Null);
}

#[test]
fn a_temperature_that_is_not_to_be_sent_is_not() {
    let prompt = step(&with(json!({ "prompt": { "temperature_override": false } })))["work"]["prompt"].clone();
    assert_eq!(prompt["parameters"], Value::Null);
}

#[test]
fn rules_hold_only_where_validation_is_on() {
    let output =
        |validation: Value| step(&with(json!({ "validation": validation })))["work"]["prompt"]["output"].clone();
    let rules = json!({ "a": ["x"], "b": [] });
    assert_eq!(output(json!({ "field_rules": rules }))["a"], json!({ "type": "any", "optional": true }));
    let on = output(json!({ "enabled": "yes", "field_rules": rules }));
    assert_eq!(on["a"], json!({ "enum": ["x"], "optional": true }));
    assert_eq!(on["b"], json!({ "type": "any", "optional": true, "drop": true }));
}

#[test]
fn columns_with_an_underscore_are_not_shown() {
    let work = with(json!({ "columns_to_extract": ["_id", "q", 7, "q"] }));
    assert_eq!(step(&work)["source"]["fields"], json!(["q", "7"]));
    assert!(told(&work.remarks)[0].1.contains("`_id`"));
}

fn routed(profile: Value) -> Work {
    let subtasks = json!([{ "match": "bug", "profile": "bug.yaml" }, { "match": 2, "profile": "bug.yaml" }]);
    let mut file = least(json!({ "routing": { "enabled": true, "field": "kind", "subtasks": subtasks } }));
    file["prompt"] =
        json!({ "template": "Main {record_json}", "system_prompt": "S", "required_fields": ["a"], "model": "m" });
    file["validation"] = json!({ "enabled": true, "field_rules": { "a": ["x", "y"] } });
    made_with(&file, &move |_| Ok(profile.clone()))
}

#[test]
fn a_profile_is_merged_over_the_main_file_and_only_what_differs_is_said() {
    let work = routed(json!({
        "prompt": { "system_prompt": null, "temperature": 0.1, "use_json_schema": true, "required_fields": [] },
        "validation": { "field_rules": { "b": [1] } },
    }));
    let by = step(&work)["work"]["prompt"]["by"].clone();
    assert_eq!(by["field"], "kind");
    let case = json!({
        "system": "", "response_format": "schema", "parameters": { "temperature": 0.1 },
        "output": { "a": { "enum": ["x", "y"], "optional": true }, "b": { "enum": [1], "optional": true, "drop": true } },
    });
    assert_eq!(by["cases"], json!({ "bug": case, "2": case }));
}

#[test]
fn a_row_without_a_value_for_routing_is_asked_with_the_main_prompt() {
    // The field is none of those that `require` looks at, which ruined such rows.
    let work = routed(Value::Null);
    assert_eq!(step(&work)["source"]["fields"], json!(["q"]));
    assert_eq!(step(&work)["work"]["prompt"]["by"]["cases"], json!({ "bug": {}, "2": {} }));
}

#[test]
fn a_bad_profile_is_told_at_the_subtask_that_names_it() {
    for (profile, said) in [
        (json!({ "columns_to_write": {} }), "`columns_to_write`"),
        (json!([1]), "a profile is a map"),
        (json!({ "prompt": { "template": "" } }), "in `bug.yaml`: `prompt: template:` is missing"),
    ] {
        let remarks = routed(profile).remarks;
        let (at, what) = told(&remarks).remove(0);
        assert!(remarks[0].is_mistake && at == "routing.subtasks.0.profile" && what.contains(said), "{at}: {what}");
    }
    let file = least(json!({ "routing": { "enabled": true, "field": "k", "subtasks": [
        { "match": "a", "profile": "gone.yaml" }, { "profile": "x" }, { "match": "b" }, 7,
    ] } }));
    let remarks = made(&file).remarks;
    let places: Vec<_> = told(&remarks).into_iter().map(|(at, _)| at).collect();
    let wanted = ["routing.subtasks.0.profile", "routing.subtasks.1", "routing.subtasks.2", "routing.subtasks.3"];
    assert_eq!(places, wanted);
}

#[test]
fn routing_that_is_off_is_off() {
    let work = with(json!({ "routing": { "field": "k", "subtasks": [{ "match": "a", "profile": "gone.yaml" }] } }));
    assert_eq!(step(&work)["work"]["prompt"]["by"], Value::Null);
}

#[test]
fn modes_of_the_token_estimator_have_their_old_names_too() {
    for (theirs, ours) in
        [("in", "in"), ("input", "in"), ("out", "out"), ("io", "both"), ("input_output", "both"), ("odd", "in")]
    {
        let work = with(json!({ "token_estimation": { "mode": theirs, "sample_size": -1 } }));
        assert_eq!(work.draft.tree()["estimate"], json!({ "mode": ours, "sample": "all" }), "{theirs}");
    }
}

#[test]
fn a_table_is_saved_as_often_as_it_was() {
    assert_eq!(step(&with(json!({})))["flow"]["save_every"], "300s");
    let sqlite = json!({ "db_path": "a.db", "table_name": "t" });
    let concurrency = json!({ "type": "sqlite", "concurrency": { "save_interval": 10 } });
    let work = with(json!({ "datasource": concurrency, "sqlite": sqlite }));
    assert_eq!(step(&work)["flow"]["save_every"], Value::Null);
    assert!(work.remarks[0].message.contains("`save_interval`"));
}

/// A value that somebody may have written by mistake.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z{}%#/:.\\PC]{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, 1, "a", ["b"], { "c": 1 }])),
        Just(json!({ "a": [1, null], "": "x", "b": { "c": {} } })),
        prop::sample::select(vec!["csv", "excel", "yes", "{record_json}", "a.csv", "in", "-1", "1e400"])
            .prop_map(Value::from),
    ]
}

/// Puts a value in the place that `way` leads to.
fn put(tree: &mut Value, way: &[usize], value: Value) {
    let Some((turn, rest)) = way.split_first() else { return *tree = value };
    match tree {
        Value::Object(map) if !map.is_empty() => {
            let n = map.len();
            map.values_mut().nth(turn % n).into_iter().for_each(|inner| put(inner, rest, value.clone()));
        }
        Value::Array(items) if !items.is_empty() => {
            let n = items.len();
            put(&mut items[turn % n], rest, value);
        }
        _ => *tree = value,
    }
}

proptest! {
    #[test]
    fn whatever_is_translated_without_a_mistake_is_a_pipeline(
        changes in prop::collection::vec((prop::collection::vec(0_usize..32, 1..5), anything()), 1..5),
    ) {
        let mut file = parsed(WHOLE);
        changes.into_iter().for_each(|(way, value)| put(&mut file, &way, value));
        let text = file.to_string();
        let (_, document, _) = crate::config::read::<Value>("config.yaml".as_ref(), &text);
        crate::fuzzing::translated(&file, &document, &text);
    }
}
