//! The gateway over the wire, against a server that is written byte by byte.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    Clock, Cost, FailureKind, Timestamp,
    ports::{Class, ModelClient, ModelRequest, Reservation, Reserve},
};
use gateway::{Gateway, ModelsFile, resolve};
use provider::transport::{Limits, Transport};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const BODY: &str = r#"{"model":"auto","messages":[]}"#;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

#[tokio::test]
async fn a_request_goes_out_with_the_vendors_name_and_the_key_and_the_key_does_not_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        for (status, body) in
            [("200 OK", r#"{"choices":[]}"#), ("401 Unauthorized", r#"{"error":"sk-planted-4711 is bad"}"#)]
        {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                tcp.read_buf(&mut request).await.unwrap();
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nauthorization: Bearer sk-planted-4711\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\n{\"model\":\"vendor/small\",\"messages\":[]}"), "{request}");
            let head = format!("HTTP/1.1 {status}\r\nx-request-id: req-7\r\ncontent-length: {}\r\n\r\n", body.len());
            tcp.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });

    let file = json!({
        "channels": { "here": { "url": url } },
        "models": [{ "name": "small", "channel": "here", "model": "vendor/small", "key": { "env": "KEY" } }],
    });
    let file: ModelsFile = serde_json::from_value(file).unwrap();
    let lookup = |_: &str| Some("sk-planted-4711".to_owned());
    let resolved = resolve(&file, &lookup, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let gateway = Gateway::new(&resolved, Arc::new(Transport::new(Limits::default())), Arc::new(Epoch));

    let ask = async || {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ask = Reservation { route: "auto", tokens: 1, class: Class::Normal, deadline };
        let Reserve::Permit(permit) = gateway.reserve(&ask) else { panic!("no permit") };
        gateway
            .complete(
                ModelRequest { ask: domain::ports::Ask::Chat, route: "auto".into(), body: BODY.into(), deadline },
                permit,
            )
            .await
    };
    let answer = ask().await.unwrap();
    assert_eq!((answer.body.as_ref(), answer.request_id.as_deref()), (br#"{"choices":[]}"#.as_ref(), Some("req-7")));
    let (failure, body) = ask().await.unwrap_err();
    assert_eq!((failure.kind, failure.cost), (FailureKind::Unauthorized, Cost::Lane));
    assert_eq!(failure.message, "`small`: status 401: [key] is bad");
    assert_eq!(body, r#"{"error":"[key] is bad"}"#);
}
