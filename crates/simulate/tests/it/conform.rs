//! Answers that satisfy the schema they were asked to.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use simulate::Vendor;

use crate::client::{Reply, ask, saying, vendor};

fn ask_for(vendor: &Vendor, schema: &Value, text: &str) -> Reply {
    let mut request = saying(text);
    request["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema } });
    ask(vendor, &request)
}

/// Asks three times for a value of the schema and checks each.
fn check(vendor: &Vendor, schema: &Value) -> Value {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let mut last = Value::Null;
    for n in 0..3 {
        let reply = ask_for(vendor, schema, &format!("{n}"));
        assert_eq!(reply.status, 200, "{schema}: {}", reply.body);
        let content = reply.content();
        last = serde_json::from_str(&content).expect("JSON");
        assert_eq!(last.to_string().len(), content.len(), "it is compact");
        assert!(validator.is_valid(&last), "{last} does not satisfy {schema}");
    }
    last
}

#[test]
fn known_schemas_are_satisfied() {
    let vendor = vendor(json!({}));
    let object = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    for schema in [
        json!(true),
        json!({}),
        json!({ "const": { "a": [1, null] } }),
        json!({ "enum": ["good", "bad", 3, null] }),
        json!({ "type": ["string", "null"], "maxLength": 9 }),
        json!({ "type": "integer", "minimum": 1, "maximum": 5 }),
        json!({ "type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3 }),
        json!({ "type": "integer", "minimum": 0.5, "maximum": 1.5 }),
        json!({ "type": "integer", "minimum": -9_223_372_036_854_775_808_i64, "maximum": i64::MAX }),
        json!({ "type": "integer", "multipleOf": 7, "minimum": 15 }),
        json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001 }),
        json!({ "type": "number", "multipleOf": 0.5, "exclusiveMinimum": 1, "maximum": 2 }),
        json!({ "type": "number", "minimum": 3, "maximum": 3 }),
        json!({ "type": "string", "minLength": 300, "maxLength": 301 }),
        json!({ "type": "string", "maxLength": 0 }),
        json!({ "type": "string", "format": "uuid" }),
        json!({ "type": "array", "items": { "type": "boolean" }, "minItems": 4, "maxItems": 4 }),
        json!({ "type": "array", "items": { "enum": [1, 2, 3] }, "uniqueItems": true, "minItems": 3 }),
        json!({ "type": "array", "prefixItems": [{ "type": "null" }, { "type": "integer" }], "items": false }),
        json!({ "type": "array", "maxItems": 0 }),
        object(json!({ "a \"b\"": { "type": "null" }, "c": false }), json!(["a \"b\""])),
        json!({ "type": "object", "required": ["undescribed"], "additionalProperties": { "type": "integer" } }),
        json!({ "anyOf": [{ "type": "integer" }, object(json!({ "x": { "type": "string" } }), json!(["x"]))] }),
        json!({ "type": "object", "properties": { "k": {} }, "required": ["k"],
                "oneOf": [{ "properties": { "k": { "const": 1 } } }, { "properties": { "k": { "const": 2 } } }] }),
        json!({ "allOf": [{ "$ref": "#/$defs/named" }, { "required": ["age"], "properties": { "age": { "type": "integer" } } }],
                "$defs": { "named": object_named() } }),
    ] {
        check(&vendor, &schema);
    }
}

fn object_named() -> Value {
    json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] })
}

#[test]
fn a_recursive_schema_comes_to_an_end() {
    let vendor = vendor(json!({}));
    let node = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "next": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] },
            "children": { "type": "array", "items": { "$ref": "#/$defs/node" } },
        },
        "required": ["name", "next", "children"],
        "additionalProperties": false,
    });
    let tree = check(&vendor, &json!({ "$ref": "#/$defs/node", "$defs": { "node": node } }));
    assert!(tree["name"].is_string());
}

#[test]
fn a_recursive_schema_of_many_branches_stays_small() {
    let vendor = vendor(json!({}));
    let branch = || json!({ "type": "array", "items": { "$ref": "#" } });
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), branch())).collect();
    let bush = check(&vendor, &json!({ "type": "object", "properties": properties, "required": names }));
    assert!(bush.to_string().len() < 64 << 10, "{} bytes", bush.to_string().len());
}

#[test]
fn what_cannot_be_satisfied_is_refused() {
    let vendor = vendor(json!({}));
    for schema in [
        json!(false),
        json!({ "type": "integer", "minimum": 3, "maximum": 2 }),
        json!({ "type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4 }),
        json!({ "type": "string", "pattern": "^a$" }),
        json!({ "type": "string", "minLength": 1_000_000_000 }),
        json!({ "type": "object", "properties": { "a": { "$ref": "#" } }, "required": ["a"] }),
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$ref": "https://example.com/schema" }),
        json!({ "enum": [] }),
        json!({ "type": "text" }),
        json!([1]),
    ] {
        let reply = ask_for(&vendor, &schema, "hi");
        assert_eq!(reply.status, 400, "{schema}: {}", reply.body);
        assert_eq!(reply.json()["error"]["param"], "response_format");
    }
}

/// Any schema of those that the vendor follows, a few levels deep.
fn schemas() -> impl Strategy<Value = Value> {
    let count = || (0..6_u32, 0..6_u32).prop_map(|(least, more)| (least, least + more));
    let leaf = prop_oneof![
        Just(json!({ "type": "null" })),
        Just(json!({ "type": "boolean" })),
        (-1_000..1_000_i64, 0..50_i64)
            .prop_map(|(from, width)| { json!({ "type": "integer", "minimum": from, "maximum": from + width }) }),
        (-1e6..1e6_f64, 1e-3..1e3_f64).prop_map(|(from, width)| {
            json!({ "type": "number", "exclusiveMinimum": from, "maximum": from + width })
        }),
        (0..80_u32, 0..80_u32)
            .prop_map(|(least, more)| { json!({ "type": "string", "minLength": least, "maxLength": least + more }) }),
        proptest::collection::vec("[a-z\"\\\\é]{0,5}", 1..4).prop_map(|words| json!({ "enum": words })),
        Just(json!({ "type": ["integer", "null", "array"], "minimum": 3 })),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let field = ("[a-z]{1,3}", inner.clone(), any::<bool>());
        prop_oneof![
            (inner.clone(), count()).prop_map(|(items, (least, most))| {
                json!({ "type": "array", "items": items, "minItems": least, "maxItems": most })
            }),
            proptest::collection::vec(field, 0..5).prop_map(|fields| {
                let names = fields.iter().filter(|(_, _, required)| *required).map(|(name, _, _)| name.clone());
                let required: std::collections::BTreeSet<String> = names.collect();
                let properties: Map<String, Value> = fields.into_iter().map(|(name, s, _)| (name, s)).collect();
                json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
            }),
            proptest::collection::vec(inner, 1..4).prop_map(|schemas| json!({ "anyOf": schemas })),
        ]
    })
}

#[test]
fn any_schema_is_satisfied() {
    let vendor = vendor(json!({}));
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) }, |(schema in schemas())| {
        check(&vendor, &schema);
    });
}
