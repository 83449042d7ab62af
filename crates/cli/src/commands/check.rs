//! `tidemill check`.

use crate::{
    args::Check,
    config::{Diagnostic, Severity},
    exit::Exit,
    pipeline, talk,
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
