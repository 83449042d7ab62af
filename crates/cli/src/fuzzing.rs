//! The files of other tools, as strangers write them, for the fuzzer, with what must hold whatever is in them.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    config::{self, Document},
    dialect::dataflux::work::{self, Around, Work},
    pipeline::{self, Pipeline},
};

/// Files as people have them.
const CONFIGURATIONS: [&[u8]; 3] = [
    include_bytes!("../tests/fixtures/dataflux-whole.yaml"),
    include_bytes!("../tests/fixtures/dataflux.yaml"),
    b"datasource: {type: csv}\ncsv: {input_path: in.csv}\ncolumns_to_extract: [q]\ncolumns_to_write: {a: ai_a}\n\
      prompt: {template: '{record_json}'}\nrouting: {enabled: yes, field: k, subtasks: [{match: b, profile: p.yaml}]}\n",
];

/// Returns what [`dataflux`] may begin with.
#[must_use]
pub fn dataflux_seeds() -> Vec<Vec<u8>> {
    CONFIGURATIONS.map(<[u8]>::to_vec).to_vec()
}

/// Takes `data` for a `config.yaml` of AI-DataFlux's: reads its models, and makes a pipeline of what it says about rows.
///
/// # Panics
/// Where a promise is broken.
pub fn dataflux(data: &[u8]) {
    let file = Path::new("config.yaml");
    let mut told = Vec::new();
    let models = pipeline::read_for_a_run(file, data, &["auto", "other"], &mut told);
    assert!(models.is_some() || !told.is_empty(), "who is refused is told why");
    let shown = |diagnostics: &[config::Diagnostic]| {
        // What people see must be made without a fault too: lines are cut, secrets hidden, marks set.
        diagnostics.iter().map(|diagnostic| diagnostic.render(true) + &diagnostic.to_json().to_string()).collect()
    };
    let _: String = shown(&told);
    let Ok(text) = config::decode(file, data) else { return };
    let (Some(value), document, told) = config::read::<Value>(file, text) else { return };
    let _: String = shown(&told);
    translated(&value, &document, text);
}

/// Makes a pipeline of `file`, which `document` was read as, and which was written as `text`.
///
/// # Panics
/// Where what has no mistake is no pipeline, where `import` prints another one, or where it prints a password.
pub(crate) fn translated(file: &Value, document: &Document, text: &str) {
    // A profile that a file names is, for the fuzzer, the file's own prompt.
    let profile = |_: &str| Ok(json!({ "prompt": file["prompt"] }));
    let around = Around { name: "config", models: "config.yaml", path: &str::to_owned, profile: &profile };
    let Work { draft, remarks, secrets } = work::pipeline(file, &around);
    let printed = draft.text();
    for secret in secrets.values().map(domain::Secret::expose).filter(|secret| secret.len() >= 8) {
        // What stands there more than once, or inside something longer, may be another key's value.
        let is_only_there = text.matches(secret).count() == 1 && !text.contains('*');
        assert!(!is_only_there || !printed.contains(secret), "a password is printed:\n{printed}");
    }
    if remarks.iter().any(|remark| remark.is_mistake) {
        return;
    }
    let made = document.made_into(&draft.tree(), &|path| draft.place(path));
    let (pipeline, diagnostics) = config::read_made::<Pipeline>(&made);
    assert!(pipeline.is_some(), "{diagnostics:?}\n{printed}");
    let (again, _, diagnostics) = config::read::<Value>("pipeline.yaml".as_ref(), &printed);
    assert!(diagnostics.is_empty(), "{diagnostics:?}\n{printed}");
    assert_eq!(again, Some(draft.tree()), "what is printed is what runs:\n{printed}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_keeps_every_promise() {
        for seed in dataflux_seeds() {
            dataflux(&seed);
            // Cut anywhere, and with a byte lost anywhere.
            for at in (0..seed.len()).step_by(29) {
                dataflux(&seed[..at]);
                dataflux(&[&seed[..at], &seed[at + 1..]].concat());
            }
        }
    }
}
