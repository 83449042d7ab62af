//! Routes, and the names that lead to them. Nothing but the file itself is needed for this.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{ConfigMistake, listed, model_path};
use crate::{
    config::{Choose, HedgeSettings, Model, ModelsFile, RouteTo, Share, Span},
    names::{AUTO, Names},
};

/// How many requests of a hundred may be asked twice, unless said otherwise.
const HEDGED: f64 = 0.05;

/// What a requested name leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name: a model's, an alias, or a route's own.
    pub name: Arc<str>,
    /// Its models, as indices into [`crate::Resolved::upstreams`].
    pub members: Vec<usize>,
    /// How one of them is chosen.
    pub choose: Choose,
    /// When a second one is asked besides.
    pub hedge: Option<Hedge>,
    /// The route that is asked instead while none of the members can be.
    pub instead: Option<usize>,
}

/// Asking a second model while the first is slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// How long the first is waited for.
    pub after: Duration,
    /// Which part of the requests may be asked twice, from 0 to 1.
    pub at_most: f64,
}

/// Finds all routes of a file and their names. Mistakes are added to `mistakes`, in the order of the file.
pub(super) fn routes(file: &ModelsFile, mistakes: &mut Vec<ConfigMistake>) -> (Vec<Route>, Names) {
    let mut builder = Builder { file, routes: Vec::new(), mistakes };
    for (index, model) in file.models.iter().enumerate() {
        builder.add(&model.name, vec![index]);
    }
    builder.aliases();
    if !file.routes.contains_key(AUTO) && file.models.iter().all(|model| model.name != AUTO) {
        let all: Vec<usize> = (0..file.models.len()).filter(|index| file.models[*index].weight > 0).collect();
        if !all.is_empty() {
            builder.add(AUTO, all);
        }
    }
    for (name, to) in &file.routes {
        builder.route(name, to);
    }
    let names = Names::new(builder.routes.iter().enumerate().map(|(at, route)| (route.name.to_string(), at)));
    let mut patterns = Vec::new();
    for (pattern, to) in &file.names.patterns {
        let path = ["names".to_owned(), "patterns".to_owned(), pattern.clone()];
        patterns.extend(builder.target(&names, &path, to).map(|route| (pattern.clone(), route)));
    }
    let default = file.names.default.as_ref();
    let default = default.and_then(|to| builder.target(&names, &["names".to_owned(), "default".to_owned()], to));
    let mut routes = builder.routes;
    if file.names.are_wishes {
        let auto = names.find(AUTO);
        for (at, route) in routes.iter_mut().enumerate() {
            route.instead = auto.filter(|auto| *auto != at);
        }
    }
    (routes, names.with(patterns, default))
}

impl ModelsFile {
    /// Returns the models that `asked` may lead to; nothing where it leads nowhere, and the request would be refused.
    #[must_use]
    pub fn models_of(&self, asked: &str) -> Option<Vec<&Model>> {
        let (routes, names) = routes(self, &mut Vec::new());
        let route = &routes[names.find(asked)?];
        let instead = route.instead.map_or(&[][..], |instead| &routes[instead].members[..]);
        let instead = instead.iter().filter(|index| !route.members.contains(index));
        Some(route.members.iter().chain(instead).map(|index| &self.models[*index]).collect())
    }

    /// Returns the names under which something can be asked for, in the order of the file: models, their aliases, and
    /// routes.
    #[must_use]
    pub fn known_names(&self) -> Vec<Arc<str>> {
        routes(self, &mut Vec::new()).0.into_iter().map(|route| route.name).collect()
    }
}

struct Builder<'a> {
    file: &'a ModelsFile,
    routes: Vec<Route>,
    mistakes: &'a mut Vec<ConfigMistake>,
}

