//! Their models, and the names that lead to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::Secret;
use gateway::{Channel, JsonSupport, Key, MaxInFlight, Model, Rate, Span};
use serde_json::Value;

use super::entry::Entry;
use crate::dialect::Remark;

const KEYS: [&str; 11] = [
    "id",
    "name",
    "model",
    "channel_id",
    "api_key",
    "timeout",
    "weight",
    "temperature",
    "safe_rps",
    "supports_json_schema",
    "supports_advanced_params",
];

/// Names that mean any model; they are nobody's own.
const ANY: [&str; 4] = ["auto", "any", "default", "*"];

const TIMEOUT: f64 = 300.0;
const TEMPERATURE: f64 = 0.7;

/// A model with the names that it has there.
struct Named {
    /// Where it stands in the list.
    index: usize,
    id: String,
    name: String,
    vendor_name: String,
    model: Model,
}

/// Reads the models that can be asked, each with its place in their list.
pub(super) fn read(
    top: &Entry<'_>,
    channels: &BTreeMap<String, Channel>,
    width: usize,
    remarks: &mut Vec<Remark>,
) -> Vec<(usize, Model)> {
    let Some(list) = top.get("models").and_then(Value::as_array) else { return Vec::new() };
    let mut all: Vec<Named> = Vec::new();
    for (index, model) in list.iter().enumerate() {
        let place = vec!["models".to_owned(), index.to_string()];
        let Value::Object(map) = model else {
            let message = "this model is no map, and is left out".to_owned();
            remarks.push(Remark { path: place, message, ..Remark::default() });
            continue;
        };
        let Some(named) = model_of(&Entry::new(place, map), index, channels, width, remarks) else { continue };
        // The last one counts, as the old tool has it.
        if let Some(earlier) = all.iter().position(|earlier| earlier.id == named.id) {
            let path = vec!["models".to_owned(), all[earlier].index.to_string()];
            let message = format!("another model below has the id `{}`: this one is left out", named.id);
            remarks.push(Remark { path, message, ..Remark::default() });
            all.remove(earlier);
        }
        all.push(named);
    }
    let penalties =
        all.iter().find(|named| list[named.index].get("supports_advanced_params") == Some(&Value::Bool(false)));
    if let Some(named) = penalties {
        let path = ["models", &named.index.to_string(), "supports_advanced_params"].map(str::to_owned).to_vec();
        let message = "a request goes to the model with all its members: `presence_penalty`, `frequency_penalty` and \
                       `logit_bias` are not taken out";
        remarks.push(Remark { path, message: message.to_owned(), ..Remark::default() });
    }
    with_names(all)
}

fn model_of(
    entry: &Entry<'_>,
    index: usize,
    channels: &BTreeMap<String, Channel>,
    width: usize,
    remarks: &mut Vec<Remark>,
) -> Option<Named> {
    entry.name_unknown(&KEYS, remarks);
    let [id, vendor_name, channel] = ["id", "model", "channel_id"].map(|key| {
        let text = entry.text(key, remarks);
        if text.is_none() {
            remarks.push(entry.remark("", format!("this model has no `{key}`, and is left out")));
        }
        text
    });
    let (id, vendor_name, channel) = (id?, vendor_name?, channel?);
    if !channels.contains_key(&channel) {
        let message = format!("there is no channel `{channel}` that could be used: this model is left out");
        remarks.push(entry.remark("channel_id", message));
        return None;
    }
    let name = entry.text("name", remarks).unwrap_or_else(|| id.clone());
    let mut model = Model::new(name.clone(), channel);
    model.model = Some(vendor_name.clone());
    model.max_in_flight = MaxInFlight::Fixed(width);
    model.key = key(entry, remarks);
    model.weight = weight(entry, remarks);
    let usual = (f64::from(model.weight) / 10.0).clamp(0.5, 10.0);
    let pace = entry.amount("safe_rps", remarks).unwrap_or(usual);
    model.limits.requests_per_second = Some(Rate(pace));
    let seconds = entry.amount("timeout", remarks).unwrap_or(TIMEOUT);
    model.timeout = Duration::try_from_secs_f64(seconds).ok().map(Span);
    let temperature = entry.number("temperature", remarks).unwrap_or(TEMPERATURE);
    model.defaults.insert("temperature".to_owned(), temperature.into());
    // Where it is not said, or said to be there, it is tried.
    let lacks_schema = entry.truth("supports_json_schema", remarks) == Some(false);
    model.json = lacks_schema.then_some(JsonSupport::Object);
    Some(Named { index, id, name, vendor_name, model })
}

fn key(entry: &Entry<'_>, remarks: &mut Vec<Remark>) -> Option<Key> {
    let key = entry.text("api_key", remarks)?;
    if key.starts_with("${") {
        let message = "variables are not put in here, by AI-DataFlux neither: the key is sent as it stands";
        remarks.push(entry.remark("api_key", message.to_owned()));
    }
    Some(Key::Given(Secret::new(key)))
}

fn weight(entry: &Entry<'_>, remarks: &mut Vec<Remark>) -> u32 {
    let Some(number) = entry.number("weight", remarks) else { return 1 };
    let whole = number.ceil().clamp(0.0, 1e6);
    if whole.to_bits() != number.to_bits() && number > 0.0 {
        remarks.push(entry.remark("weight", format!("a weight is a whole number here: {number} counts as {whole}")));
    }
    whole as u32
}

/// Gives each model a name of its own; its other names, and those that it shares, become aliases.
fn with_names(all: Vec<Named>) -> Vec<(usize, Model)> {
    let mut owners: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (at, named) in all.iter().enumerate() {
        for name in [&named.id, &named.vendor_name, &named.name] {
            owners.entry(name.clone()).or_default().insert(at);
        }
    }
    let is_free = |name: &str| !ANY.contains(&name);
    let mut taken: BTreeSet<String> = owners.keys().cloned().collect();
    let mut found = Vec::new();
    for named in all {
        let Named { index, id, name, vendor_name, mut model } = named;
        let is_own = |name: &str| is_free(name) && owners.get(name).is_some_and(|owners| owners.len() == 1);
        model.name = if is_own(&name) {
            name.clone()
        } else {
            let mut own = format!("{name}-{id}");
            while !taken.insert(own.clone()) {
                own.push('\'');
            }
            own
        };
        for alias in [id, vendor_name, name] {
            if is_free(&alias) && alias != model.name && !model.aliases.contains(&alias) {
                model.aliases.push(alias);
            }
        }
        found.push((index, model));
    }
    found
}
