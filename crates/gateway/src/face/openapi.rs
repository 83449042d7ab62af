//! The description of the face for programs: an `OpenAPI` document. <https://spec.openapis.org/oas/v3.1.1>

use serde_json::{Value, json};

/// What does not depend on the configuration.
const DOCUMENT: &str = include_str!("openapi.json");

/// Returns the document. Whether clients must show a key is the configuration's to say.
pub(super) fn document(has_keys: bool) -> Value {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["security"] = if has_keys { json!([{ "bearer": [] }, { "apiKey": [] }]) } else { json!([{}]) };
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;

    use super::*;
    use crate::face::endpoint::{Endpoint, NotFound};

    #[test]
    fn the_document_has_exactly_the_paths_that_are_answered() {
        let document = document(true);
        let source = include_str!("endpoint.rs");
        let source = source.split("#[cfg(test)]").next().unwrap();
        // Every path in the sources that is matched as a whole.
        let mut answered: BTreeSet<String> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "))
            .map(|(path, _)| path.to_owned())
            .collect();
        answered.extend(["/v1/models", "/v1/models/{model}"].map(str::to_owned));
        let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, answered);
        for (path, methods) in document["paths"].as_object().unwrap() {
            let path = path.replace("{model}", "a");
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let is_described = methods.get(method.as_str().to_lowercase()).is_some();
                let found = Endpoint::of(&method, &path, None, &[]);
                assert_eq!(found.is_ok(), is_described, "{method} {path}");
                assert_ne!(found, Err(NotFound::Path), "{path}");
            }
        }
    }

    #[test]
    fn all_that_the_document_refers_to_is_there() {
        fn references<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    all.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|value| references(value, all));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, all)),
                _ => {}
            }
        }
        let document = document(false);
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 20);
        for reference in all {
            let pointer = reference.strip_prefix('#').expect("it refers to itself only");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        // Each schema is one, and the examples fit them.
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let mut whole = schema.clone();
            whole["components"] = document["components"].clone();
            let schema = jsonschema::validator_for(&whole).unwrap_or_else(|e| panic!("{name}: {e}"));
            for example in whole["examples"].as_array().into_iter().flatten() {
                assert!(schema.is_valid(example), "{name}: {example}");
            }
        }
    }

    #[test]
    fn keys_are_demanded_where_there_are_any() {
        assert_eq!(document(false)["security"], json!([{}]));
        assert_eq!(document(true)["security"][0], json!({ "bearer": [] }));
        assert_eq!(document(true)["openapi"], "3.1.0");
    }
}
