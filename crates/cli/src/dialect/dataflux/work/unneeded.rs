//! Keys of theirs that have no use here, and why: told in one remark, so that nobody reads ten of them.

use crate::dialect::Remark;

pub(super) const STREAMS: &str = "records stream, so there are no shards";
pub(super) const SAVING: &str = "every answer is kept the moment it is here";
pub(super) const READER: &str = "tables are read and written in one way";
pub(super) const CONNECTIONS: &str = "connections are opened as they are needed";
pub(super) const LOG: &str = "`tidemill gateway` follows it, and a run speaks on standard error";
pub(super) const IN_PROCESS: &str = "the models of the file are asked without a gateway";
pub(super) const NEVER_READ: &str = "AI-DataFlux never read it either";
pub(super) const ENCODING: &str = "tokens are counted with `o200k_base` or `cl100k_base`, by the model";

/// Keys by why they are not needed.
#[derive(Debug, Default)]
pub(super) struct Unneeded {
    first: Option<Vec<String>>,
    by_reason: Vec<(&'static str, Vec<String>)>,
}

impl Unneeded {
    pub(super) fn add(&mut self, path: Vec<String>, key: &str, why: &'static str) {
        self.first.get_or_insert(path);
        match self.by_reason.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, keys)) => keys.push(format!("`{key}`")),
            None => self.by_reason.push((why, vec![format!("`{key}`")])),
        }
    }

    /// Returns each reason with its keys.
    pub(super) fn told(&self) -> Vec<String> {
        self.by_reason.iter().map(|(why, keys)| format!("{}: {why}", keys.join(" "))).collect()
    }

    /// Returns the one remark, at the first of the keys.
    pub(super) fn remark(self) -> Option<Remark> {
        let message = format!("these keys are not needed here: {}", self.told().join("; "));
        let path = self.first?;
        Some(Remark { path, message, ..Remark::default() })
    }
}
