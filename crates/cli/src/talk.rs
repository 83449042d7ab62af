//! What is said to people, on standard error, and data, on standard output.
//!
//! One lock holds both the words and the bar, so that a message goes above the bar and neither tears the other. What goes
//! to the terminal goes in one write.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError},
};

use crate::{
    lang::tr,
    progress::screen::{self, ERASE, Line},
};

/// What there is on the screen.
struct Stage {
    /// The bar as it was drawn last; empty where there is none.
    bar: Vec<Line>,
    /// Whether everything that is said is JSON.
    is_json: bool,
}

static STAGE: Mutex<Stage> = Mutex::new(Stage { bar: Vec::new(), is_json: false });

/// Says a line, in the language of the process.
pub(crate) fn say(line: impl AsRef<str>) {
    stage().speak("message", &tr(line.as_ref()));
}

/// Says what went wrong, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    let mut stage = stage();
    if stage.is_json {
        stage.speak("error", &tr(&format!("{error:#}")));
    } else {
        stage.speak("error", &tr(&format!("error: {error:#}")));
    }
}

/// Says text that carries its own line ends, and is in the language of the process already.
pub(crate) fn text(text: &str) {
    let mut stage = stage();
    match stage.is_json {
        true if text.trim().is_empty() => {}
        true => stage.speak("message", text.trim_end()),
        false => stage.write(text),
    }
}

/// Says a line that is JSON already.
pub(crate) fn raw(json: &str) {
    stage().write(&format!("{json}\n"));
}

/// Says everything as JSON from now on, so that a program that reads standard error finds nothing else there.
pub(crate) fn in_json() {
    stage().is_json = true;
}

/// Returns whether colour is welcome.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a convention of the environment (no-color.org)")]
pub(crate) fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line of data. A reader that has gone away (`| head`) is not an error.
pub(crate) fn data(line: impl AsRef<str>) {
    let mut stage = stage();
    let bar = std::mem::take(&mut stage.bar);
    if !bar.is_empty() {
        to_stderr(ERASE);
    }
    let written = writeln!(std::io::stdout().lock(), "{}", line.as_ref());
    if written.is_err() {
        std::process::exit(0);
    }
    if !bar.is_empty() {
        to_stderr(&screen::frame(&bar, is_coloured()));
        stage.bar = bar;
    }
}

/// Draws the bar, over the one before it. A process in the background draws none.
pub(crate) fn show_bar(lines: impl FnOnce() -> Vec<Line>) {
    clear_before_a_panic();
    let mut stage = stage();
    if !screen::is_in_foreground() {
        stage.bar.clear();
        return;
    }
    stage.bar = lines();
    to_stderr(&format!("{ERASE}{}", screen::frame(&stage.bar, is_coloured())));
}

/// Takes the bar away.
pub(crate) fn hide_bar() {
    stage().hide_bar();
}

/// Leaves the bar where it is: something else was drawn since, and the cursor is elsewhere.
pub(crate) fn forget_bar() {
    stage().bar.clear();
}

impl Stage {
    fn speak(&mut self, tag: &str, words: &str) {
        if self.is_json {
            let json = serde_json::json!({ "type": tag, "text": words });
            self.write(&format!("{json}\n"));
        } else {
            self.write(&format!("{words}\n"));
        }
    }

    /// Writes whole lines above the bar.
    fn write(&mut self, text: &str) {
        if self.bar.is_empty() {
            to_stderr(text);
        } else {
            to_stderr(&format!("{ERASE}{text}{}", screen::frame(&self.bar, is_coloured())));
        }
    }

    fn hide_bar(&mut self) {
        if !self.bar.is_empty() {
            self.bar.clear();
            to_stderr(ERASE);
        }
    }
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn to_stderr(text: &str) {
    // Somebody who closed standard error does not want to hear of it.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Sees to it that what a panic says stands on lines of its own.
fn clear_before_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            match STAGE.try_lock() {
                Ok(mut stage) => stage.hide_bar(),
                Err(TryLockError::Poisoned(stage)) => stage.into_inner().hide_bar(),
                // This very thread may hold it.
                Err(TryLockError::WouldBlock) => to_stderr(ERASE),
            }
            usual(panic);
        }));
    });
}

/// Writes a line of a table for people to standard output, in the language of the process.
pub(crate) fn table(line: impl AsRef<str>) {
    data(tr(line.as_ref()));
}
