//! What makes two runs the same run: everything that decides answers. Keys, limits, width and retries are not in it,
//! and may change when a run is gone on with.

use std::collections::BTreeMap;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::pipeline::{Ready, StepConfig};

/// The parts of an identity by name, each as a hash: a change can be named, and a prompt does not stand in two places.
pub(crate) fn parts(ready: &Ready) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut add = |name: String, value: &Value| {
        // Whatever is left out and whatever is null are the same to those who read it.
        if !value.is_null() {
            parts.insert(name, hash(value.to_string().as_bytes()));
        }
    };
    let models = &ready.models;
    let is_simulated = |name: &str| models.channels.get(name).is_some_and(|channel| channel.simulated.is_some());
    let simulated: Vec<&str> =
        models.models.iter().filter(|model| is_simulated(&model.channel)).map(|model| model.name.as_str()).collect();
    // Made-up answers and real ones never stand in one output.
    add("simulated models".to_owned(), &serde_json::json!(simulated));
    for (name, step) in &ready.pipeline.steps.0 {
        for (key, value) in step.work.deciding() {
            add(format!("steps.{name}.work.{}.{key}", step.work.key()), &value);
        }
        let source = &step.source;
        for (option, value) in source.table.identity() {
            add(format!("steps.{name}.source.{}.{option}", source.table.word()), &value);
        }
        add(format!("steps.{name}.source.fields"), &serde_json::json!(source.fields));
        add(format!("steps.{name}.source.require"), &serde_json::json!(source.require));
        add(format!("steps.{name}.source.where"), &serde_json::json!(source.where_));
        add(format!("steps.{name}.source.pending"), &serde_json::json!(source.pending));
        // Pipelines from before it was there are the same as those that do not say it.
        add(format!("steps.{name}.source.omit_empty"), &serde_json::json!(source.omit_empty.then_some(true)));
    }
    parts
}

/// What decides how outputs look, but not what they say: a change makes them be written again, without asking.
pub(crate) fn of_sink(step: &StepConfig) -> String {
    hash(format!("{:?}", step.sink).as_bytes())
}

/// The identity as one value.
pub(crate) fn of(parts: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = parts.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
    hash(lines.concat().as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// Names what differs between two identities.
pub(crate) fn differences(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let names = before.keys().chain(now.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != now.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let parts = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let before = parts(&[("template", "1"), ("system", "2")]);
        let now = parts(&[("template", "3"), ("parameters", "4")]);
        assert_eq!(differences(&before, &now), ["system", "template", "parameters"]);
        assert_eq!(differences(&before, &before), Vec::<String>::new());
        assert_ne!(of(&before), of(&now));
    }
}
