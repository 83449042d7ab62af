//! The built-in scripted vendor, behind a channel that says `simulated`.

use std::net::{Ipv4Addr, SocketAddr};

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

/// Starts the vendors of a models file and puts their addresses in place of the scripts.
///
/// # Errors
/// Where a vendor cannot be started.
pub(crate) fn start(models: &mut ModelsFile) -> anyhow::Result<Vec<Vendor>> {
    let mut vendors = Vec::new();
    for (name, channel) in &mut models.channels {
        let Some(value) = channel.simulated.take() else { continue };
        let script = script(&value).map_err(|(_, message)| {
            crate::exit::ConfigurationError(format!("the script of channel `{name}` cannot be used: {message}"))
        })?;
        let vendor = Vendor::start(script, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        channel.url = Some(Setting::Literal(vendor.base_url()));
        vendors.push(vendor);
    }
    Ok(vendors)
}
