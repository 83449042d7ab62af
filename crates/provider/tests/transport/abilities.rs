//! What goes out for what an upstream takes, and what comes of its refusals, over a real socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{FailureKind, ports::Ask};
use provider::{
    Abilities, Failed, Json, Lack, OpenAi, Question, Replied,
    transport::{Endpoint, Transport},
};

use crate::{
    server::{Next, Server, answer},
    stream::Epoch,
};

const FORM: &str = r#"{"model":"auto","messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}}"#;

async fn ask(server: &Server, ask: Ask, body: &'static str, abilities: Abilities) -> Result<Replied, Failed> {
    let endpoint = Endpoint::parse(&server.url("http")).expect("the test's own input");
    let model = OpenAi::new(endpoint, "m", None).expect("the test's own input");
    let body = Bytes::from_static(body.as_bytes());
    let deadline = Instant::now() + Duration::from_secs(10);
    model.ask(&Transport::default(), Question { ask, body: &body, abilities, deadline }, &Epoch).await
}

fn refusal(said: &str) -> Next {
    let body = format!(r#"{{"error":{{"message":"{said}","type":"invalid_request_error"}}}}"#);
    Next::Write(format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn a_refused_form_is_lacking_only_where_it_was_demanded() {
    let server = Server::start(|_, _| refusal("This response_format type is unavailable now")).await;
    let all = Abilities::default();
    let (object, none) = (Abilities { json: Json::Object, ..all }, Abilities { json: Json::None, ..all });
    let plain = r#"{"model":"auto","messages":[]}"#;
    let own = r#"{"model":"auto","messages":[],"response_format":{"type":"json_object"}}"#;
    for (kind, body, abilities, lacks) in [
        (Ask::Chat, FORM, all, Some(Lack::Form)),
        (Ask::Chat, FORM, object, Some(Lack::Form)),
        (Ask::Chat, FORM, none, None),
        (Ask::ChatStream, FORM, all, Some(Lack::Form)),
        (Ask::ChatStream, FORM, none, None),
        (Ask::Embeddings, FORM, all, None),
        (Ask::Chat, plain, all, None),
        (Ask::Chat, own, all, None),
        (Ask::Chat, own, object, None),
    ] {
        let failed = ask(&server, kind, body, abilities).await.unwrap_err();
        assert_eq!(
            (failed.failure.kind, failed.lacks),
            (FailureKind::Rejected, lacks),
            "{kind:?} {body} {abilities:?}"
        );
    }
}

#[tokio::test]
async fn refused_options_are_lacking_only_where_we_added_them() {
    let server = Server::start(|_, _| refusal("Unknown parameter: 'stream_options'.")).await;
    let all = Abilities::default();
    let without = Abilities { stream_options: false, ..all };
    let own = r#"{"model":"auto","messages":[],"stream_options":{"include_usage":true}}"#;
    for (kind, body, abilities, lacks) in [
        (Ask::ChatStream, FORM, all, Some(Lack::StreamOptions)),
        (Ask::ChatStream, FORM, without, None),
        (Ask::ChatStream, own, all, None),
        (Ask::Chat, FORM, all, None),
    ] {
        assert_eq!(ask(&server, kind, body, abilities).await.unwrap_err().lacks, lacks, "{kind:?} {body}");
    }
}

#[tokio::test]
async fn embeddings_go_to_their_own_path_and_as_they_are() {
    let server = Server::start(|_, request| {
        assert!(request.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"model\":\"m\",\"input\":[\"a\",\"b\"]}"), "{request}");
        Next::Write(answer(r#"{"data":[]}"#))
    })
    .await;
    let abilities = Abilities { json: Json::None, stream_options: false };
    let replied = ask(&server, Ask::Embeddings, r#"{"model":"auto","input":["a","b"]}"#, abilities).await.unwrap();
    assert_eq!(replied.body, r#"{"data":[]}"#);
}
