//! Checking a models file, whoever's it is.

use std::path::Path;

use gateway::{ConfigMistake, ModelsFile, Setting};
use serde_json::Value;

use super::{deepest, folder_of, read};
use crate::{
    compose::{environment, simulated},
    config::{self, Diagnostic, Document},
    dialect::{Remark, Translated, dataflux},
};

/// Reads and checks a models file that is given by itself.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn models_file(path: &Path) -> anyhow::Result<(Option<ModelsFile>, Vec<Diagnostic>)> {
    let bytes = read(path, "models")?;
    let mut diagnostics = Vec::new();
    let models = read_models(path, &bytes, &mut diagnostics);
    Ok((models, diagnostics))
}

/// Where things stand in a models file that is sound.
pub(crate) struct Places {
    document: Document,
    theirs: Option<Translated>,
}

impl Places {
    /// Reads the file once more; nothing where it cannot be read any longer.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (value, document, _) = config::read::<Value>(path, &String::from_utf8_lossy(&bytes));
        let theirs = value.filter(dataflux::is_one).and_then(|value| dataflux::translate(&value).ok());
        Some(Self { document, theirs })
    }

    /// Tells a mistake at its place.
    pub(crate) fn told(&self, mistake: ConfigMistake) -> Diagnostic {
        let path: Vec<&str> = mistake.path.iter().map(String::as_str).collect();
        let diagnostic = self.document.error(self.at(&path), mistake.message);
        match mistake.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    /// Returns where in the file stands what is at a path of ours, or the deepest that there is of it.
    pub(crate) fn at(&self, path: &[&str]) -> Option<config::Span> {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let path = self.theirs.as_ref().map_or_else(|| path.clone(), |theirs| theirs.place(&path));
        deepest(&self.document, &path.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Reads and checks a models file on its own: ours, or AI-DataFlux's. No key that was written into it is repeated.
///
/// There is one exactly if no diagnostic is an error.
pub(crate) fn read_models(path: &Path, bytes: &[u8], diagnostics: &mut Vec<Diagnostic>) -> Option<ModelsFile> {
    read_with(path, bytes, dataflux::translate, diagnostics)
}

/// As [`read_models`], for a run that asks for models by the names in `asked`: a file of AI-DataFlux's that has no models
/// names a gateway that has.
pub(crate) fn read_for_a_run(
    path: &Path,
    bytes: &[u8],
    asked: &[&str],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ModelsFile> {
    read_with(path, bytes, |file| dataflux::for_a_run(file, asked), diagnostics)
}

fn read_with(
    path: &Path,
    bytes: &[u8],
    translate: impl FnOnce(&Value) -> Result<Translated, Vec<Remark>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ModelsFile> {
    let text = String::from_utf8_lossy(bytes);
    // First as whatever it is.
    let (value, document, mut found) = config::read::<Value>(path, &text);
    let models = match (config::decode(path, bytes), value) {
        (Err(diagnostic), _) => {
            found = vec![*diagnostic];
            None
        }
        (Ok(_), Some(value)) if dataflux::is_one(&value) || dataflux::work::is_one(&value) => {
            read_dataflux(path, translate(&value), &document, &mut found)
        }
        (Ok(text), _) => {
            let (models, document, as_ours) = config::read::<ModelsFile>(path, text);
            found = as_ours;
            models.and_then(|models| check_models(path, models, &document, &mut found, &<[String]>::to_vec))
        }
    };
    config::hide_secrets::<ModelsFile>(&document, &mut found);
    diagnostics.append(&mut found);
    models
}

fn read_dataflux(
    path: &Path,
    translated: Result<Translated, Vec<Remark>>,
    document: &Document,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ModelsFile> {
    let mut warn = |remarks: &[Remark]| {
        for remark in remarks {
            let keys: Vec<&str> = remark.path.iter().map(String::as_str).collect();
            let warning = document.warning(deepest(document, &keys), remark.message.clone());
            diagnostics.push(match &remark.help {
                Some(help) => warning.help(help.clone()),
                None => warning,
            });
        }
    };
    match translated {
        Ok(translated) => {
            warn(&translated.remarks);
            let place = |path: &[String]| translated.place(path);
            check_models(path, translated.models.clone(), document, diagnostics, &place)
        }
        Err(remarks) => {
            warn(&remarks);
            let message = "the file names no model that could be asked";
            diagnostics.push(document.error(document.at(&["models"]), message));
            None
        }
    }
}

/// Checks what a models file comes to; `place` says where in the `document` stands what is at a path of it.
fn check_models(
    path: &Path,
    models: ModelsFile,
    document: &Document,
    diagnostics: &mut Vec<Diagnostic>,
    place: &dyn Fn(&[String]) -> Vec<String>,
) -> Option<ModelsFile> {
    let at = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let place = place(&path);
        deepest(document, &place.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut is_sound = true;
    let mut resolvable = models.clone();
    for (name, channel) in &mut resolvable.channels {
        let Some(script) = channel.simulated.take() else { continue };
        if channel.url.is_none() {
            // Only to resolve the rest: the vendor is started by the run.
            channel.url = Some(Setting::Literal("http://127.0.0.1/v1".to_owned()));
        } else {
            channel.simulated = Some(script.clone());
        }
        if let Err((path, message)) = simulated::script(&script) {
            is_sound = false;
            let mut keys = vec!["channels", name.as_str(), "simulated"];
            keys.extend(path.iter().map(String::as_str));
            diagnostics.push(document.error(document.at(&keys), message));
        }
    }
    if let Err(mistakes) = environment::resolve(&resolvable, folder_of(path)) {
        is_sound = false;
        for mistake in mistakes {
            let keys: Vec<&str> = mistake.path.iter().map(String::as_str).collect();
            let diagnostic = document.error(at(&keys), mistake.message);
            diagnostics.push(match mistake.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            });
        }
    }
    for (name, channel) in &models.channels {
        let Some(Setting::Literal(url)) = &channel.url else { continue };
        let place = at(&["channels", name, "url"]);
        if url.trim_end_matches('/').ends_with("/chat/completions") {
            let message = "`/chat/completions` is added to the URL, which has it already";
            let warning = document.warning(place, message);
            diagnostics.push(warning.help("write the base URL, such as `https://api.example.com/v1`"));
        }
        let carries_key = models.models.iter().any(|model| model.channel == *name && model.key.is_some());
        if carries_key && is_open_wire(url) {
            let message = format!("keys of channel `{name}` travel unencrypted: the URL begins with http://");
            diagnostics.push(document.warning(place, message));
        }
    }
    is_sound.then_some(models)
}

/// Returns whether others can listen: plain HTTP to anywhere but this machine.
fn is_open_wire(url: &str) -> bool {
    url.strip_prefix("http://")
        .is_some_and(|rest| !["127.", "localhost", "[::1]"].iter().any(|local| rest.starts_with(local)))
}
