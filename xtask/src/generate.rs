//! The generated reference: what the binary says about itself, kept in docs/reference so that it can be read there.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::shell;

/// What the binary must write. A name that is missing would otherwise be a page that silently stops being generated.
const FILES: [&str; 3] = ["cli.md", "models.schema.json", "pipeline.schema.json"];

/// Writes docs/reference, or with `check` fails if it is not what the binary writes now.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let committed = root.join("docs/reference");
    let fresh = root.join("target/reference");
    let written = if check { &fresh } else { &committed };
    if check && fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(written)?;
    let mut command = shell::cargo(root);
    command.args(["run", "--quiet", "--locked", "--package", "cli", "--bin", "tidemill", "--", "reference", "--out"]);
    shell::run(command.arg(written))?;
    for name in FILES {
        if !written.join(name).exists() {
            bail!("`tidemill reference` did not write `{name}`");
        }
    }
    if check {
        let stale = differences(&read(&committed)?, &read(&fresh)?);
        if !stale.is_empty() {
            bail!("docs/reference is out of date; run `cargo xtask generate`:\n  {}", stale.join("\n  "));
        }
    }
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?);
    }
    Ok(files)
}

fn differences(committed: &BTreeMap<String, Vec<u8>>, fresh: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let changed = fresh.iter().filter_map(|(name, text)| match committed.get(name) {
        None => Some(format!("docs/reference/{name} is missing")),
        Some(old) if old != text => Some(format!("docs/reference/{name} is stale")),
        Some(_) => None,
    });
    let gone = committed.keys().filter(|name| !fresh.contains_key(*name));
    changed.chain(gone.map(|name| format!("docs/reference/{name} is not generated"))).collect()
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn a_stale_a_missing_and_a_left_over_file_are_named() {
        let files = |list: &[(&str, &str)]| {
            list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let committed = files(&[("same", "1"), ("stale", "1"), ("old", "1")]);
        let fresh = files(&[("same", "1"), ("stale", "2"), ("new", "1")]);
        assert_eq!(
            differences(&committed, &fresh),
            ["docs/reference/new is missing", "docs/reference/stale is stale", "docs/reference/old is not generated"]
        );
    }
}
