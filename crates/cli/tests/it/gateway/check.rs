//! `tidemill gateway check` before endpoints that fail in their own ways: what it says, and where it points.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::crowd::free_port;
use crate::story::{Story, json_lines, loopback};

/// A server that answers whoever comes in this way, for as long as the test runs.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into()
}

/// A server without TLS that says this to everything.
fn plain(status: &'static str, body: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let mut head = [0; 4_096];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(&http(status, body));
    })
}

/// Writes a certificate as it stands in files (RFC 7468).
fn pem(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in bytes.chunks(48) {
        for three in line.chunks(3) {
            let bits = (0..3).fold(0, |bits, n| bits << 8 | usize::from(three.get(n).copied().unwrap_or(0)));
            let digit = |n: usize| if n > three.len() { '=' } else { DIGITS[bits >> (18 - 6 * n) & 63].into() };
            text.extend((0..4).map(digit));
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// A vendor with a certificate of its own for `name`, which is good until that year.
fn sealed(story: &Story, name: &str, until: i32) -> SocketAddr {
    let key = KeyPair::generate().expect("there is randomness");
    let mut params = CertificateParams::new([name.to_owned()]).expect("the test's own input");
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = params.self_signed(&key).expect("the test's own input");
    story.write(&format!("{name}-{until}.pem"), pem(certificate.der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the test's own input")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("the test's own input");
    let config = Arc::new(config);
    server(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("the test's own input");
        let mut stream = StreamOwned::new(session, stream);
        let mut head = [0; 4_096];
        if stream.read(&mut head).is_ok() {
            let _ = stream.write_all(&http("200 OK", r#"{"object":"list","data":[{"id":"m"}]}"#));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

#[test]
fn each_failure_is_told_with_its_place_and_what_helps() {
    let mut story = Story::of("");
    story.set("RIGHT", "right-planted-key");
    let own = sealed(&story, "localhost", 2_999);
    let wrong_name = sealed(&story, "elsewhere.example", 2_999);
    let expired = sealed(&story, "localhost", 2_002);
    let no_tls = plain("400 Bad Request", "{}");
    let wants_key = plain("401 Unauthorized", r#"{"error":{"message":"no such key"}}"#);
    let proxy = plain("403 Forbidden", "");
    let wants_password = plain("407 Proxy Authentication Required", "");
    let dead = free_port();
    let own_port = own.port();

    // Each channel in a line of its own, from the second on; then each model.
    let channels = [
        ("self_signed", format!("url: \"https://localhost:{own_port}/v1\"")),
        ("wrong_name", format!("url: \"https://localhost:{}/v1\", ca: elsewhere.example-2999.pem", wrong_name.port())),
        ("expired", format!("url: \"https://localhost:{}/v1\", ca: localhost-2002.pem", expired.port())),
        ("no_tls", format!("url: \"https://localhost:{}/v1\"", no_tls.port())),
        ("dead_proxy", format!("url: \"https://api.example.com/v1\", proxy: \"http://127.0.0.1:{dead}\"")),
        ("proxy_refuses", format!("url: \"https://api.example.com/v1\", proxy: \"http://{proxy}\"")),
        ("proxy_wants_password", format!("url: \"https://api.example.com/v1\", proxy: \"http://{wants_password}\"")),
        ("open_proxy_refuses", format!("url: \"http://api.example.com/v1\", proxy: \"http://{proxy}\"")),
        (
            "open_proxy_wants_password",
            format!("url: \"http://api.example.com/v1\", proxy: \"http://{wants_password}\""),
        ),
        ("wrong_key", format!("url: \"http://{wants_key}/v1\"")),
        ("no_name", "url: \"http://nobody.invalid/v1\"".to_owned()),
        ("nobody", format!("url: \"http://127.0.0.1:{dead}/v1\"")),
        ("well", format!("url: \"https://localhost:{own_port}/v1\", ca: localhost-2999.pem")),
    ];
    let mut text = "channels:\n".to_owned();
    channels.iter().for_each(|(name, keys)| text += &format!("  {name}: {{ {keys} }}\n"));
    text += "models:\n";
    for (name, _) in &channels {
        let key = if *name == "wrong_key" { ", key: { env: RIGHT }" } else { "" };
        text += &format!("  - {{ name: {name}, channel: {name}, model: m{key} }}\n");
    }
    text += "  - { name: not_listed, channel: well, model: other }\n";
    story.write("models.yaml", &text);

    // What is wrong, what helps, and the key in the file that is pointed to.
    let expected = [
        ("self_signed", "certificate", "name its authority with `ca`", "url"),
        ("wrong_name", "not valid for name", "write the host in `url` as the certificate has it", "url"),
        ("expired", "expired", "its owner has to renew it", "url"),
        ("no_tls", "TLS", "what listens there speaks no TLS", "url"),
        ("dead_proxy", "through the proxy 127.0.0.1", "look at `proxy`", "proxy"),
        ("proxy_refuses", "it makes no tunnel to api.example.com:443 (status 403)", "look at `proxy`", "proxy"),
        ("proxy_wants_password", "it wants a user and a password", "look at `proxy`", "proxy"),
        ("open_proxy_refuses", "403", "or the proxy before it", "proxy"),
        ("open_proxy_wants_password", "407", "a user and a password", "proxy"),
        ("wrong_key", "no such key", "look at `key`", "key"),
        ("no_name", "cannot be resolved", "DNS", "url"),
        ("nobody", "nothing listens there", "see that it runs", "url"),
        ("not_listed", "does not list `other`", "compare `model`", "model"),
    ];
    let ran = story.tidemill(["gateway", "check", "--json"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let told = json_lines(&ran.stdout);
    assert_eq!(told.len(), channels.len() + 1);
    for one in &told {
        let name = one["model"].as_str().unwrap();
        let Some((_, what, helps, key)) = expected.iter().find(|(model, ..)| *model == name) else {
            assert_eq!((name, &one["ok"]), ("well", &serde_json::json!(true)), "{one}");
            continue;
        };
        let problem = one["problem"].as_str().unwrap_or_default();
        assert!(problem.contains(what) && one["help"].as_str().is_some_and(|help| help.contains(helps)), "{one}");
        let line = text.lines().position(|line| {
            let is_model = line.starts_with("  - ");
            let is_here = line.contains(&format!(" {name}:")) || line.contains(&format!("name: {name},"));
            is_here && is_model == matches!(*key, "key" | "model")
        });
        let line = line.unwrap();
        let column = text.lines().nth(line).unwrap().rfind(&format!("{key}: ")).unwrap() + key.len() + 3;
        assert_eq!(one["place"], format!("models.yaml:{}:{column}", line + 1), "{one}");
    }
    let shown = story.tidemill(["gateway", "check"]);
    assert!(shown.status == 1 && shown.stdout.contains("\n  --> models.yaml:2:"), "{shown:?}");
    shown.does_not_say("right-planted-key");
    ran.does_not_say("right-planted-key");
}

/// Theirs names channels and models by numbers, and keys otherwise: the place is in their words.
#[test]
fn the_place_in_a_file_of_ai_dataflux_is_found_as_well() {
    let story = Story::of("");
    let dead = free_port();
    story.write(
        "config.yaml",
        format!("models:\n  - {{ id: 7, model: m, channel_id: \"1\", api_key: k }}\nchannels:\n  \"1\": {{ name: c, base_url: \"http://127.0.0.1:{dead}\" }}\n"),
    );
    let ran = story.tidemill(["gateway", "check", "--config", "config.yaml"]);
    assert!(ran.status == 1 && ran.stdout.contains("  --> config.yaml:4:"), "{ran:?}");
}
