//! A step's source and work for those who look and ask for nothing: estimates and dry runs.

use std::sync::Arc;

use domain::{
    StepNumber,
    ports::{ModelClient, Source},
};

use super::{
    step,
    work::{self, Work},
};
use crate::pipeline::{Ready, StepConfig};

/// Returns the source and the work of a step.
///
/// # Errors
/// Where its parts do not fit together, which checking the pipeline should have told.
pub(crate) fn at(
    ready: &Ready,
    number: StepNumber,
    step: &StepConfig,
    client: &Arc<dyn ModelClient>,
) -> anyhow::Result<(Arc<dyn Source>, Work)> {
    let source = step::source_of(ready, number, step)?;
    source.fingerprint()?;
    let work = work::work(ready, step, Arc::clone(client))?;
    Ok((source, work))
}
