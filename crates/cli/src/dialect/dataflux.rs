//! AI-DataFlux's `config.yaml`: its channels, its models, and what its gateway does with names.
//!
//! What the old tool does is kept where people rely on it: weights, the pace that `safe_rps` sets, a temperature for
//! requests without one, names that are wishes, unknown names that mean any model, the asked name in the answer. What it
//! does by mistake is not: a model that several entries have goes to all of them, and not to the last.

mod channels;
mod entry;
mod models;
mod served;
pub(crate) mod work;

use std::collections::BTreeMap;

use gateway::{FaceSettings, LogFormat, LogSettings, ModelsFile, NameSettings};
use serde_json::{Map, Value};

use super::{Remark, Translated};
use entry::Entry;

/// What a file of theirs holds, at its top. Most of it is about the work and not about the models.
const SECTIONS: [&str; 17] = [
    "global",
    "gateway",
    "datasource",
    "mysql",
    "postgresql",
    "sqlite",
    "excel",
    "csv",
    "feishu",
    "columns_to_extract",
    "columns_to_write",
    "validation",
    "models",
    "channels",
    "prompt",
    "token_estimation",
    "routing",
];

/// Our keys of channels and models, with theirs.
const KEYS: [(&str, &str); 4] =
    [("url", "base_url"), ("key", "api_key"), ("channel", "channel_id"), ("limits", "safe_rps")];

/// How many connections their gateway opens, to each host and together, unless told otherwise.
const CONNECTIONS: u64 = 1_000;

/// Returns whether a file is one of theirs, by its shape: models that name a channel by `channel_id`, or channels with a
/// `base_url`; and nothing that only ours have.
pub(crate) fn is_one(file: &Value) -> bool {
    let has = |(key, member): (&str, &str)| entries(file, key).any(|entry| entry.get(member).is_some());
    !has_ours(file) && [("models", "channel_id"), ("channels", "base_url")].into_iter().any(has)
}

/// Returns whether a file has models or channels as only ours have them.
fn has_ours(file: &Value) -> bool {
    let has = |(key, member): (&str, &str)| entries(file, key).any(|entry| entry.get(member).is_some());
    [("channels", "url"), ("channels", "simulated"), ("models", "channel")].into_iter().any(has)
}

/// Returns the models or the channels of a file, theirs or ours.
fn entries<'a>(file: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    let section = file.get(key);
    let values = section.and_then(Value::as_object).into_iter().flat_map(Map::values);
    values.chain(section.and_then(Value::as_array).into_iter().flatten())
}

/// Reads the models that a run of a file of theirs asks: its own, or where it has none those that are served where it says,
/// by the names that are `asked` for.
///
/// # Errors
/// Where no model is left that could be asked. The remarks say why.
pub(crate) fn for_a_run(file: &Value, asked: &[&str]) -> Result<Translated, Vec<Remark>> {
    if work::asks_a_gateway(file) { Ok(served::translate(file, asked)) } else { translate(file) }
}

/// Reads the models of a file of theirs.
///
/// # Errors
/// Where no model is left that could be asked. The remarks say why.
pub(crate) fn translate(file: &Value) -> Result<Translated, Vec<Remark>> {
    let mut remarks = Vec::new();
    let empty = Map::new();
    let top = Entry::new(Vec::new(), file.as_object().unwrap_or(&empty));
    top.name_unknown(&SECTIONS, &mut remarks);
    let width = width(&top, &mut remarks);
    let channels: BTreeMap<_, _> = channels::read(&top, &mut remarks);
    let found = models::read(&top, &channels, width, &mut remarks);
    if found.is_empty() {
        return Err(remarks);
    }
    let can_be_any = found.iter().any(|(_, model)| model.weight > 0);
    let (places, models): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let models = ModelsFile {
        channels,
        models,
        routes: BTreeMap::new(),
        names: NameSettings {
            patterns: BTreeMap::new(),
            default: can_be_any.then(|| "auto".to_owned()),
            are_wishes: true,
        },
        gateway: FaceSettings { echo_model: true, log: log(&top), ..FaceSettings::default() },
    };
    Ok(Translated { models, remarks, places, keys: &KEYS })
}

/// Returns how many requests may be in flight at a model: their bound is one on connections, and a request holds one.
fn width(top: &Entry<'_>, remarks: &mut Vec<Remark>) -> usize {
    let Some(gateway) = top.section("gateway") else { return to_width(CONNECTIONS) };
    gateway.name_unknown(&["max_connections", "max_connections_per_host"], remarks);
    let mut bound = |key| {
        let number = gateway.number(key, remarks);
        // None at all means no bound of its own.
        number.filter(|number| *number >= 1.0).map(|number| number as u64)
    };
    let all = bound("max_connections").unwrap_or(CONNECTIONS);
    to_width(bound("max_connections_per_host").unwrap_or(CONNECTIONS).min(all))
}

fn to_width(connections: u64) -> usize {
    // The most that a model may have here.
    usize::try_from(connections).unwrap_or(usize::MAX).min(100_000)
}

/// Returns how the gateway's log is written, where the file says so. The old gateway never looked.
fn log(top: &Entry<'_>) -> Option<LogSettings> {
    let log = top.section("global")?.section("log")?;
    let said = |key: &str| log.get(key).and_then(Value::as_str);
    let format = if said("format") == Some("json") { LogFormat::Json } else { LogFormat::Text };
    let file = (said("output") == Some("file")).then(|| said("file_path").unwrap_or("./logs/ai_dataflux.log").into());
    Some(LogSettings { format, file })
}

#[cfg(test)]
mod tests;
