//! Where requests go.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING},
    uri::{Authority, PathAndQuery, Scheme},
};

use super::connect::{Connecting, HttpVersion};

/// Why a text is not an endpoint: for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(pub String);

/// What connections are shared by: they lead to the same process in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// How connections there are opened.
    pub(super) way: Arc<Connecting>,
}

// Every request finds its pool by this, and few origins differ in nothing but the way.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.is_tls, &self.host, self.port).hash(state);
    }
}

impl Origin {
    /// Returns whether requests are handed to a proxy whole, which reads in their first line where they go.
    pub(super) fn is_absolute(&self) -> bool {
        self.way.proxy.is_some() && !self.is_tls && self.way.http == HttpVersion::Http1
    }
}

/// A base URL, and the headers that every request there carries.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) origin: Origin,
    pub(super) host: HeaderValue,
    authority: Authority,
    pub(super) headers: HeaderMap,
    prefix: String,
    query: Option<String>,
}

impl Endpoint {
    /// Reads a base URL such as `https://api.example.com/v1`.
    ///
    /// # Errors
    /// Where it is no absolute URL with `http` or `https`, or holds a user or password.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let refused = |what: &str| Err(EndpointError(format!("{what}; write it like `https://api.example.com/v1`")));
        if !url.contains("://") {
            return refused("`https://` or `http://` is missing before it");
        }
        let Ok(uri) = url.trim().parse::<Uri>() else { return refused("not a URL") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refused("not an absolute URL");
        };
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return refused("the scheme must be `https` or `http`"),
        };
        if authority.as_str().contains('@') {
            return Err(EndpointError("no user or password may stand in the URL; give a `key`".to_owned()));
        }
        let (name, port) = match host_and_port(authority.as_str(), if is_tls { 443 } else { 80 }) {
            Ok(found) => found,
            Err(what) => return refused(what),
        };
        let Ok(host) = HeaderValue::from_str(authority.as_str()) else { return refused("not a URL") };
        Ok(Self {
            origin: Origin { is_tls, host: name, port, way: Arc::default() },
            host,
            authority: authority.clone(),
            headers: HeaderMap::new(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// Returns whether both lead to the same URL. The way there and the headers may differ.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        let (here, there) = (&self.origin, &other.origin);
        (here.is_tls, &here.host, here.port) == (there.is_tls, &there.host, there.port)
            && (&self.prefix, &self.query) == (&other.prefix, &other.query)
    }

    /// Adds a header to every request.
    ///
    /// # Errors
    /// Where it cannot be sent, or is the transport's own.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, EndpointError> {
        let name = HeaderName::try_from(name).map_err(|_| EndpointError(format!("`{name}` cannot name a header")))?;
        if [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(EndpointError(format!("`{name}` is set by the transport")));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|_| EndpointError(format!("the value of `{name}` holds characters that a header cannot carry")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets how connections there are opened. Endpoints that differ in it share none.
    ///
    /// # Errors
    /// Where the proxy's user or password cannot be sent.
    pub fn with_connecting(mut self, connecting: impl Into<Arc<Connecting>>) -> Result<Self, EndpointError> {
        let connecting = connecting.into();
        let authorization = connecting.proxy.as_ref().and_then(|proxy| proxy.authorization.as_ref());
        let authorization = authorization.map(|secret| HeaderValue::try_from(secret.expose())).transpose();
        let authorization = authorization
            .map_err(|_| EndpointError("the proxy's user or password cannot be sent in a header".to_owned()))?;
        self.origin.way = connecting;
        self.headers.remove(PROXY_AUTHORIZATION);
        // Otherwise it is for the proxy alone, and told to it when the tunnel is asked for.
        if let Some(mut authorization) = authorization.filter(|_| self.origin.is_absolute()) {
            authorization.set_sensitive(true);
            self.headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        Ok(self)
    }

    /// Returns the whole path of `rest`, which begins with a slash, below the base URL.
    ///
    /// # Errors
    /// Where the path would not be one.
    pub fn path(&self, rest: &str) -> Result<PathAndQuery, EndpointError> {
        let mark = if rest.contains('?') { '&' } else { '?' };
        let query = self.query.as_ref().map_or(String::new(), |query| format!("{mark}{query}"));
        let path = format!("{}{rest}{query}", self.prefix);
        PathAndQuery::try_from(path).map_err(|_| EndpointError(format!("`{rest}` cannot stand in a URL")))
    }

    /// Returns host and port, for people.
    #[must_use]
    pub fn address(&self) -> String {
        joined(&self.origin.host, self.origin.port)
    }

    /// Returns what stands between the method and the version in the first line of a request: a path, but for proxies
    /// that are handed the request whole.
    pub(super) fn target(&self, path: &PathAndQuery) -> String {
        if self.origin.is_absolute() { format!("http://{}{path}", self.authority) } else { path.as_str().to_owned() }
    }

    /// Returns the whole URL of a path.
    pub(super) fn url(&self, path: &PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.origin.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.clone());
        // All three are there, which is all that could be wrong.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Reads what stands between `//` and the path of a URL, without a user; the host comes without brackets.
pub(super) fn host_and_port(text: &str, otherwise: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    match port.map_or(Ok(otherwise), str::parse) {
        Ok(port) if port > 0 => Ok((host.to_owned(), port)),
        _ => Err("the port must be a number from 1 to 65535"),
    }
}

/// Joins host and port as they stand in a URL.
pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::proxy::Proxy;

    #[test]
    fn a_base_url_reads_as_people_write_it() {
        let check = |url: &str, address: &str, path: &str| {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(
                (endpoint.address().as_str(), endpoint.path("/chat").unwrap().as_str()),
                (address, path),
                "{url}"
            );
        };
        check("https://api.example.com/v1", "api.example.com:443", "/v1/chat");
        check("http://127.0.0.1:8000/", "127.0.0.1:8000", "/chat");
        check("http://[::1]:8000/v1/", "[::1]:8000", "/v1/chat");
        check("http://[::1]/v1/", "[::1]:80", "/v1/chat");
        check(" https://host/a/b?api-version=2024-10-21 ", "host:443", "/a/b/chat?api-version=2024-10-21");
        let endpoint = Endpoint::parse("https://host/a?api-version=1").unwrap();
        assert_eq!(endpoint.path("/files?limit=2").unwrap().as_str(), "/a/files?limit=2&api-version=1");
        for url in
            ["", "api.example.com/v1", "/v1", "ftp://host", "https://", "http://h:0", "http://h:99999", "http://h:"]
        {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
        assert!(!Endpoint::parse("https://me:pass@host/v1").unwrap_err().0.contains("pass@"));
    }

    #[test]
    fn a_proxy_is_told_the_whole_url_and_its_password_where_no_tunnel_hides_them() {
        let proxy = Some(Proxy::parse("http://me:planted@proxy:3128").unwrap());
        for (url, http, target, is_told) in [
            ("http://h:8000/v1", HttpVersion::Http1, "http://h:8000/v1/chat", true),
            ("http://h:8000/v1", HttpVersion::Http2, "/v1/chat", false),
            ("https://h/v1", HttpVersion::Http1, "/v1/chat", false),
        ] {
            let connecting = Connecting { proxy: proxy.clone(), http, ..Connecting::default() };
            let endpoint = Endpoint::parse(url).unwrap().with_connecting(connecting).unwrap();
            let path = endpoint.path("/chat").unwrap();
            assert_eq!(
                (endpoint.target(&path).as_str(), endpoint.headers.contains_key(PROXY_AUTHORIZATION)),
                (target, is_told),
                "{url}"
            );
            assert_eq!(endpoint.url(&path).to_string(), format!("{url}/chat"));
            assert!(!format!("{endpoint:?}").contains("planted"));
        }
    }

    #[test]
    fn endpoints_share_connections_where_these_are_opened_in_the_same_way() {
        let plain = Endpoint::parse("https://h/v1").unwrap();
        let with = |connecting| plain.clone().with_connecting(connecting).unwrap().origin;
        assert_eq!(Endpoint::parse("https://h/v2").unwrap().origin, with(Connecting::default()));
        for other in [
            Connecting { proxy: Some(Proxy::parse("http://p").unwrap()), ..Connecting::default() },
            Connecting { is_verified: false, ..Connecting::default() },
            Connecting { addresses: vec!["10.0.0.1".parse().unwrap()], ..Connecting::default() },
            Connecting { http: HttpVersion::Http2, ..Connecting::default() },
        ] {
            assert_eq!(with(other.clone()), with(other.clone()));
            assert_ne!(plain.origin, with(other));
        }
    }

    #[test]
    fn headers_that_would_break_the_message_are_refused() {
        let endpoint = Endpoint::parse("http://h").unwrap();
        assert!(endpoint.clone().with_header("x-title", "Tidemill").is_ok());
        for (name, value) in [("Host", "x"), ("content-length", "1"), ("a b", "x"), ("x", "a\r\nb: c")] {
            assert!(endpoint.clone().with_header(name, value).is_err(), "{name}");
        }
    }
}
