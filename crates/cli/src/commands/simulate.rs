//! `tidemill simulate`.

use std::net::{Ipv4Addr, SocketAddr};

use simulate::Script;

use crate::{args::Simulate, config, exit::Exit, talk};

/// Serves the scripted vendor until it is interrupted.
pub(super) fn run(args: &Simulate) -> anyhow::Result<Exit> {
    let script = match &args.script {
        None => Script::default(),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| {
                crate::exit::ConfigurationError(format!("cannot read the script `{}`: {error}", path.display()))
            })?;
            let text = match config::decode(path, &bytes) {
                Ok(text) => text,
                Err(diagnostic) => {
                    super::check::tell(&[*diagnostic]);
                    return Ok(Exit::Configuration);
                }
            };
            let (script, _, diagnostics) = config::read::<Script>(path, text);
            super::check::tell(&diagnostics);
            let Some(script) = script else { return Ok(Exit::Configuration) };
            script.check().map_err(|error| crate::exit::ConfigurationError(error.to_string()))?;
            script
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts = runtime.block_on(async {
        let listener = simulate::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))?;
        talk::data(format!("http://{}/v1", listener.local_addr()?));
        talk::say("a simulated vendor: nothing it says comes from a model; Ctrl-C stops it");
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let stop = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok::<_, anyhow::Error>(simulate::serve(listener, script, stop).await?)
    })?;
    talk::say(serde_json::to_string(&counts)?);
    Ok(Exit::Done)
}
