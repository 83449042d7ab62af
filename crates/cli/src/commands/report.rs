//! `tidemill report`.

use std::path::Path;

use super::runs;
use crate::{
    args::Report,
    exit::Exit,
    language,
    report::{self, Format},
    talk,
};

/// Tells what a run did, from its journal alone.
pub(super) fn run(args: &Report) -> anyhow::Result<Exit> {
    let folder = runs::find(&args.state.state, &args.run)?;
    let report = report::of(&folder)?;
    let format = args.format.or_else(|| named_by(args.out.as_deref()?)).unwrap_or(Format::Markdown);
    let text = report::render(&report, format, language::chosen())?;
    match &args.out {
        Some(path) => {
            report::replace(path, &text)?;
            talk::say(format!("the report is in {}", path.display()));
        }
        None => talk::data(text.trim_end()),
    }
    // Whoever makes reports by script should not have to read them to learn that something is wrong.
    Ok(if report.is_sound() { Exit::Done } else { Exit::Beyond })
}

/// Returns the format that the name of a file asks for.
fn named_by(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    match ending.as_str() {
        "md" | "markdown" => Some(Format::Markdown),
        "html" | "htm" => Some(Format::Html),
        "json" => Some(Format::Json),
        _ => None,
    }
}
