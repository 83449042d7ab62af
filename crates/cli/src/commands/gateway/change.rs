//! What differs between two configurations, in a line each.

use std::collections::BTreeMap;

use gateway::{FaceConfig, Upstream};

use super::opening::Opened;

/// Says what of `old` is not as it was.
pub(super) fn told(old: &Opened, new: &Opened) -> Vec<String> {
    let (was, is) = (by_name(old), by_name(new));
    let added: Vec<&str> = is.keys().filter(|name| !was.contains_key(*name)).copied().collect();
    let removed: Vec<&str> = was.keys().filter(|name| !is.contains_key(*name)).copied().collect();
    let changed = is.iter().filter(|(name, upstream)| {
        was.get(**name).is_some_and(|before| {
            !before.model.is_same_as(&upstream.model) || described(old, before) != described(new, upstream)
        })
    });
    let changed: Vec<&str> = changed.map(|(name, _)| *name).collect();
    let mut lines = Vec::new();
    let mut tell = |names: &[&str], told: fn(String) -> String| {
        if !names.is_empty() {
            lines.push(told(listed(names)));
        }
    };
    tell(&added, |names| format!("models added: {names}"));
    tell(&removed, |names| format!("models removed: {names}"));
    tell(&changed, |names| format!("models changed: {names}"));
    // What is compared is never shown: it is all that a file says, but for keys, which are compared by themselves.
    let names = |it: &Opened| format!("{:?} {:?}", it.models.routes, it.models.names);
    if names(old) != names(new) {
        lines.push("routes and names have changed".to_owned());
    }
    if keys(&old.settings) != keys(&new.settings) {
        lines.push("the keys of clients have changed".to_owned());
    }
    let settings = |it: &Opened| format!("{:?}", FaceConfig { keys: Vec::new(), ..it.settings.clone() });
    if settings(old) != settings(new) {
        lines.push("the settings under `gateway` have changed".to_owned());
    }
    lines
}

fn by_name(opened: &Opened) -> BTreeMap<&str, &Upstream> {
    opened.resolved.upstreams.iter().map(|upstream| (&*upstream.name, upstream)).collect()
}

/// Returns all that the file says of a model and its channel.
fn described(opened: &Opened, upstream: &Upstream) -> String {
    let model = opened.models.models.iter().find(|model| model.name == *upstream.name);
    let channel = opened.models.channels.get(&*upstream.channel);
    format!("{model:?} {channel:?}")
}

fn keys(settings: &FaceConfig) -> Vec<(&str, &str, bool, String)> {
    settings.keys.iter().map(|key| (&*key.name, key.key.expose(), key.is_admin, format!("{:?}", key.class))).collect()
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
