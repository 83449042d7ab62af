//! Every text in the sources that people may read has its Chinese, or a reason why not.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use clap::CommandFactory as _;
use serde_json::Value;

use super::{super::template, pairs, scan};
use crate::{args::Args, config, pipeline::Pipeline};

/// Texts that are not translated, and why.
const EXCEPTIONS: &str = include_str!("exceptions.txt");
/// The crates whose words reach people.
const CRATES: [&str; 9] = ["domain", "connect", "work", "engine", "store", "provider", "gateway", "simulate", "cli"];

/// Returns the exceptions: files (or folders, which end in `/`), and texts.
fn exceptions() -> (Vec<&'static str>, HashSet<String>) {
    let (mut files, mut texts) = (Vec::new(), HashSet::new());
    for line in EXCEPTIONS.lines() {
        if let Some(file) = line.strip_prefix("file ") {
            files.push(file.split(" -- ").next().unwrap_or_default());
        } else if let Some(text) = line.strip_prefix("text ") {
            texts.insert(template::shape(&text.replace("\\n", "\n")));
        }
    }
    (files, texts)
}

fn sources() -> Vec<(String, scan::Found)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a folder of crates");
    let mut found = Vec::new();
    for name in CRATES {
        scan::folder(&crates.join(name).join("src"), &mut found);
    }
    let named = |found: scan::Found| {
        let file = found.file.strip_prefix(crates).unwrap_or(&found.file).to_string_lossy().into_owned();
        (file, found)
    };
    found.into_iter().map(named).collect()
}

#[test]
fn every_text_in_the_sources_is_in_the_catalogue() {
    let known: HashSet<String> = pairs().iter().map(|(english, _)| template::shape(english)).collect();
    let (files, texts) = exceptions();
    let found = sources();
    assert!(found.len() > 1000, "the scanner reads the sources: {}", found.len());
    let mut missing = Vec::new();
    for (file, found) in &found {
        let shape = template::shape(&found.text);
        let is_excepted = files.iter().any(|name| file == name || (name.ends_with('/') && file.starts_with(name)));
        if scan::is_prose(&shape) && !is_excepted && !known.contains(&shape) && !texts.contains(&shape) {
            missing.push(format!("{file}:{}: {}", found.line, found.text.replace('\n', "\\n")));
        }
    }
    assert!(
        missing.is_empty(),
        "{} texts have no Chinese in `lang/zh/*.txt`, and no reason for that in `lang/tests/exceptions.txt`:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_text_of_the_help_is_in_the_catalogue() {
    fn texts(command: &clap::Command, all: &mut BTreeSet<String>) {
        if command.is_hide_set() {
            return;
        }
        let about = [command.get_about(), command.get_long_about(), command.get_after_help()];
        all.extend(about.into_iter().flatten().map(ToString::to_string));
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            all.extend([arg.get_help(), arg.get_long_help()].into_iter().flatten().map(ToString::to_string));
        }
        command.get_subcommands().for_each(|sub| texts(sub, all));
    }
    let mut command = Args::command();
    command.build();
    let mut all = BTreeSet::new();
    texts(&command, &mut all);
    assert!(all.len() > 40, "{all:?}");
    let missing: Vec<String> = all
        .into_iter()
        .filter(|text| super::super::chinese().exact(text).is_none())
        .map(|text| text.replace('\n', "\\n"))
        .collect();
    assert!(
        missing.is_empty(),
        "{} texts have no Chinese in `lang/zh/help.txt`:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_key_that_must_be_there_is_described_in_chinese() {
    fn required(schema: &Value, root: &Value, all: &mut BTreeSet<String>) {
        let names: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (_, property) in
            schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| names.contains(&name.as_str()))
        {
            let target = property["$ref"].as_str().and_then(|name| root.pointer(name.strip_prefix('#')?));
            let described = [Some(property), target].into_iter().flatten();
            if let Some(text) = described.filter_map(|schema| schema["description"].as_str()).next() {
                let first = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
                all.insert(first.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned());
            }
        }
        match schema {
            Value::Object(members) => members.values().for_each(|value| required(value, root, all)),
            Value::Array(items) => items.iter().for_each(|value| required(value, root, all)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    for schema in
        [config::schema::<Pipeline>(), config::schema::<gateway::ModelsFile>(), config::schema::<simulate::Script>()]
    {
        required(&schema, &schema, &mut all);
    }
    assert!(all.len() > 10, "{all:?}");
    let missing: Vec<String> = all.into_iter().filter(|text| super::super::chinese().exact(text).is_none()).collect();
    assert!(
        missing.is_empty(),
        "{} descriptions have no Chinese in `lang/zh/config.txt`:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_noun_that_is_counted_has_a_measure_word() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let noun = regex::Regex::new(r#"counted\([^";]*?, "([a-z ]+)"\)"#).expect("it is a regular expression");
    let mut nouns = BTreeSet::new();
    let mut folders = vec![crates];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("sources can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources can be read");
                nouns.extend(noun.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    assert!(nouns.contains("record"), "{nouns:?}");
    let words = super::super::chinese();
    for noun in nouns {
        for text in [crate::progress::counted(1, &noun), crate::progress::counted(1234, &noun)] {
            assert_ne!(words.translate(&text), text, "`{noun}` needs `{{#n}} {noun}` and its plural in the catalogue");
        }
    }
}
