//! Their channels.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use domain::Secret;
use gateway::{Channel, Setting, Span};
use serde_json::Value;

use super::entry::Entry;
use crate::dialect::Remark;

const KEYS: [&str; 7] = ["name", "base_url", "api_path", "timeout", "proxy", "ssl_verify", "ip_pool"];
const CHAT: &str = "/chat/completions";

/// What the old gateway has for every channel.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const TIMEOUT: f64 = 600.0;

/// Reads the channels that can be used, by their ids.
pub(super) fn read(top: &Entry<'_>, remarks: &mut Vec<Remark>) -> BTreeMap<String, Channel> {
    let Some(channels) = top.get("channels").and_then(Value::as_object) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (id, channel) in channels {
        let place = vec!["channels".to_owned(), id.clone()];
        let channel = match channel {
            Value::Object(map) => channel_of(&Entry::new(place, map), id, remarks),
            _ => {
                let message = format!("channel `{id}` is no map, and is left out");
                remarks.push(Remark { path: place, message, ..Remark::default() });
                None
            }
        };
        found.extend(channel.map(|channel| (id.clone(), channel)));
    }
    found
}

fn channel_of(entry: &Entry<'_>, id: &str, remarks: &mut Vec<Remark>) -> Option<Channel> {
    entry.name_unknown(&KEYS, remarks);
    let Some(base) = entry.text("base_url", remarks) else {
        remarks.push(entry.remark("", format!("channel `{id}` has no `base_url`, and is left out")));
        return None;
    };
    let path = entry.text("api_path", remarks).unwrap_or_else(|| format!("/v1{CHAT}"));
    let (url, chat_path) = parts(&base, &path);
    let proxy = entry.text("proxy", remarks);
    let ip_pool = addresses(entry, remarks);
    if proxy.is_some() && !ip_pool.is_empty() {
        remarks.push(entry.remark("ip_pool", "`ip_pool` is not used where there is a proxy".to_owned()));
    }
    let is_verified = entry.truth("ssl_verify", remarks).unwrap_or(true);
    let seconds = entry.amount("timeout", remarks).unwrap_or(TIMEOUT);
    Some(Channel {
        url: Some(Setting::Literal(url)),
        chat_path,
        connect_timeout: Some(Span(CONNECT_TIMEOUT)),
        idle_timeout: Some(Span(IDLE_TIMEOUT)),
        timeout: Duration::try_from_secs_f64(seconds).ok().map(Span),
        // It may hold a password, and the old tool takes it from nowhere else.
        proxy: proxy.map(|url| Setting::Hidden(Secret::new(url))),
        ssl_verify: Some(is_verified),
        ip_pool,
        ..Channel::default()
    })
}

/// Returns the base URL of a channel, and the path of chat completions where that is not the usual one below it. Where it
/// is, other endpoints lie beside it.
fn parts(base: &str, path: &str) -> (String, Option<String>) {
    let base = base.trim_end_matches('/');
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let whole = format!("{base}{path}");
    let (way, query) = whole.split_once('?').map_or((whole.as_str(), None), |(way, query)| (way, Some(query)));
    match (way.trim_end_matches('/').strip_suffix(CHAT), query) {
        (Some(prefix), None) => (prefix.to_owned(), None),
        (Some(prefix), Some(query)) => (format!("{prefix}?{query}"), None),
        (None, _) => (base.to_owned(), Some(path)),
    }
}

fn addresses(entry: &Entry<'_>, remarks: &mut Vec<Remark>) -> Vec<String> {
    let pool = match entry.get("ip_pool") {
        None => return Vec::new(),
        Some(Value::Array(pool)) => pool.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let mut addresses = Vec::new();
    for address in pool {
        let text = address.as_str().unwrap_or_default().trim();
        match text.parse::<IpAddr>() {
            Ok(_) => addresses.push(text.to_owned()),
            Err(_) => {
                let message = format!("`{}` is not an IP address, and is left out", text.escape_debug());
                remarks.push(entry.remark("ip_pool", message));
            }
        }
    }
    addresses
}
