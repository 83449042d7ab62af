//! What is said to people, on standard error, and data, on standard output.
#![expect(clippy::print_stderr, reason = "this is the one place that talks")]

use std::io::{IsTerminal as _, Write as _};

/// Says a line.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("{}", line.as_ref());
}

/// Says what went wrong, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Says text that carries its own line ends.
pub(crate) fn text(text: &str) {
    eprint!("{text}");
}

/// Returns whether colour is welcome.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a convention of the environment (no-color.org)")]
pub(crate) fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line of data. A reader that has gone away (`| head`) is not an error.
pub(crate) fn data(line: impl AsRef<str>) {
    let written = writeln!(std::io::stdout().lock(), "{}", line.as_ref());
    if written.is_err() {
        std::process::exit(0);
    }
}
