//! The built-in scripted vendor, behind a channel that says `simulated`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use gateway::{ModelsFile, Setting};
use simulate::{Script, Vendor};

/// Reads a script; the error tells which key, and what is wrong with it.
pub(crate) fn script(value: &serde_json::Value) -> Result<Script, (Vec<String>, String)> {
    let script: Script = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().iter().map(ToString::to_string).collect();
        (path, error.inner().to_string())
    })?;
    script.check().map_err(|error| (Vec::new(), error.to_string()))?;
    Ok(script)
}

/// Returns the names of the models that a simulated vendor answers as.
pub(crate) fn models(file: &ModelsFile) -> Vec<String> {
    let is_simulated = |channel: &str| file.channels.get(channel).is_some_and(|channel| channel.simulated.is_some());
    let simulated = file.models.iter().filter(|model| is_simulated(&model.channel));
    simulated.map(|model| model.name.clone()).collect()
}

/// A simulated vendor that is at work. It ends with the last one who holds it.
#[derive(Clone)]
pub(crate) struct Simulated {
    channel: String,
    script: serde_json::Value,
    vendor: Arc<Vendor>,
}

/// Starts the vendors of a models file and puts their addresses in place of the scripts. Those in `running` whose scripts
/// are the same go on.
///
/// # Errors
/// Where a vendor cannot be started.
pub(crate) fn start(models: &mut ModelsFile, running: &[Simulated]) -> anyhow::Result<Vec<Simulated>> {
    let mut all = Vec::new();
    for (name, channel) in &mut models.channels {
        let Some(value) = channel.simulated.take() else { continue };
        let simulated = match running.iter().find(|old| old.channel == *name && old.script == value) {
            Some(old) => old.clone(),
            None => {
                let script = script(&value).map_err(|(_, message)| {
                    crate::exit::ConfigurationError(format!("the script of channel `{name}` cannot be used: {message}"))
                })?;
                let vendor = Vendor::start(script, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
                Simulated { channel: name.clone(), script: value, vendor: Arc::new(vendor) }
            }
        };
        channel.url = Some(Setting::Literal(simulated.vendor.base_url()));
        all.push(simulated);
    }
    Ok(all)
}
