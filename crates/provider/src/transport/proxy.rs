//! A proxy on the way to an endpoint.

use std::str;

use data_encoding::BASE64;
use domain::Secret;
use http::Uri;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{endpoint, endpoint::EndpointError, error};

/// The longest head of an answer to `CONNECT`.
const HEAD_LIMIT: usize = 16 << 10;

/// A proxy that connections go through: `http://` or `https://`, with a user and a password if it wants them.
///
/// For `https` endpoints, and for HTTP/2, it is asked for a tunnel with `CONNECT`; other requests are handed to it whole,
/// with the absolute URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub(super) is_tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `proxy-authorization`.
    pub(super) authorization: Option<Secret>,
}

impl Proxy {
    /// Reads a URL such as `http://user:password@proxy.example.com:3128`. What is special in user and password is written
    /// with `%`.
    ///
    /// # Errors
    /// Where it is no such URL; the message holds nothing of it, because of the password.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let refused = |what: &str| {
            Err(EndpointError(format!("{what}; write the proxy like `http://user:password@proxy.example.com:3128`")))
        };
        let Some((scheme, _)) = url.trim().split_once("://") else { return refused("`http://` is missing before it") };
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return refused("SOCKS proxies are not supported, only those that speak HTTP");
            }
            _ => return refused("the scheme of a proxy must be `http` or `https`"),
        };
        let Ok(uri) = url.trim().parse::<Uri>() else { return refused("not a URL") };
        let Some(authority) = uri.authority() else { return refused("the host is missing") };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return refused("nothing may stand behind host and port");
        }
        let (user, place) = match authority.as_str().rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority.as_str()),
        };
        let (host, port) = match endpoint::host_and_port(place, if is_tls { 443 } else { 80 }) {
            Ok(found) => found,
            Err(what) => return refused(what),
        };
        let authorization = match user.map(authorization) {
            Some(None) => return refused("user and password cannot be read: `%` stands before two hexadecimal digits"),
            Some(found) => found,
            None => None,
        };
        Ok(Self { is_tls, host, port, authorization })
    }

    /// Returns host and port, for people.
    #[must_use]
    pub fn address(&self) -> String {
        endpoint::joined(&self.host, self.port)
    }

    /// Asks for a tunnel to `to`, host and port. What is read and written behind it belongs to that place.
    pub(super) async fn tunnel<S>(&self, stream: &mut S, to: &str) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut ask = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n");
        if let Some(authorization) = &self.authorization {
            ask.push_str("proxy-authorization: ");
            ask.push_str(authorization.expose());
            ask.push_str("\r\n");
        }
        ask.push_str("\r\n");
        let head = async {
            stream.write_all(ask.as_bytes()).await?;
            stream.flush().await?;
            let mut head = Vec::with_capacity(256);
            // Byte by byte: what follows the empty line may be the first word of the place behind the tunnel.
            while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
                head.push(stream.read_u8().await?);
            }
            Ok(head)
        };
        let head = head.await.map_err(|e| error::of_connecting(&e))?;
        match status(&head) {
            Some(200..=299) => Ok(()),
            Some(407) if self.authorization.is_some() => {
                Err("it takes neither user nor password (status 407)".to_owned())
            }
            Some(407) => Err("it wants a user and a password (status 407); give them in its URL".to_owned()),
            Some(status) => Err(format!("it makes no tunnel to {to} (status {status})")),
            None => Err("what answers there is no HTTP proxy".to_owned()),
        }
    }
}

/// Returns the status of an answer's head.
fn status(head: &[u8]) -> Option<u16> {
    let line = str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}

/// Returns the header's value for `user:password` as it stands in a URL.
fn authorization(user: &str) -> Option<Secret> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain = decoded(user)?;
    plain.push(b':');
    plain.append(&mut decoded(password)?);
    Some(Secret::new(format!("Basic {}", BASE64.encode(&plain))))
}

/// Returns a text of a URL with its `%41` as bytes.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_reads_as_people_write_it() {
        for (url, is_tls, address, plain) in [
            ("http://proxy:3128", false, "proxy:3128", None),
            ("HTTP://proxy/", false, "proxy:80", None),
            ("https://proxy", true, "proxy:443", None),
            ("http://me:pass@[::1]:3128", false, "[::1]:3128", Some("me:pass")),
            ("http://me@proxy", false, "proxy:80", Some("me:")),
            ("http://m%40e:p%3A%2fw@proxy", false, "proxy:80", Some("m@e:p:/w")),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!((proxy.is_tls, proxy.address().as_str()), (is_tls, address), "{url}");
            let basic = plain.map(|plain| format!("Basic {}", BASE64.encode(plain.as_bytes())));
            assert_eq!(proxy.authorization.as_ref().map(Secret::expose), basic.as_deref(), "{url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_one_is_refused_without_its_password() {
        for (url, word) in [
            ("proxy:3128", "missing"),
            ("socks5://me:planted@proxy", "SOCKS"),
            ("ftp://me:planted@proxy", "scheme"),
            ("http://me:planted@proxy/path", "behind"),
            ("http://me:planted@proxy:0", "port"),
            ("http://me:planted@:3128", "host"),
            ("http://me:planted%4@proxy", "%"),
            ("http://", ""),
        ] {
            let error = Proxy::parse(url).unwrap_err().0;
            assert!(error.contains(word) && !error.contains("planted"), "{url}: {error}");
        }
        assert!(!format!("{:?}", Proxy::parse("http://me:planted@proxy").unwrap()).contains("planted"));
    }

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\nx: y\r\n\r\n"), Some(407));
        for head in [b"SSH-2.0-OpenSSH_9.7\r\n\r\n".as_slice(), b"", b"HTTP/1.1\r\n", b"HTTP/2 200\r\n"] {
            assert_eq!(status(head), None);
        }
    }
}
