//! A face before scripted vendors.

use std::{net::SocketAddr, sync::Arc};

use domain::{Clock, Timestamp};
use gateway::{
    Gateway, ModelsFile,
    face::{self, Face, Live, Serving},
    resolve, resolve_face,
};
use provider::transport::Transport;
use serde_json::{Map, Value, json};
use simulate::{Script, Vendor};

/// The key that clients show the gateway, and the gateway the vendors.
pub(crate) const KEY: &str = "right";

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// Starts a vendor that follows a script.
pub(crate) fn vendor(script: &Value) -> Vendor {
    let script: Script = serde_json::from_value(script.clone()).expect("the test's own script");
    Vendor::start(script, ([127, 0, 0, 1], 0).into()).expect("a vendor that listens")
}

/// A face before vendors, each of which is a channel with one model; both are called alike.
pub(crate) struct House {
    face: Option<Face>,
    pub(crate) address: SocketAddr,
}

impl House {
    /// `more` has further members of the models file; those below `every` are members of each model, and those below
    /// `channel` of each channel.
    pub(crate) fn new(vendors: &[(&str, &Vendor)], mut more: Value) -> Self {
        let mut take = |name: &str| more.as_object_mut().and_then(|more| more.remove(name)).unwrap_or(json!({}));
        let (every, channel) = (take("every"), take("channel"));
        let with = |mut own: Value, others: &Value| {
            own.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
            own
        };
        let channels: Map<_, _> = vendors
            .iter()
            .map(|(name, vendor)| ((*name).to_owned(), with(json!({ "url": vendor.base_url() }), &channel)))
            .collect();
        let models: Vec<_> = vendors
            .iter()
            .map(|(name, _)| with(json!({ "name": name, "channel": name, "key": { "env": "KEY" } }), &every))
            .collect();
        let file = with(json!({ "channels": channels, "models": models }), &more);
        let file: ModelsFile = serde_json::from_value(file).expect("the test's own file");
        let environment = |name: &str| (name == "KEY").then(|| KEY.to_owned());
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let resolved = resolve(&file, &environment, &no_files).expect("a sound file");
        let settings = resolve_face(&file, &environment, &no_files).expect("a sound file");
        let clock: Arc<dyn Clock> = Arc::new(Epoch);
        let gateway = Arc::new(Gateway::new(&resolved, Arc::new(Transport::default()), Arc::clone(&clock)));
        let serving = Serving::new(&resolved, gateway, settings, clock.now());
        let live = Arc::new(Live::new(Arc::new(serving)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        // As the binary does: a crowd knocks at once, and whoever is not heard tries again much later.
        rustix::net::listen(&listener, 4_096).expect("a longer line before the door");
        let face = face::serve(listener, &live, 2, &clock).expect("a face");
        Self { address: face.address(), face: Some(face) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(face) = self.face.take() {
            face.stop();
        }
    }
}
