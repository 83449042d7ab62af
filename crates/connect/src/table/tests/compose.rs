//! New fields into a record.

use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use super::super::compose::{Composer, Naming};
use crate::jsonl::SinkConfig;

fn composer(config: Value, fields: &[&str]) -> Result<Composer, String> {
    let mut whole = serde_json::json!({"path": "out.jsonl"});
    for (name, value) in config.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let SinkConfig { overwrite, columns, .. } = serde_json::from_value(whole).unwrap();
    Composer::new(
        &Naming { overwrite, columns, status: None },
        &fields.iter().map(|&f| f.to_owned()).collect::<Vec<_>>(),
    )
}

fn composed(composer: &Composer, record: &str, output: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let output = RawValue::from_string(output.to_owned()).unwrap();
    composer.compose(record.as_bytes(), &output, &mut out).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn the_records_own_bytes_stay_and_new_fields_follow() {
    let plain = composer(serde_json::json!({}), &["x", "y"]).unwrap();
    for (record, output, expected) in [
        ("{}", r#"{"x":1,"y":2}"#, r#"{"x":1,"y":2}"#),
        (" { } ", r#"{"x":1}"#, r#"{"x":1 }"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
        (
            r#"{"b": 1.10, "a" :12345678901234567890,"c":1e400 }"#,
            r#"{"x":1.0}"#,
            r#"{"b": 1.10, "a" :12345678901234567890,"c":1e400,"x":1.0 }"#,
        ),
        (r#"{"a":{"x":1}}"#, r#"{"x":[1, 2],"y":"é\n\u00e9"}"#, r#"{"a":{"x":1},"x":[1, 2],"y":"é\n\u00e9"}"#),
        (r#"{"a":"}"}"#, "{\"x\": {\n  \"k\": \"a  b\"\n}}", r#"{"a":"}","x":{"k":"a  b"}}"#),
        (r#"{"a":1,"a":2}"#, r#"{"z\"":null}"#, r#"{"a":1,"a":2,"z\"":null}"#),
        (r#"{"a":1 }"#, r#"{"x":"b\\","y":"\"},"}"#, r#"{"a":1,"x":"b\\","y":"\"}," }"#),
        (r#"{"a":1}"#, r#"{"x":-1.5E+3,"y":null}"#, r#"{"a":1,"x":-1.5E+3,"y":null}"#),
        (r#"{"a":1}"#, r#"{"x": "b,\"y\":1", "y" :true}"#, r#"{"a":1,"x":"b,\"y\":1","y":true}"#),
        (r#"{"a":1}"#, r#"{"y":1,"x":2,"w":3}"#, r#"{"a":1,"y":1,"x":2,"w":3}"#),
        (r#"{"a":1}"#, r#"{"x":1,"y":2,"x":3}"#, r#"{"a":1,"x":1,"y":2,"x":3}"#),
    ] {
        assert_eq!(composed(&plain, record, output).as_deref(), Ok(expected), "{record}");
    }
}

#[test]
fn a_taken_name_is_an_error_unless_it_may_be_overwritten() {
    let record = r#"{"x": 1.0 ,"a":2,"\u0078":3}"#;
    let error = composed(&composer(serde_json::json!({}), &["x"]).unwrap(), record, r#"{"x":9}"#).unwrap_err();
    assert!(error.starts_with("the record already has a field `x`; give"), "{error}");
    let error =
        composed(&composer(serde_json::json!({}), &["y", "x"]).unwrap(), record, r#"{"y":8,"x":9}"#).unwrap_err();
    assert!(error.starts_with("the record already has a field `x`; give"), "{error}");
    let over = composer(serde_json::json!({"overwrite": true}), &["x", "y"]).unwrap();
    assert_eq!(composed(&over, record, r#"{"x":9,"y":8}"#).unwrap(), r#"{"x": 9 ,"a":2,"\u0078":9,"y":8}"#);
}

#[test]
fn columns_rename_new_fields() {
    let config = serde_json::json!({"columns": {"x": "ai \"x\""}});
    let renaming = composer(config.clone(), &["x", "y"]).unwrap();
    let line = composed(&renaming, r#"{"x":1}"#, r#"{"x":2,"y":3}"#).unwrap();
    assert_eq!(line, r#"{"x":1,"ai \"x\"":2,"y":3}"#);
    assert_eq!(renaming.output_of(&line).unwrap().get(), r#"{"x":2,"y":3}"#);
    let error = composer(config, &["y", "z"]).unwrap_err();
    assert_eq!(error, "`columns` renames `x`, and the work makes no such field (it makes `y`, `z`)");
    let error = composer(serde_json::json!({"columns": {"x": "y"}}), &["x", "y"]).unwrap_err();
    assert_eq!(error, "`columns` gives the name `y` to two fields");
}

#[test]
fn configuration_is_strict() {
    let wrong = |text: &str| serde_json::from_str::<SinkConfig>(text).unwrap_err().to_string();
    assert!(wrong(r#"{"path":"x","overwrites":true}"#).contains("unknown field `overwrites`"));
    assert!(wrong("{}").contains("missing field `path`"));
    let schema = serde_json::to_string(&schemars::schema_for!(SinkConfig)).unwrap();
    assert!(schema.contains("\"additionalProperties\":false") && schema.contains("JsonlSink"), "{schema}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Without overwriting, the record's text is there whole, and reading the line gives record and output together. One
    /// that stood over several lines stands on one, and says the same.
    #[test]
    fn composing_keeps_the_sources_bytes(
        fields in prop::collection::btree_map("[^xy]{0,4}", json_value(), 0..5),
        x in json_value(),
        is_pretty in any::<bool>(),
        is_spaced in any::<bool>(),
    ) {
        let record = Value::Object(fields.into_iter().collect());
        let text = if is_pretty { serde_json::to_string_pretty(&record).unwrap() } else { record.to_string() };
        let output = serde_json::json!({"x": x, "y": 1});
        let written = if is_spaced { serde_json::to_string_pretty(&output).unwrap() } else { output.to_string() };
        let plain = composer(serde_json::json!({}), &["x", "y"]).unwrap();
        let line = composed(&plain, &text, &written).unwrap();
        let body = text.strip_suffix('}').unwrap().trim_end();
        prop_assert!(is_pretty || line.starts_with(body));
        prop_assert!(!line.contains('\n'));
        let found: Value = serde_json::from_str(&line).unwrap();
        let mut expected = record;
        expected["x"] = x;
        expected["y"] = 1.into();
        prop_assert_eq!(&found, &expected);
        let back = plain.output_of(&line).unwrap();
        prop_assert_eq!(back.get(), output.to_string());
    }
}
