//! `tidemill runs diff`.

use std::path::Path;

use super::runs;
use crate::{exit::Exit, language, report, talk};

/// Tells what differs between two runs.
pub(super) fn run(state: &Path, a: &str, b: &str, json: bool) -> anyhow::Result<Exit> {
    let (a, b) = (runs::find(state, a)?, runs::find(state, b)?);
    let difference = report::between(&a, &b)?;
    if json {
        talk::data(serde_json::to_string_pretty(&difference)?);
    } else {
        talk::data(report::shown(&difference, language::chosen()).trim_end());
    }
    Ok(Exit::Done)
}
