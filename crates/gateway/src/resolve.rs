//! From the models file to upstreams that can be asked. Pure: the environment and the files come in as functions.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use domain::Secret;
use provider::{OpenAi, transport::Endpoint};

use crate::config::{Channel, FromEnvironment, JsonSupport, Key, Model, ModelsFile, Setting, Span};

/// Headers that carry keys, in the spellings of vendors.
const KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];

/// The route that means every model, unless the file says otherwise.
const AUTO: &str = "auto";

/// What is wrong with a models file, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// The way to the place: keys of maps, and indices of lists.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub help: Option<String>,
}

/// A model that can be asked.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in the models file.
    pub name: Arc<str>,
    /// How it is asked.
    pub model: OpenAi,
    /// Which demands on the form of an answer it takes, where the file says so.
    pub json: Option<JsonSupport>,
    /// How many requests may be in flight.
    pub max_in_flight: usize,
    /// Its share of a route.
    pub weight: u32,
}

/// What a models file comes to.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The models.
    pub upstreams: Vec<Upstream>,
    /// What names lead to, as indices into `upstreams`.
    pub routes: BTreeMap<String, Vec<usize>>,
    /// How long a route may be without a healthy upstream before it is closed.
    pub outage: Duration,
}

/// Makes upstreams of a models file, or says all that is wrong with it.
///
/// `lookup` finds variables of the environment and `read_file` reads the files of keys; relative paths are given as they
/// stand.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn resolve(
    file: &ModelsFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Resolved, Vec<ConfigMistake>> {
    let mut resolver = Resolver { lookup, read_file, mistakes: Vec::new() };
    let endpoint = |(name, channel)| (String::as_str(name), resolver.endpoint(name, channel));
    let endpoints: BTreeMap<&str, Option<Endpoint>> = file.channels.iter().map(endpoint).collect();
    let mut upstreams = Vec::new();
    for (index, model) in file.models.iter().enumerate() {
        if file.models[..index].iter().any(|earlier| earlier.name == model.name) {
            resolver.mistake(&model_path(index, "name"), format!("a second model is named `{}`", model.name), None);
        }
        let idle_limit = file.channels.get(&model.channel).and_then(|channel| channel.idle_timeout.as_ref());
        upstreams.extend(resolver.upstream(index, model, &endpoints, idle_limit));
    }
    let routes = resolver.routes(file);
    if resolver.mistakes.is_empty() {
        Ok(Resolved { upstreams, routes, outage: Duration::from_hours(24) })
    } else {
        Err(resolver.mistakes)
    }
}

struct Resolver<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    mistakes: Vec<ConfigMistake>,
}

