//! Where requests go.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::PathAndQuery,
};

/// Why a text is not an endpoint: for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(pub String);

/// What connections are shared by: they lead to the same process in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A base URL, and the headers that every request there carries.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) origin: Origin,
    pub(super) host: HeaderValue,
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
        if authority.host().is_empty() {
            return refused("the host is missing");
        }
        // `Authority::port` says nothing about a port that is out of range.
        let port = match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return refused("the port must be a number from 1 to 65535"),
            },
            None if is_tls => 443,
            None => 80,
        };
        let Ok(host) = HeaderValue::from_str(authority.as_str()) else { return refused("not a URL") };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            origin: Origin { is_tls, host: name.to_owned(), port },
            host,
            headers: HeaderMap::new(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
        })
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

    /// Returns the whole path of `rest`, which begins with a slash, below the base URL.
    ///
    /// # Errors
    /// Where the path would not be one.
    pub fn path(&self, rest: &str) -> Result<PathAndQuery, EndpointError> {
        let query = self.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        let path = format!("{}{rest}{query}", self.prefix);
        PathAndQuery::try_from(path).map_err(|_| EndpointError(format!("`{rest}` cannot stand in a URL")))
    }

    /// Returns host and port, for people.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.origin.host, self.origin.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check("http://[::1]:8000/v1/", "::1:8000", "/v1/chat");
        check(" https://host/a/b?api-version=2024-10-21 ", "host:443", "/a/b/chat?api-version=2024-10-21");
        for url in
            ["", "api.example.com/v1", "/v1", "ftp://host", "https://", "http://h:0", "http://h:99999", "http://h:"]
        {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
        assert!(!Endpoint::parse("https://me:pass@host/v1").unwrap_err().0.contains("pass@"));
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
