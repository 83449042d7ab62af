//! `tidemill run --dry-run`: what would be sent, and what it would cost.

use super::estimate;
use crate::{
    args::{Estimate, PipelineFile, Run},
    exit::Exit,
    pipeline::TokenMode,
    talk,
};

/// How many requests are shown.
const SHOWN: usize = 3;

/// Shows the first requests, and estimates the whole.
pub(super) fn run(args: &Run) -> anyhow::Result<Exit> {
    let estimate = Estimate {
        file: PipelineFile::of(args.file.path().to_owned()),
        models: args.models.clone(),
        limit: args.limit,
        mode: Some(TokenMode::In),
        sample: None,
        answer_tokens: None,
        json: false,
        state: args.state.clone(),
    };
    let Some(estimated) = estimate::of_pipeline(&estimate, SHOWN)? else { return Ok(Exit::Configuration) };
    for step in &estimated.steps {
        for request in &step.first_requests {
            talk::data(serde_json::to_string_pretty(request)?);
        }
    }
    estimate::tell(&estimated);
    talk::say("nothing was asked; `--sample 20 --preview` asks for a few and shows the answers");
    Ok(Exit::Done)
}
