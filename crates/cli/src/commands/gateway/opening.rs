//! From a models file to what is served.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::Clock;
use gateway::{ConfigMistake, FaceConfig, Gateway, Key, ModelsFile, Resolved, face::Serving};
use provider::transport::{Limits, Transport};

use super::log;
use crate::{
    args::LogChoice,
    compose::{
        environment,
        simulated::{self, Simulated},
    },
    exit::ConfigurationError,
    pipeline::{self, Places},
    talk,
};

/// What is served, and what it was made of.
pub(super) struct Opened {
    /// As the file says it.
    pub(super) models: ModelsFile,
    pub(super) resolved: Resolved,
    pub(super) settings: FaceConfig,
    pub(super) serving: Arc<Serving>,
    gateway: Arc<Gateway>,
    /// They live as long as somebody may ask them.
    simulated: Vec<Simulated>,
}

/// Reads a models file and tells its mistakes; nothing where there are some.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn read(file: &Path) -> anyhow::Result<Option<ModelsFile>> {
    if !file.exists() {
        let message = format!(
            "there is no models file `{}`: name yours with --config; examples/gateway/models.yaml is one that needs no key",
            file.display()
        );
        return Err(ConfigurationError(message).into());
    }
    let (mut models, mut diagnostics) = pipeline::models_file(file)?;
    // A run has no use for these, so nobody else looks at them.
    let of_clients = models.as_ref().and_then(|models| environment::resolve_face(models, folder_of(file)).err());
    if let Some(mistakes) = of_clients
        && let Some(places) = Places::of(file)
    {
        diagnostics.extend(mistakes.into_iter().map(|mistake| places.told(mistake)));
        models = None;
    }
    super::super::check::tell(&diagnostics);
    Ok(models)
}

/// Makes what is served of a models file; what is known of the upstreams of `before` stays known,
/// and its simulated vendors that did not change go on.
///
/// Nothing of that is touched before `may_be_served` agrees.
///
/// # Errors
/// Where the file has mistakes that only the whole shows, may not be served, or a simulated vendor cannot be started.
pub(super) fn open(
    models: ModelsFile,
    file: &Path,
    before: Option<&Opened>,
    (choice, clock): (Option<LogChoice>, &Arc<dyn Clock>),
    may_be_served: impl FnOnce(&FaceConfig) -> anyhow::Result<()>,
) -> anyhow::Result<Opened> {
    let mut resolvable = models.clone();
    let simulated = simulated::start(&mut resolvable, before.map_or(&[], |before| &before.simulated))?;
    let folder = folder_of(file);
    let resolved = environment::resolve(&resolvable, folder).map_err(mistakes)?;
    let settings = environment::resolve_face(&resolvable, folder).map_err(mistakes)?;
    may_be_served(&settings)?;
    tell_simulated(&models);
    let seen_before = before.map(|before| (&*before.serving, &before.settings));
    let log = log::log(seen_before, &settings, folder, choice, clock)?;
    // Nothing fails from here on: what is known of the upstreams is under the new limits as soon as it has a successor.
    let transport = Arc::new(Transport::new(Limits::default()));
    let gateway = match before {
        Some(before) => before.gateway.successor(&resolved, transport, Arc::clone(clock)),
        None => Gateway::new(&resolved, transport, Arc::clone(clock)),
    };
    let gateway = Arc::new(gateway);
    let serving = Serving::new(&resolved, Arc::clone(&gateway), settings.clone(), clock.now());
    let serving = match before {
        Some(before) => serving.after(&before.serving).seen_by(before.serving.seen().0, log),
        None => serving.seen_by(Arc::default(), log),
    };
    Ok(Opened { models, resolved, settings, serving: Arc::new(serving), gateway, simulated })
}

/// Says which models are none: who reads their answers elsewhere cannot see it.
fn tell_simulated(models: &ModelsFile) {
    let names: Vec<String> = simulated::models(models).iter().map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        talk::say(format!(
            "SIMULATED: the built-in scripted vendor answers as {}; nothing that it says comes from a model",
            names.join(", ")
        ));
    }
}

pub(super) fn mistakes(mistakes: Vec<ConfigMistake>) -> ConfigurationError {
    let told = mistakes.into_iter().map(|ConfigMistake { message, help, .. }| match help {
        Some(help) => format!("{message}; {help}"),
        None => message,
    });
    ConfigurationError(told.collect::<Vec<_>>().join("\n"))
}

/// Returns the files that decide what is served: the models file, and those that it names.
pub(super) fn files(file: &Path, models: &ModelsFile) -> Vec<PathBuf> {
    let folder = folder_of(file);
    let mut files = vec![file.to_owned()];
    let keys = models.models.iter().filter_map(|model| model.key.as_ref());
    let keys = keys.chain(models.gateway.keys.iter().map(|client| &client.key));
    let named = keys.filter_map(|key| if let Key::File(file) = key { Some(file) } else { None });
    let named = named.chain(models.channels.values().filter_map(|channel| channel.ca.as_ref()));
    files.extend(named.map(|file| folder.join(file)));
    files.sort();
    files.dedup();
    files
}

pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}
