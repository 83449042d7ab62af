//! What is wrong in a file, where, and what to do about it.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthChar;

use super::document::Span;
use crate::lang;

/// A line longer than this is shown in part: a generated file may hold everything in one line.
const SHOWN: usize = 120;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but perhaps does not mean what its author wanted.
    Warning,
}

impl Severity {
    /// Returns the word that people and programs read.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One mistake in one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    /// The file as the user named it.
    pub(crate) file: PathBuf,
    /// The place in the file.
    pub(crate) span: Span,
    /// Whether it stops the run.
    pub(crate) severity: Severity,
    /// What is wrong: lower case, no period, the thing in backticks.
    pub(crate) message: String,
    /// What to try.
    pub(crate) help: Option<String>,
    /// The line of the file, kept here so that a diagnostic can be shown without the file at hand.
    line_text: String,
}

impl Diagnostic {
    /// Creates an error at `span`, whose line reads `line_text`.
    pub(crate) fn error(file: &Path, span: Span, line_text: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            span,
            severity: Severity::Error,
            message: message.into(),
            help: None,
            line_text: line_text.to_owned(),
        }
    }

    /// Adds what to try.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Rewrites what is `said`, and the line that is `shown`, to leave out what must not be repeated.
    pub(super) fn hide(&mut self, said: impl Fn(&str) -> String, shown: impl FnOnce(&str) -> String) {
        self.message = said(&self.message);
        self.help = self.help.as_deref().map(said);
        self.line_text = shown(&self.line_text);
    }

    /// Makes it a warning.
    pub(crate) fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Renders for people, the way rustc does. Colour repeats what the words say and never carries meaning alone.
    pub(crate) fn render(&self, colour: bool) -> String {
        let paint = |style: &str, text: &str| match colour {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let (shown, before, width) = self.excerpt();
        let number = self.span.line.to_string();
        let gutter = " ".repeat(number.len());
        let tone = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        let mut out = String::new();
        let severity = lang::tr(self.severity.as_str());
        let message = printable(&lang::tr(&self.message), true);
        let _ = writeln!(out, "{}{}{message}", paint(tone, &severity), lang::colon());
        let place = format!("{}:{}:{}", self.file.display(), self.span.line, self.span.column);
        let _ = writeln!(out, "{gutter}{} {}", paint("1;34", "-->"), printable(&place, false));
        let _ = writeln!(out, "{gutter} {}", paint("1;34", "|"));
        let _ = writeln!(out, "{} {shown}", paint("1;34", &format!("{number} |")));
        let caret = format!("{}{}", " ".repeat(before), paint(tone, &"^".repeat(width)));
        let _ = writeln!(out, "{gutter} {} {caret}", paint("1;34", "|"));
        if let Some(help) = &self.help {
            let help = printable(&lang::tr(&format!("help: {help}")), true);
            let _ = writeln!(out, "{gutter} {} {help}", paint("1;34", "="));
        }
        out
    }

    /// Renders for programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "file": self.file.display().to_string(),
            "line": self.span.line,
            "column": self.span.column,
            "length": self.span.length,
            "severity": self.severity.as_str(),
            "message": self.message,
            "help": self.help,
        })
    }

    /// Returns the part of the line to show, the columns on the screen before the place, and those of the place itself.
    fn excerpt(&self) -> (String, usize, usize) {
        let chars: Vec<char> = self.line_text.chars().collect();
        let start = (self.span.column - 1).min(chars.len());
        let end = (start + self.span.length).min(chars.len());
        let from = if chars.len() <= SHOWN { 0 } else { start.saturating_sub(SHOWN / 3) };
        let to = (from + SHOWN).min(chars.len());
        let text = |range: &[char]| printable(&range.iter().collect::<String>(), false);
        let screen = |text: &str| text.chars().map(|c| c.width().unwrap_or(1)).sum::<usize>();

        let mut shown = text(&chars[from..to]).trim_end().to_owned();
        let mut before = screen(&text(&chars[from..start]));
        if from > 0 {
            shown.insert(0, '…');
            before += 1;
        }
        if to < chars.len() {
            shown.push('…');
        }
        (shown, before, screen(&text(&chars[start..end.min(to)])).max(1))
    }
}

/// Makes text safe for a terminal: a file must not be able to move the cursor or set colours. A tab, which would shift
/// the caret, becomes four spaces.
fn printable(text: &str, keep_newline: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            '\n' if keep_newline => out.push('\n'),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