impl Builder<'_> {
    fn mistake(&mut self, path: &[String], message: String, help: Option<String>) {
        self.mistakes.push(ConfigMistake { path: path.to_vec(), message, help });
    }

    fn add(&mut self, name: &str, members: Vec<usize>) {
        self.routes.push(Route { name: name.into(), members, choose: Choose::default(), hedge: None, instead: None });
    }

    fn aliases(&mut self) {
        let file = self.file;
        let mut order: Vec<&str> = Vec::new();
        let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, model) in file.models.iter().enumerate() {
            for (at, alias) in model.aliases.iter().enumerate() {
                let mut path = model_path(index, "aliases");
                path.push(at.to_string());
                let message = if alias.is_empty() {
                    "a name that is empty means `auto`".to_owned()
                } else if file.models.iter().any(|other| other.name == *alias) {
                    format!("`{alias}` is the name of a model")
                } else if file.routes.contains_key(alias) {
                    format!("`{alias}` is the name of a route")
                } else if model.aliases[..at].contains(alias) {
                    format!("`{alias}` stands twice among the aliases of `{}`", model.name)
                } else {
                    let all = owners.entry(alias).or_default();
                    if all.is_empty() {
                        order.push(alias);
                    }
                    all.push(index);
                    continue;
                };
                self.mistake(&path, message, None);
            }
        }
        for alias in order {
            let all = owners.remove(alias).unwrap_or_default();
            let weighed: Vec<usize> = all.iter().copied().filter(|index| file.models[*index].weight > 0).collect();
            self.add(alias, if weighed.is_empty() { all } else { weighed });
        }
    }

    fn route(&mut self, name: &str, to: &RouteTo) {
        let file = self.file;
        let path = vec!["routes".to_owned(), name.to_owned()];
        if file.models.iter().any(|model| model.name == name) {
            let help = Some("rename one of them".to_owned());
            self.mistake(&path, format!("`{name}` names a route and a model"), help);
        }
        let models = to.models();
        if models.is_empty() {
            self.mistake(&path, format!("the route `{name}` leads nowhere"), None);
        }
        let mut members = Vec::new();
        for (at, model) in models.iter().enumerate() {
            let mut path = path.clone();
            path.extend(matches!(to, RouteTo::Settings(_)).then(|| "models".to_owned()));
            path.push(at.to_string());
            match file.models.iter().position(|known| known.name == *model) {
                Some(index) if members.contains(&index) => {
                    let help = Some("give the model a greater `weight`".to_owned());
                    self.mistake(&path, format!("`{model}` stands twice in the route `{name}`"), help);
                }
                Some(index) => {
                    if file.models[index].weight == 0 && to.choose() != Choose::Ordered && models.len() > 1 {
                        let help = "leave it out, give it a `weight`, or write `choose: ordered`".to_owned();
                        let message = format!("`{model}` has no weight: the route `{name}` would never choose it");
                        self.mistake(&path, message, Some(help));
                    }
                    members.push(index);
                }
                None => {
                    let names: Vec<&str> = file.models.iter().map(|model| model.name.as_str()).collect();
                    let help = Some(format!("the models are {}", listed(&names)));
                    self.mistake(&path, format!("there is no model `{model}`"), help);
                }
            }
        }
        if to.hedge().is_some() && models.len() == 1 {
            let mut path = path.clone();
            path.push("hedge".to_owned());
            self.mistake(&path, format!("the route `{name}` has no second model that could be asked"), None);
        }
        let hedge = to.hedge().map(|HedgeSettings { after: Span(after), at_most }| Hedge {
            after,
            at_most: at_most.map_or(HEDGED, |Share(share)| share),
        });
        self.routes.push(Route { name: name.into(), members, choose: to.choose(), hedge, instead: None });
    }

    /// Finds the route that a pattern or the default leads to.
    fn target(&mut self, names: &Names, path: &[String], to: &str) -> Option<usize> {
        let found = names.find(to);
        if found.is_none() {
            let known: Vec<&str> = self.routes.iter().map(|route| &*route.name).collect();
            let help = Some(format!("there are {}", listed(&known)));
            self.mistake(path, format!("there is no model or route `{to}`"), help);
        }
        found
    }
}
