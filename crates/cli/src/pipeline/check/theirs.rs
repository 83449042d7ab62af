//! Another tool's file in the place of a pipeline.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use domain::Secret;
use serde_json::Value;

use super::{deepest, folder_of, slips};
use crate::{
    config::{self, Diagnostic, Document, Severity},
    dialect::{
        Remark,
        dataflux::work::{self, Around, Work},
    },
    pipeline::Pipeline,
};

/// What a file of theirs was made into.
pub(super) struct Made {
    /// The pipeline as text.
    pub(super) text: String,
    pub(super) pipeline: Option<Pipeline>,
    /// The pipeline as a document whose parts stand where theirs stand.
    pub(super) document: Document,
    pub(super) diagnostics: Vec<Diagnostic>,
    secrets: BTreeMap<String, Secret>,
}

/// Reads `text`, the content of `file`, if it is a file of AI-DataFlux's that says what to do with rows.
pub(super) fn read(file: &Path, text: &str) -> Option<Made> {
    let (value, theirs, _) = config::read::<Value>(file, text);
    let value = value.filter(work::is_one)?;
    let mut made = made(file, &value, &theirs);
    let secrets = std::mem::take(&mut made.secrets);
    for (_, step) in made.pipeline.iter_mut().flat_map(|pipeline| &mut pipeline.steps.0) {
        step.source.table.give_password(&|name| secrets.get(name).cloned());
        step.sink.give_password(&|name| secrets.get(name).cloned());
    }
    Some(made)
}

fn made(file: &Path, value: &Value, theirs: &Document) -> Made {
    let Work { draft, remarks, secrets } = translated(file, value);
    let mut diagnostics: Vec<Diagnostic> = remarks.iter().map(|remark| told(theirs, remark)).collect();
    let document = theirs.made_into(&draft.tree(), &|path| draft.place(path));
    let is_sound = remarks.iter().all(|remark| !remark.is_mistake);
    let (pipeline, mut more) = if is_sound { config::read_made(&document) } else { (None, Vec::new()) };
    diagnostics.append(&mut more);
    // Passwords stand openly in their file, and it is their lines that are shown.
    config::hide_secrets::<gateway::ModelsFile>(theirs, &mut diagnostics);
    Made { text: draft.text(), pipeline, document, diagnostics, secrets }
}

/// A file of theirs as a pipeline.
pub(crate) struct Imported {
    /// The pipeline; nothing where the file has mistakes.
    pub(crate) text: Option<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The variables that it names for what stands openly in their file.
    pub(crate) variables: Vec<String>,
}

/// Reads `file`, which must be one of theirs.
///
/// # Errors
/// Where it cannot be read, or is none of theirs.
pub(crate) fn import(file: &Path) -> anyhow::Result<Imported> {
    let bytes = super::read(file, "configuration")?;
    let failed = |diagnostics| Imported { text: None, diagnostics, variables: Vec::new() };
    let text = match config::decode(file, &bytes) {
        Ok(text) => text,
        Err(diagnostic) => return Ok(failed(vec![*diagnostic])),
    };
    let (value, theirs, diagnostics) = config::read::<Value>(file, text);
    let Some(value) = value else { return Ok(failed(diagnostics)) };
    if !work::is_one(&value) {
        let message = "this is no file of AI-DataFlux's that says what to do with rows";
        let help = "such a file has `datasource:`, `columns_to_extract:` and `columns_to_write:`";
        return Ok(failed(vec![theirs.error(None, message).help(help)]));
    }
    let made = made(file, &value, &theirs);
    let is_sound = made.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error);
    Ok(Imported {
        text: is_sound.then_some(made.text),
        diagnostics: made.diagnostics,
        variables: made.secrets.into_keys().collect(),
    })
}

/// Makes a pipeline of the content of `file`.
pub(super) fn translated(file: &Path, value: &Value) -> Work {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = folder_of(file);
    let input = ["excel", "csv", "sqlite"].iter().find_map(|section| {
        let section = value.get(section)?;
        section.get("input_path").or_else(|| section.get("db_path"))?.as_str()
    });
    let is_beside = |path: &str| folder.join(path).exists();
    // Their tool takes paths from the folder that it is started in; ours lie beside the file that names them.
    let is_from_here = input.is_some_and(|path| !is_beside(path) && Path::new(path).exists());
    let path = |path: &str| match std::path::absolute(path) {
        Ok(here) if is_from_here => here.display().to_string(),
        _ => path.to_owned(),
    };
    work::pipeline(
        value,
        &Around {
            name: &name_of(file),
            models: &name,
            path: &path,
            profile: &|path| profile(&folder.join(path), path),
        },
    )
}

/// Returns the name of a pipeline that is called as its file.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = stem.chars().map(|c| if is_fit(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "dataflux".to_owned() } else { name.to_owned() }
}

/// Reads a profile.
fn profile(path: &PathBuf, name: &str) -> Result<Value, String> {
    let bytes = std::fs::read(path).map_err(|error| {
        let hint = match slips::near(path) {
            Some(near) => format!("; did you mean `{}`?", near.display()),
            None => String::new(),
        };
        format!("the profile `{name}` cannot be read: {error}{hint}")
    })?;
    let text = config::decode(path, &bytes).map_err(|diagnostic| in_profile(name, &diagnostic))?;
    let (value, _, diagnostics) = config::read::<Value>(path, text);
    match diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error) {
        Some(diagnostic) => Err(in_profile(name, diagnostic)),
        None => Ok(value.unwrap_or_default()),
    }
}

fn in_profile(name: &str, diagnostic: &Diagnostic) -> String {
    format!("in `{name}` at line {}: {}", diagnostic.span.line, diagnostic.message)
}

fn told(theirs: &Document, remark: &Remark) -> Diagnostic {
    let keys: Vec<&str> = remark.path.iter().map(String::as_str).collect();
    let diagnostic = theirs.error(deepest(theirs, &keys), remark.message.clone());
    let diagnostic = match &remark.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    };
    if remark.is_mistake { diagnostic } else { diagnostic.into_warning() }
}