impl Resolver<'_> {
    fn mistake(&mut self, path: &[String], message: String, help: Option<String>) {
        self.mistakes.push(ConfigMistake { path: path.to_vec(), message, help });
    }

    fn endpoint(&mut self, name: &str, channel: &Channel) -> Option<Endpoint> {
        let path = |key: &str| vec!["channels".to_owned(), name.to_owned(), key.to_owned()];
        let setting = match (&channel.url, &channel.simulated) {
            (Some(setting), None) => setting,
            (None, Some(_)) => {
                // Whoever composes the process has put the address of the scripted vendor into `url` by now.
                self.mistake(&path("simulated"), format!("the simulated channel `{name}` was not opened"), None);
                return None;
            }
            (both, _) => {
                let what = if both.is_some() { "both `url` and" } else { "neither `url` nor" };
                let help = "it needs exactly one of them".to_owned();
                self.mistake(&path("")[..2], format!("channel `{name}` has {what} `simulated`"), Some(help));
                return None;
            }
        };
        let url = match setting {
            Setting::Literal(url) => url.clone(),
            Setting::From(FromEnvironment { env, default }) => match self.variable(env).or_else(|| default.clone()) {
                Some(url) => url,
                None => {
                    let help = format!("set it, or write a default: `url: {{ env: {env}, default: ... }}`");
                    self.mistake(&path("url"), format!("the environment variable `{env}` is not set"), Some(help));
                    return None;
                }
            },
        };
        if channel.idle_timeout.is_some_and(|Span(limit)| limit.is_zero()) {
            let message = "a limit of no time at all would cut every answer".to_owned();
            self.mistake(&path("idle_timeout"), message, Some("leave it out, or write `idle_timeout: 2m`".to_owned()));
        }
        let mut endpoint = match Endpoint::parse(&url) {
            Ok(endpoint) => endpoint,
            Err(e) => {
                self.mistake(&path("url"), format!("the URL of channel `{name}` cannot be used: {e}"), None);
                return None;
            }
        };
        for (header, value) in &channel.headers {
            let mut path = path("headers");
            path.push(header.clone());
            if KEY_HEADERS.iter().any(|name| header.eq_ignore_ascii_case(name)) {
                let help = Some("give the model a `key: { env: NAME }`".to_owned());
                self.mistake(&path, "a key never stands among the headers".to_owned(), help);
                continue;
            }
            match endpoint.clone().with_header(header, value) {
                Ok(with) => endpoint = with,
                Err(e) => self.mistake(&path, e.to_string(), None),
            }
        }
        Some(endpoint)
    }

    fn upstream(
        &mut self,
        index: usize,
        model: &Model,
        endpoints: &BTreeMap<&str, Option<Endpoint>>,
        idle_limit: Option<&Span>,
    ) -> Option<Upstream> {
        let key = match &model.key {
            None => Some(None),
            Some(key) => self.key(index, key).map(Some),
        };
        let Some(endpoint) = endpoints.get(model.channel.as_str()) else {
            let names: Vec<&str> = endpoints.keys().copied().collect();
            let help = Some(format!("the channels are {}", listed(&names)));
            self.mistake(&model_path(index, "channel"), format!("there is no channel `{}`", model.channel), help);
            return None;
        };
        for (name, is_zero) in [("max_in_flight", model.max_in_flight == 0), ("weight", model.weight == 0)] {
            if is_zero {
                self.mistake(&model_path(index, name), format!("`{name}` must be at least 1"), None);
            }
        }
        for mistake in model.price.iter().filter_map(|price| price.price().err()).flatten() {
            let mut path = model_path(index, "price");
            path.push(mistake.key.to_owned());
            self.mistake(&path, mistake.message, mistake.help);
        }
        let way = OpenAi::new(endpoint.clone()?, model.model.as_ref().unwrap_or(&model.name), key?);
        match way {
            Ok(way) => Some(Upstream {
                name: model.name.as_str().into(),
                model: match idle_limit {
                    Some(Span(limit)) => way.with_idle_limit(*limit),
                    None => way,
                },
                json: model.json,
                max_in_flight: model.max_in_flight,
                weight: model.weight,
            }),
            Err(e) => {
                self.mistake(&model_path(index, "key"), e.to_string(), None);
                None
            }
        }
    }

    fn key(&mut self, index: usize, key: &Key) -> Option<Secret> {
        let path = model_path(index, "key");
        match key {
            Key::Env(name) => {
                if !is_variable(name) {
                    let help =
                        "put the key into a variable such as `API_KEY`, and write `key: { env: API_KEY }`".to_owned();
                    let message =
                        "`env` takes the name of an environment variable, and this is none: is it the key itself?";
                    self.mistake(&path, message.to_owned(), Some(help));
                    return None;
                }
                let found = self.variable(name);
                if found.is_none() {
                    let help = format!("put the key into it: `export {name}=...`");
                    self.mistake(&path, format!("the environment variable `{name}` is not set"), Some(help));
                }
                found.map(Secret::new)
            }
            Key::File(file) => match (self.read_file)(file) {
                Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
                Ok(_) => {
                    self.mistake(&path, format!("the key file `{}` is empty", file.display()), None);
                    None
                }
                Err(e) => {
                    self.mistake(&path, format!("the key file `{}` cannot be read: {e}", file.display()), None);
                    None
                }
            },
        }
    }

    /// Returns a variable; one that is set to nothing is not set.
    fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn routes(&mut self, file: &ModelsFile) -> BTreeMap<String, Vec<usize>> {
        let mut routes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, model) in file.models.iter().enumerate() {
            routes.insert(model.name.clone(), vec![index]);
        }
        if !routes.contains_key(AUTO) {
            routes.insert(AUTO.to_owned(), (0..file.models.len()).collect());
        }
        for (name, models) in &file.routes {
            let path = vec!["routes".to_owned(), name.clone()];
            if file.models.iter().any(|model| model.name == *name) {
                let help = Some("rename one of them".to_owned());
                self.mistake(&path, format!("`{name}` names a route and a model"), help);
            }
            if models.is_empty() {
                self.mistake(&path, format!("the route `{name}` leads nowhere"), None);
            }
            let mut indices = Vec::new();
            for (at, model) in models.iter().enumerate() {
                let mut path = path.clone();
                path.push(at.to_string());
                match file.models.iter().position(|known| known.name == *model) {
                    Some(index) if indices.contains(&index) => {
                        let help = Some("give the model a greater `weight`".to_owned());
                        self.mistake(&path, format!("`{model}` stands twice in the route `{name}`"), help);
                    }
                    Some(index) => indices.push(index),
                    None => {
                        let names: Vec<&str> = file.models.iter().map(|model| model.name.as_str()).collect();
                        let help = Some(format!("the models are {}", listed(&names)));
                        self.mistake(&path, format!("there is no model `{model}`"), help);
                    }
                }
            }
            routes.insert(name.clone(), indices);
        }
        routes
    }
}

/// Returns whether a text can name an environment variable.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn model_path(index: usize, key: &str) -> Vec<String> {
    vec!["models".to_owned(), index.to_string(), key.to_owned()]
}

/// Lists names in backticks.
pub(crate) fn listed(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

#[cfg(test)]
mod tests;
