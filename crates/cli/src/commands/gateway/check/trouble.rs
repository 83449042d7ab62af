//! What is wrong with a model, what may help, and where in the file that stands.

use std::path::{Path, PathBuf};

use gateway::{ModelsFile, Setting};
use provider::transport::TransportError;

use super::Tried;
use crate::pipeline::Places;

/// What is wrong, and what may help.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) help: &'static str,
    look_at: Look,
}

/// What of the file should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Url,
    Proxy,
    Key,
    Model,
}

/// What helps against one kind of trouble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cure(&'static str, Look);

impl Cure {
    pub(super) fn with(self, what: String) -> Trouble {
        Trouble { what, help: self.0, look_at: self.1 }
    }
}

pub(super) const KEY: Cure =
    Cure("the vendor does not take the key: look at `key` of the model, and at the account", Look::Key);
pub(super) const CREDIT: Cure = Cure("the account has no credit left: top it up, or take another key", Look::Key);
pub(super) const FEWER: Cure = Cure("the vendor wants fewer requests now: try again later", Look::Model);
pub(super) const FAULT: Cure = Cure("the vendor has a fault: try again later, and look at `url`", Look::Url);
pub(super) const NAME: Cure = Cure("look at `model`: is it the vendor's name, and a model that chats?", Look::Model);
pub(super) const URL: Cure = Cure("look at `url` of the channel: is it the one that ends in `/v1`?", Look::Url);
pub(super) const PROXY_KEY: Cure =
    Cure("the proxy wants a user and a password: give them in its URL, from the environment", Look::Proxy);
const PROXY: Cure = Cure("look at `proxy` of the channel", Look::Proxy);
const OR_PROXY: &str = "the vendor says so, or the proxy before it: look at `proxy` of the channel as well";

/// The vendor has a list of models, and this one is not on it.
pub(super) fn not_listed(what: String) -> Trouble {
    Cure("compare `model` with the vendor's list; --ask tells whether it answers all the same", Look::Model).with(what)
}

impl Trouble {
    /// There is no answer.
    pub(super) fn of_way(error: &TransportError) -> Self {
        cure(error).with(error.to_string())
    }
}

fn cure(error: &TransportError) -> Cure {
    let TransportError::Connect { cause, .. } = error else {
        return match error {
            TransportError::Deadline | TransportError::Silent { .. } => {
                Cure("nothing answers there: look at `url` and `proxy`", Look::Url)
            }
            _ => Cure("what answers there is no such vendor: look at `url`, also at `http` or `https`", Look::Url),
        };
    };
    let says = |word: &str| cause.contains(word);
    if says("through the proxy") && !says("TLS: ") {
        PROXY
    } else if says("expired") {
        Cure("the certificate is too old: its owner has to renew it, unless this machine's clock is wrong", Look::Url)
    } else if says("not valid yet") {
        Cure("the certificate is for later: is this machine's clock wrong?", Look::Url)
    } else if says("not valid for name") {
        Cure("write the host in `url` as the certificate has it, or get a certificate for this host", Look::Url)
    } else if says("UnknownIssuer") || says("CaUsedAsEndEntity") {
        Cure(
            "nobody whom this machine trusts has signed the certificate: name its authority with `ca` of the channel",
            Look::Url,
        )
    } else if says("InvalidContentType") || says("corrupt message") {
        Cure("what listens there speaks no TLS: does `url` begin with `http://`?", Look::Url)
    } else if says("certificate") || says("TLS") {
        Cure("name the authority of its certificate with `ca`, and see that `url` has the right host", Look::Url)
    } else if says("resolve") || says("no address") {
        Cure("look at the host in `url`, and at this machine's DNS", Look::Url)
    } else {
        Cure("see that it runs, and look at host and port in `url`", Look::Url)
    }
}

/// Finds what should be looked at in the file.
pub(super) struct Finder {
    file: PathBuf,
    places: Option<Places>,
    /// The names of the models, in the order of the file.
    models: Vec<String>,
    /// Channels whose requests a proxy reads, so that an answer may be its own.
    read_by_proxies: Vec<String>,
}

impl Finder {
    pub(super) fn of(file: &Path, models: &ModelsFile) -> Self {
        let is_read = |url: &Setting| !matches!(url, Setting::Literal(url) if url.starts_with("https://"));
        let read_by_proxies = models
            .channels
            .iter()
            .filter(|(_, channel)| channel.proxy.is_some() && channel.url.as_ref().is_some_and(is_read));
        Self {
            file: file.to_owned(),
            places: Places::of(file),
            models: models.models.iter().map(|model| model.name.clone()).collect(),
            read_by_proxies: read_by_proxies.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Notes for each that has trouble where that comes from.
    pub(super) fn find(&self, tried: &mut [Tried]) {
        for one in tried {
            let Some(trouble) = &mut one.trouble else { continue };
            let was_answered = one.reached.is_some() && matches!(trouble.look_at, Look::Key | Look::Url);
            if was_answered && self.read_by_proxies.contains(&one.channel) {
                *trouble = Trouble { help: OR_PROXY, look_at: Look::Proxy, ..trouble.clone() };
            }
            let number = self.models.iter().position(|name| *name == one.model).unwrap_or_default().to_string();
            let path = match trouble.look_at {
                Look::Url => ["channels", &*one.channel, "url"],
                Look::Proxy => ["channels", &*one.channel, "proxy"],
                Look::Key => ["models", &*number, "key"],
                Look::Model => ["models", &*number, "model"],
            };
            let span = self.places.as_ref().and_then(|places| places.at(&path));
            one.place = span.map(|span| format!("{}:{}:{}", self.file.display(), span.line, span.column));
        }
    }
}
