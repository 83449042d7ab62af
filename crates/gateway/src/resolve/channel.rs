//! Channels: endpoints, and how connections to them come about.

use std::sync::Arc;

use provider::transport::{self, Authorities, Connecting, Endpoint, Proxy};

use super::Resolver;
use crate::config::{Channel, FromEnvironment, HttpVersion, Setting, Span};

/// Headers that carry keys, in the spellings of vendors.
const KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];

/// A channel as far as it could be resolved.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub(super) settings: &'a Channel,
    pub(super) endpoint: Endpoint,
    pub(super) connecting: Arc<Connecting>,
}

fn path(channel: &str, key: &str) -> Vec<String> {
    vec!["channels".to_owned(), channel.to_owned(), key.to_owned()]
}

impl Resolver<'_> {
    pub(super) fn line<'a>(&mut self, name: &str, channel: &'a Channel) -> Option<Line<'a>> {
        let endpoint = self.endpoint(name, channel);
        let connecting = Arc::new(self.connecting(name, channel));
        match endpoint?.with_connecting(Arc::clone(&connecting)) {
            Ok(endpoint) => Some(Line { settings: channel, endpoint, connecting }),
            Err(e) => {
                self.mistake(&path(name, "proxy"), e.to_string(), None);
                None
            }
        }
    }

    fn endpoint(&mut self, name: &str, channel: &Channel) -> Option<Endpoint> {
        let setting = match (&channel.url, &channel.simulated) {
            (Some(setting), None) => setting,
            (None, Some(_)) => {
                // Whoever composes the process has put the address of the scripted vendor into `url` by now.
                self.mistake(&path(name, "simulated"), format!("the simulated channel `{name}` was not opened"), None);
                return None;
            }
            (both, _) => {
                let what = if both.is_some() { "both `url` and" } else { "neither `url` nor" };
                let help = "it needs exactly one of them".to_owned();
                self.mistake(&path(name, "")[..2], format!("channel `{name}` has {what} `simulated`"), Some(help));
                return None;
            }
        };
        let url = self.setting(&path(name, "url"), "url", setting)?;
        let mut endpoint = match Endpoint::parse(&url) {
            Ok(endpoint) => endpoint,
            Err(e) => {
                self.mistake(&path(name, "url"), format!("the URL of channel `{name}` cannot be used: {e}"), None);
                return None;
            }
        };
        for (header, value) in &channel.headers {
            let mut path = path(name, "headers");
            path.push(header.clone());
            if KEY_HEADERS.iter().any(|name| header.eq_ignore_ascii_case(name)) {
                let help = Some("give the model a `key: { env: NAME }`".to_owned());
                self.mistake(&path, "a key never stands among the headers".to_owned(), help);
                continue;
            }
            match endpoint.clone().with_header(header, value) {
                Ok(with) => endpoint = with,
                Err(e) => self.mistake(&path, e.to_string(), None),
            }
        }
        Some(endpoint)
    }

    fn connecting(&mut self, name: &str, channel: &Channel) -> Connecting {
        let limits = [
            ("idle_timeout", channel.idle_timeout, "2m"),
            ("connect_timeout", channel.connect_timeout, "10s"),
            ("first_byte_timeout", channel.first_byte_timeout, "2m"),
            ("timeout", channel.timeout, "10m"),
        ];
        for (key, limit, usual) in limits {
            if limit.is_some_and(|Span(limit)| limit.is_zero()) {
                let message = "a limit of no time at all would cut every answer".to_owned();
                self.mistake(&path(name, key), message, Some(format!("leave it out, or write `{key}: {usual}`")));
            }
        }
        let proxy = channel.proxy.as_ref().and_then(|proxy| self.proxy(name, proxy));
        let authorities = channel.ca.as_ref().and_then(|file| match (self.read_file)(file) {
            Ok(text) => match Authorities::from_pem(text.as_bytes()) {
                Ok(authorities) => Some(authorities),
                Err(e) => {
                    let message = format!("the certificates `{}` cannot be used: {e}", file.display());
                    self.mistake(&path(name, "ca"), message, None);
                    None
                }
            },
            Err(e) => {
                let message = format!("the certificates `{}` cannot be read: {e}", file.display());
                self.mistake(&path(name, "ca"), message, None);
                None
            }
        });
        let mut addresses = Vec::new();
        for (at, text) in channel.ip_pool.iter().enumerate() {
            match text.trim().parse() {
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let mut path = path(name, "ip_pool");
                    path.push(at.to_string());
                    let help = Some("write addresses such as `203.0.113.7` or `2001:db8::7`".to_owned());
                    self.mistake(&path, format!("`{text}` is not an IP address"), help);
                }
            }
        }
        let usual = Connecting::default();
        Connecting {
            proxy,
            authorities,
            is_verified: channel.ssl_verify.unwrap_or(true),
            addresses,
            timeout: channel.connect_timeout.map_or(usual.timeout, |Span(limit)| limit),
            http: match channel.http.unwrap_or_default() {
                HttpVersion::One => transport::HttpVersion::Http1,
                HttpVersion::Two => transport::HttpVersion::Http2,
            },
        }
    }

    fn proxy(&mut self, name: &str, proxy: &Setting) -> Option<Proxy> {
        let path = path(name, "proxy");
        if matches!(proxy, Setting::Literal(url) if url.contains('@')) {
            let help = "put the whole URL into the environment, and write `proxy: { env: NAME }`".to_owned();
            self.mistake(&path, "a password never stands in the file itself".to_owned(), Some(help));
            return None;
        }
        let url = self.setting(&path, "proxy", proxy)?;
        match Proxy::parse(&url) {
            Ok(proxy) => Some(proxy),
            Err(e) => {
                self.mistake(&path, format!("the proxy of channel `{name}` cannot be used: {e}"), None);
                None
            }
        }
    }

    /// Returns the value of a setting, which stands under `key`.
    fn setting(&mut self, path: &[String], key: &str, setting: &Setting) -> Option<String> {
        match setting {
            Setting::Literal(value) => Some(value.clone()),
            Setting::Hidden(value) => Some(value.expose().to_owned()),
            Setting::From(FromEnvironment { env, default }) => {
                let found = self.variable(env).or_else(|| default.clone());
                if found.is_none() {
                    let help = format!("set it, or write a default: `{key}: {{ env: {env}, default: ... }}`");
                    self.mistake(path, format!("the environment variable `{env}` is not set"), Some(help));
                }
                found
            }
        }
    }
}
