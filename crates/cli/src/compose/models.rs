//! The model side of a run.

use std::{path::Path, sync::Arc};

use domain::Clock;
use gateway::{Gateway, ModelsFile};
use provider::transport::{Limits, Transport};

use super::{
    environment,
    simulated::{self, Simulated},
};

/// The gateway of a run, with the simulated vendors that live as long as it does.
pub(crate) struct Models {
    pub(crate) gateway: Arc<Gateway>,
    /// Names of models that are simulated.
    pub(crate) simulated: Vec<String>,
    _vendors: Vec<Simulated>,
}

/// Opens the gateway of a models file; files of keys lie relative to `folder`.
///
/// # Errors
/// Where a simulated vendor cannot be started, or the file has mistakes that were not checked for before.
pub(crate) fn open(mut models: ModelsFile, folder: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Models> {
    let simulated = simulated::models(&models);
    let vendors = simulated::start(&mut models, &[])?;
    let resolved = environment::resolve(&models, folder).map_err(|mistakes| {
        let messages: Vec<String> = mistakes.into_iter().map(|mistake| mistake.message).collect();
        crate::exit::ConfigurationError(messages.join("; "))
    })?;
    let gateway = Gateway::new(&resolved, Arc::new(Transport::new(Limits::default())), clock);
    Ok(Models { gateway: Arc::new(gateway), simulated, _vendors: vendors })
}
