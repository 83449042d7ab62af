//! A file without models: its rows are asked about through the gateway that it names.

use std::{collections::BTreeMap, time::Duration};

use gateway::{Channel, FaceSettings, MaxInFlight, Model, ModelsFile, NameSettings, Setting, Span};
use serde_json::{Map, Value};

use super::{CONNECTIONS, KEYS, entry::Entry, to_width};
use crate::dialect::Translated;

/// Where their gateway is, unless told otherwise.
const URL: &str = "http://127.0.0.1:8787";
const CHAT: &str = "/v1/chat/completions";

/// The name of the channel, and of the model that stands for any.
const GATEWAY: &str = "gateway";

/// Their engine waits so long for an answer, and so long for a connection.
const TIMEOUT: Duration = Duration::from_mins(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes one channel of their gateway's address, with one model for which it is asked by whatever name is asked for.
/// Names in `asked` are those that the rows ask for; each but the usual one is a model that nothing else leads to.
pub(super) fn translate(file: &Value, asked: &[&str]) -> Translated {
    let mut remarks = Vec::new();
    let empty = Map::new();
    let top = Entry::new(Vec::new(), file.as_object().unwrap_or(&empty));
    let url = top.section("global").and_then(|global| global.text("flux_api_url", &mut remarks));
    let channel = Channel {
        url: Some(Setting::Literal(base(url.as_deref().unwrap_or(URL)))),
        connect_timeout: Some(Span(CONNECT_TIMEOUT)),
        timeout: Some(Span(TIMEOUT)),
        ..Channel::default()
    };
    let usual = top.section("prompt").and_then(|prompt| prompt.text("model", &mut Vec::new()));
    let usual = usual.unwrap_or_else(|| "auto".to_owned());
    let model = |name: &str, asked: &str| {
        let mut model = Model::new(name.to_owned(), GATEWAY.to_owned());
        model.max_in_flight = MaxInFlight::Fixed(to_width(CONNECTIONS));
        model.model = Some(asked.to_owned());
        model
    };
    let mut models = vec![model(GATEWAY, &usual)];
    for name in asked {
        if *name != usual && models.iter().all(|model| model.name != *name) {
            models.push(Model { weight: 0, ..model(name, name) });
        }
    }
    Translated {
        models: ModelsFile {
            channels: BTreeMap::from([(GATEWAY.to_owned(), channel)]),
            models,
            routes: BTreeMap::new(),
            names: NameSettings { patterns: BTreeMap::new(), default: Some("auto".to_owned()), are_wishes: true },
            gateway: FaceSettings::default(),
        },
        remarks,
        places: Vec::new(),
        keys: &KEYS,
    }
}

/// Returns the base of what is completed to the path of chat completions, unless it has that already.
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let root = url.strip_suffix(CHAT).unwrap_or(url);
    let root = root.strip_suffix("/v1").unwrap_or(root);
    format!("{}/v1", root.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn an_address_is_completed_once() {
        for url in [
            "http://h:8787",
            "http://h:8787/",
            "http://h:8787/v1",
            "http://h:8787/v1/chat/completions",
            "http://h:8787/v1/chat/completions/",
        ] {
            assert_eq!(base(url), "http://h:8787/v1", "{url}");
        }
        assert_eq!(base("http://h/flux"), "http://h/flux/v1");
    }
}
