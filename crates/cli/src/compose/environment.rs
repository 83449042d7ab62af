//! The environment: variables and files of keys. The one place that reads them.

use std::path::{Path, PathBuf};

use gateway::{ConfigMistake, FaceConfig, ModelsFile, Resolved};

/// Resolves a models file against the environment; files of keys lie relative to `folder`.
pub(crate) fn resolve(models: &ModelsFile, folder: &Path) -> Result<Resolved, Vec<ConfigMistake>> {
    gateway::resolve(models, &variable, &|path| std::fs::read_to_string(folder.join(path)))
}

/// Finds what the gateway needs as a server, as [`resolve`] does.
pub(crate) fn resolve_face(models: &ModelsFile, folder: &Path) -> Result<FaceConfig, Vec<ConfigMistake>> {
    gateway::resolve_face(models, &variable, &|path| std::fs::read_to_string(folder.join(path)))
}

/// Returns a variable of the environment.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the locale of the user's messages.
pub(crate) fn locale() -> Option<String> {
    // In this order (POSIX); one that is empty counts as not set.
    ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|locale| !locale.is_empty())
}

/// Returns what identifies this boot of the machine, or 0 where the system does not tell.
pub(crate) fn boot() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if id.is_empty() { 0 } else { xxhash_rust::xxh3::xxh3_64(&id) }
}

/// Returns a path as it is reached from the working folder, where it lies below it.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}
