//! The log of the gateway's requests.

use std::{io::Write, path::Path, sync::Arc};

use domain::Clock;
use gateway::{
    FaceConfig, LogFormat,
    face::{AccessLog, LogTarget, Serving},
};

use crate::{args::LogChoice, exit::ConfigurationError, talk};

/// Opens the log of requests that `settings` want, or goes on with that of `before` where it is the same. `choice` is what
/// the command line says about it.
///
/// # Errors
/// Where its file cannot be opened.
pub(super) fn log(
    before: Option<(&Serving, &FaceConfig)>,
    settings: &FaceConfig,
    folder: &Path,
    choice: Option<LogChoice>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<AccessLog>>> {
    let wanted = |settings: &FaceConfig| {
        let format = choice.map_or(settings.log_format, LogChoice::format);
        (format, settings.log_file.clone())
    };
    match before {
        Some((serving, old)) if wanted(old) == wanted(settings) => Ok(serving.seen().1),
        _ => open(wanted(settings).0, settings, folder, clock),
    }
}

fn open(
    format: LogFormat,
    settings: &FaceConfig,
    folder: &Path,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<AccessLog>>> {
    if format == LogFormat::Off {
        return Ok(None);
    }
    let path = settings.log_file.as_ref().map(|path| folder.join(path));
    let target = match &path {
        Some(path) => LogTarget::File(path.clone()),
        None => LogTarget::Writer(Box::new(Stderr)),
    };
    let refused = |e: std::io::Error| {
        let path = path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        ConfigurationError(format!(
            "the log of requests `{path}` cannot be opened: {e}; name a file that may be written under `gateway: log: file:`"
        ))
    };
    let name = path.as_ref().map(|path| path.display().to_string());
    let trouble = Box::new(move |error: Option<&std::io::Error>| match (&name, error) {
        // Where standard error cannot be written, that cannot be said either.
        (None, _) => {}
        (Some(name), Some(error)) => talk::say(format!(
            "the log of requests `{name}` cannot be written: {error}; requests are answered, and their lines are lost until it can"
        )),
        (Some(name), None) => talk::say(format!("the log of requests `{name}` is written again")),
    });
    Ok(Some(Arc::new(AccessLog::open(format, target, Arc::clone(clock), trouble).map_err(refused)?)))
}

/// Standard error, without a lock on it between two lines.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}
