//! `tidemill import`: another tool's file as a pipeline.

use std::path::Path;

use crate::{args::Import, exit::Exit, pipeline, talk};

/// Prints the pipeline.
pub(super) fn run(args: &Import) -> anyhow::Result<Exit> {
    let imported = pipeline::import(&args.file)?;
    super::check::tell(&imported.diagnostics);
    let Some(text) = imported.text else { return Ok(Exit::Configuration) };
    for variable in &imported.variables {
        talk::say(format!(
            "a password is not repeated: the pipeline takes it from the variable {variable} of the environment"
        ));
    }
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    talk::say(format!("the pipeline belongs into the folder `{}`, where its models file is", folder.display()));
    talk::data(text.trim_end());
    Ok(Exit::Done)
}
