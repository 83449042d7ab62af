//! The work of a step: a handler with the way to what records name.

use std::{fs::File, io::Read as _, path::PathBuf, sync::Arc};

use domain::ports::{Handler, ModelClient};
use work::{
    embed::EmbedHandler,
    prompt::{Attachments, CasesHandler, PromptHandler},
};

use crate::pipeline::{Ready, StepConfig, WorkConfig};

/// The work of a step, and what the rest of the step must know of it.
pub(crate) struct Work {
    pub(crate) handler: Arc<dyn Handler>,
    /// The names of the fields that it adds to a record.
    pub(crate) new_fields: Vec<String>,
    /// How many accepted answers are wanted of each record, and how many are asked for at most.
    pub(crate) until: Option<(u32, u32)>,
    /// Identical requests are asked once.
    pub(crate) dedupes: bool,
}

/// Makes the work of a step for records of `source`, which is how messages call it.
///
/// # Errors
/// Where its configuration has mistakes, which checking the pipeline should have told.
pub(crate) fn work(ready: &Ready, step: &StepConfig, models: Arc<dyn ModelClient>) -> anyhow::Result<Work> {
    let new_fields = step.work.new_fields();
    Ok(match &step.work {
        WorkConfig::Prompt(prompt) => {
            let files: Arc<dyn Attachments> = Arc::new(Folder(ready.place("".as_ref()).path));
            if let Some(handler) = CasesHandler::new(prompt, &step.inputs(), &models, &files)? {
                let (until, dedupes) = (handler.until(), handler.dedupes());
                return Ok(Work { handler: Arc::new(handler), new_fields, until, dedupes });
            }
            let handler = PromptHandler::new(prompt, step.inputs(), models, files)?;
            let (until, dedupes) = (handler.until(), handler.dedupes());
            Work { handler: Arc::new(handler), new_fields, until, dedupes }
        }
        WorkConfig::Embed(embed) => {
            let handler = EmbedHandler::new(embed, step.inputs(), models)?;
            Work { handler: Arc::new(handler), new_fields, until: None, dedupes: false }
        }
    })
}

/// The folder of a pipeline, from which records name files.
struct Folder(PathBuf);

impl Attachments for Folder {
    fn read(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, String> {
        let cannot = |error: std::io::Error| format!("cannot be read: {error}");
        let place = self.0.join(path).canonicalize().map_err(cannot)?;
        // A record is data, and data may come from anybody: what it names is sent to a vendor, so it must not be any file
        // of the machine.
        if !self.0.canonicalize().is_ok_and(|folder| place.starts_with(folder)) {
            return Err("lies outside of the pipeline file's folder, and only files below that are sent".to_owned());
        }
        let file = File::open(place).map_err(cannot)?;
        if file.metadata().map_err(cannot)?.is_dir() {
            return Err("is a folder".to_owned());
        }
        let mut bytes = Vec::new();
        // One byte more than is allowed tells a file that is too large, also where the system does not know its length.
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 > max_bytes {
            return Err(format!("has more than {max_bytes} bytes; `max_bytes` says how large a file may be"));
        }
        Ok(bytes)
    }
}
