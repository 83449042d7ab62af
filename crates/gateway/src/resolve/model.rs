//! Models: what is asked, and with which key.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::Secret;
use provider::{OpenAi, transport::Connecting};
use serde_json::Value;

use super::{Resolver, channel::Line, listed, model_path};
use crate::config::{AbilitySettings, Count, JsonSupport, Key, MaxInFlight, Model, RateLimits, Span};

/// Members of a request that are the request itself.
const NEVER_DEFAULT: [&str; 5] = ["model", "messages", "input", "prompt", "stream"];

/// A model that can be asked.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in the models file.
    pub name: Arc<str>,
    /// Further names of it.
    pub aliases: Vec<Arc<str>>,
    /// The name of its channel.
    pub channel: Arc<str>,
    /// The vendor's name of it.
    pub vendor_name: Arc<str>,
    /// How it is asked.
    pub model: OpenAi,
    /// How connections to it come about; models of the same channel share it.
    pub connecting: Arc<Connecting>,
    /// How long the first byte of an answer may take, where that has a limit.
    pub first_byte_timeout: Option<Duration>,
    /// How long a whole answer may take, where that has a limit besides the request's deadline.
    pub timeout: Option<Duration>,
    /// Which demands on the form of an answer it takes, where the file says so.
    pub json: Option<JsonSupport>,
    /// What else it can do.
    pub abilities: Declared,
    /// Members of a request that are put in where it has none of that name.
    pub defaults: BTreeMap<String, Value>,
    /// How many requests may be in flight.
    pub max_in_flight: MaxInFlight,
    /// What its vendor allows in a time.
    pub limits: RateLimits,
    /// Its share of a route; with 0 it is asked only under its own names.
    pub weight: u32,
}

/// What a model can do, as its user says or, where nothing is said, as it is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Whether it takes tools.
    pub tools: bool,
    /// Whether it takes images.
    pub vision: bool,
    /// How many tokens request and answer may have together, where that is known.
    pub context: Option<u64>,
    /// Whether it goes on with an answer that the request has begun.
    pub prefill: bool,
}

impl Declared {
    fn new(settings: AbilitySettings) -> Self {
        Self {
            tools: settings.tools.unwrap_or(true),
            vision: settings.vision.unwrap_or(true),
            context: settings.context.map(|Count(tokens)| tokens),
            prefill: settings.prefill.unwrap_or(false),
        }
    }
}

impl Resolver<'_> {
    pub(super) fn upstream(
        &mut self,
        index: usize,
        model: &Model,
        lines: &BTreeMap<&str, Option<Line<'_>>>,
    ) -> Option<Upstream> {
        let key = match &model.key {
            None => Some(None),
            Some(key) => self.key(&model_path(index, "key"), key).map(Some),
        };
        let Some(line) = lines.get(model.channel.as_str()) else {
            let names: Vec<&str> = lines.keys().copied().collect();
            let help = Some(format!("the channels are {}", listed(&names)));
            self.mistake(&model_path(index, "channel"), format!("there is no channel `{}`", model.channel), help);
            return None;
        };
        if let Some(message) = model.max_in_flight.mistake() {
            self.mistake(&model_path(index, "max_in_flight"), message, None);
        }
        for key in model.limits.mistakes() {
            let mut path = model_path(index, "limits");
            path.push(key.to_owned());
            let help = "any number above 0 will do, such as `0.1`; without a limit leave it out".to_owned();
            self.mistake(&path, format!("`{key}` must be above 0"), Some(help));
        }
        for mistake in model.price.iter().filter_map(|price| price.price().err()).flatten() {
            let mut path = model_path(index, "price");
            path.push(mistake.key.to_owned());
            self.mistake(&path, mistake.message, mistake.help);
        }
        for name in model.defaults.keys().filter(|name| NEVER_DEFAULT.contains(&name.as_str())) {
            let mut path = model_path(index, "defaults");
            path.push(name.clone());
            self.mistake(&path, format!("`{name}` is the request's own and has no default"), None);
        }
        let Line { settings, endpoint, connecting } = line.clone()?;
        let vendor_name = model.model.as_ref().unwrap_or(&model.name);
        let way = match &settings.chat_path {
            Some(path) => OpenAi::with_chat_path(endpoint, path, vendor_name, key?),
            None => OpenAi::new(endpoint, vendor_name, key?),
        };
        let limit = |span: Option<Span>| span.map(|Span(limit)| limit);
        match way {
            Ok(way) => Some(Upstream {
                name: model.name.as_str().into(),
                aliases: model.aliases.iter().map(|alias| alias.as_str().into()).collect(),
                channel: model.channel.as_str().into(),
                vendor_name: vendor_name.as_str().into(),
                model: match settings.idle_timeout {
                    Some(Span(limit)) => way.with_idle_limit(limit).with_defaults(defaults(model)),
                    None => way.with_defaults(defaults(model)),
                },
                connecting,
                first_byte_timeout: limit(settings.first_byte_timeout),
                timeout: limit(settings.timeout).into_iter().chain(limit(model.timeout)).min(),
                json: model.json,
                abilities: Declared::new(model.abilities),
                defaults: model.defaults.clone(),
                max_in_flight: model.max_in_flight,
                limits: model.limits,
                weight: model.weight,
            }),
            Err(e) => {
                self.mistake(&model_path(index, "key"), e.to_string(), None);
                None
            }
        }
    }

    /// Finds a key, which stands at `path`.
    pub(super) fn key(&mut self, path: &[String], key: &Key) -> Option<Secret> {
        match key {
            Key::Given(key) => Some(key.clone()),
            Key::Env(name) => {
                if !is_variable(name) {
                    let help =
                        "put the key into a variable such as `API_KEY`, and write `key: { env: API_KEY }`".to_owned();
                    let message =
                        "`env` takes the name of an environment variable, and this is none: is it the key itself?";
                    self.mistake(path, message.to_owned(), Some(help));
                    return None;
                }
                let found = self.variable(name);
                if found.is_none() {
                    let help = format!("put the key into it: `export {name}=...`");
                    self.mistake(path, format!("the environment variable `{name}` is not set"), Some(help));
                }
                found.map(Secret::new)
            }
            Key::File(file) => match (self.read_file)(file) {
                Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
                Ok(_) => {
                    self.mistake(path, format!("the key file `{}` is empty", file.display()), None);
                    None
                }
                Err(e) => {
                    self.mistake(path, format!("the key file `{}` cannot be read: {e}", file.display()), None);
                    None
                }
            },
        }
    }
}

/// Returns the defaults of a model, with their values as they stand in JSON.
fn defaults(model: &Model) -> Vec<(String, String)> {
    model.defaults.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// Returns whether a text can name an environment variable.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
