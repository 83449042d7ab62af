//! From the models file to upstreams that can be asked. Pure: the environment and the files come in as functions.

mod channel;
mod face;
mod model;
mod routes;

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use crate::{config::ModelsFile, names::Names};
use channel::Line;

pub use face::{FaceConfig, FaceKey, resolve_face};
pub use model::{Declared, Upstream};
pub use routes::{Hedge, Route};

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

/// What a models file comes to.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The models.
    pub upstreams: Vec<Upstream>,
    /// What names lead to: each model, each alias, `auto`, and the file's own routes.
    pub routes: Vec<Route>,
    /// Which route a requested name leads to.
    pub names: Names,
    /// How long a route may be without a healthy upstream before it is closed.
    pub outage: Duration,
}

impl Resolved {
    /// Returns the route that a requested name leads to.
    #[must_use]
    pub fn route(&self, asked: &str) -> Option<&Route> {
        self.names.find(asked).map(|route| &self.routes[route])
    }
}

/// Makes upstreams of a models file, or says all that is wrong with it.
///
/// `lookup` finds variables of the environment and `read_file` reads the files of keys and certificates; relative paths
/// are given as they stand.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn resolve(
    file: &ModelsFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Resolved, Vec<ConfigMistake>> {
    let mut resolver = Resolver { lookup, read_file, mistakes: Vec::new() };
    let line = |(name, channel)| (String::as_str(name), resolver.line(name, channel));
    let lines: BTreeMap<&str, Option<Line<'_>>> = file.channels.iter().map(line).collect();
    let mut upstreams = Vec::new();
    for (index, model) in file.models.iter().enumerate() {
        if file.models[..index].iter().any(|earlier| earlier.name == model.name) {
            resolver.mistake(&model_path(index, "name"), format!("a second model is named `{}`", model.name), None);
        }
        upstreams.extend(resolver.upstream(index, model, &lines));
    }
    let (routes, names) = routes::routes(file, &mut resolver.mistakes);
    if resolver.mistakes.is_empty() {
        Ok(Resolved { upstreams, routes, names, outage: Duration::from_hours(24) })
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

    /// Returns a variable; one that is set to nothing is not set.
    fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
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
