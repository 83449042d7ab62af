//! `tidemill check`.

use work::prompt::Require;

use crate::{
    args::{Check, Run},
    config::{Diagnostic, Severity},
    exit::Exit,
    pipeline::{self, Wish, WorkConfig},
    talk,
};

/// Tells every mistake in a pipeline and its models file.
pub(super) fn run(args: &Check) -> anyhow::Result<Exit> {
    let checked = pipeline::check(&args.file, args.models.as_deref())?;
    if args.json {
        for diagnostic in &checked.diagnostics {
            talk::data(diagnostic.to_json().to_string());
        }
    } else {
        tell(&checked.diagnostics);
    }
    if checked.ready.is_none() {
        return Ok(Exit::Configuration);
    }
    if !args.json {
        talk::say(format!("{}: no mistakes", args.file.display()));
    }
    Ok(Exit::Done)
}

/// Tells every mistake in a pipeline, and what it comes to.
pub(super) fn validate(args: &Run) -> anyhow::Result<Exit> {
    let file = args.file.path();
    let wish = Wish { errors_again: args.errors_again, creates: false };
    let checked = pipeline::check_for(file, args.models.as_deref(), wish)?;
    tell(&checked.diagnostics);
    let Some(ready) = checked.ready else { return Ok(Exit::Configuration) };
    for (name, step) in &ready.pipeline.steps.0 {
        let (source, sink) = (&step.source.table, &step.sink);
        talk::say(format!("step {name}: reads `{}` ({})", place_of(source.path()), source.word()));
        if let Some(fields) = &step.source.fields {
            let needs = match step.source.require.unwrap_or_default() {
                Require::All => "each of them must hold something",
                Require::Any => "one of them must hold something",
            };
            talk::say(format!("  the model is shown {}; {needs}", listed(fields.iter().map(String::as_str))));
        }
        let asked: Vec<&str> = step.routes();
        talk::say(format!("  it asks {}", listed(asked.iter().copied())));
        if let WorkConfig::Prompt(prompt) = &step.work
            && let Some(by) = &prompt.by
        {
            let cases = listed(by.cases.keys().map(String::as_str));
            talk::say(format!("  other prompts where `{}` is {cases}", by.field));
        }
        let fields = step.work.new_fields();
        let columns = sink.names(&fields);
        let pairs = fields.iter().zip(&columns).map(|(field, column)| match field == column {
            true => format!("`{field}`"),
            false => format!("`{field}` as `{column}`"),
        });
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        talk::say(format!("  it writes {pairs} into `{}` ({})", place_of(sink.path()), sink.word()));
    }
    talk::say(format!("{}: no mistakes", file.display()));
    Ok(Exit::Done)
}

fn place_of(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Prints diagnostics and how many there are.
pub(super) fn tell(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        talk::text(&diagnostic.render(talk::is_coloured()));
        talk::say("");
    }
    match diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count() {
        0 => {}
        1 => talk::say("1 mistake"),
        n => talk::say(format!("{n} mistakes")),
    }
}
