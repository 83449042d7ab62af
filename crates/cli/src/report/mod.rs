//! The report of a run: made from its journal and its manifest alone, at any time, for people and for programs.
//!
//! The journal is read once (`gather` adds up), or was listened to while it was written (`heard`), the manifest says what the run is, and both become a
//! [`Report`]. That is what JSON shows. For people it is set as a document in their language, and the document is written
//! as Markdown or as HTML.

mod assemble;
mod difference;
mod document;
mod ends;
mod examples;
mod facts;
mod gather;
mod heard;
mod histogram;
mod html;
mod markdown;
mod place;
mod said;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::language::Language;

pub(crate) use assemble::of;
pub(crate) use difference::{between, shown};
pub(crate) use facts::Report;
pub(crate) use heard::Heard;
pub(crate) use place::{replace, write};

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ReportFormat")]
pub(crate) enum Format {
    /// For a terminal, a repository or a message.
    Markdown,
    /// One file with plots, to be looked at, sent or printed.
    Html,
    /// For programs.
    Json,
}

impl Format {
    /// Returns the ending of files of this format.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Html => "html",
            Self::Json => "json",
        }
    }
}

/// Writes a report. JSON is the same in every language.
///
/// # Errors
/// Where it cannot be written as JSON, which is a defect.
pub(crate) fn render(report: &Report, format: Format, language: Language) -> anyhow::Result<String> {
    Ok(match format {
        Format::Markdown => markdown::of(&document::of(report, language)),
        Format::Html => html::of(&document::of(report, language)),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
    })
}
