use serde_json::{Value, json};

use super::*;

const ALL: Abilities = Abilities { json: Json::Schema, stream_options: true };
const OBJECT: Abilities = Abilities { json: Json::Object, stream_options: true };
const NONE: Abilities = Abilities { json: Json::None, stream_options: false };

fn encoded(body: &str, ask: Ask, abilities: Abilities) -> Result<Encoded, String> {
    encode(&Bytes::copy_from_slice(body.as_bytes()), r#""m/1""#, ask, abilities, &[]).map_err(|e| e.0)
}

fn sent(body: &str, ask: Ask, abilities: Abilities) -> String {
    String::from_utf8(encoded(body, ask, abilities).unwrap().body.joined().to_vec()).unwrap()
}

fn check(body: &str, expected: &str) {
    assert_eq!(sent(body, Ask::Chat, ALL), expected, "{body}");
    // Less of a form, where none is demanded, is no change; neither is one for embeddings.
    assert_eq!(sent(body, Ask::Chat, NONE), expected, "{body}");
    assert_eq!(sent(body, Ask::Embeddings, OBJECT), expected, "{body}");
}

#[test]
fn the_name_is_replaced_and_nothing_else() {
    check(r#"{"model":"auto","n":1.10}"#, r#"{"model":"m/1","n":1.10}"#);
    check(r#"{"model":"a\"u\\","n":1}"#, r#"{"model":"m/1","n":1}"#);
    check(r#"{"model":""}"#, r#"{"model":"m/1"}"#);
    check(r#" { "model" : "auto" , "n":1 } "#, r#" { "model" : "m/1" , "n":1 } "#);
    check(r#"{"n":1e400,"model":"auto"}"#, r#"{"n":1e400,"model":"m/1"}"#);
    check(r#"{"model":null}"#, r#"{"model":"m/1"}"#);
}

#[test]
fn a_model_that_is_not_the_requests_own_stays() {
    check(
        r#"{"messages":[{"model":"x","content":"\"model\":\"y\""}],"model":"auto"}"#,
        r#"{"messages":[{"model":"x","content":"\"model\":\"y\""}],"model":"m/1"}"#,
    );
    check(r#"{"x":{"model":"y"}}"#, r#"{"model":"m/1","x":{"model":"y"}}"#);
    check(r#" {} "#, r#" {"model":"m/1"} "#);
}

#[test]
fn a_name_in_disguise_is_found_and_a_second_one_too() {
    check(r#"{"mod\u0065l":"a","model":"b"}"#, r#"{"mod\u0065l":"m/1","model":"m/1"}"#);
}

#[test]
fn what_is_not_an_object_is_told() {
    for body in ["", "[]", r#"{"n":1"#, r#"{"model":"x"#, r#"{"model":"x\"#, "\u{feff}{}"] {
        assert!(encoded(body, Ask::Chat, ALL).is_err(), "{body}");
    }
    // Our own beginning is believed; a stream is read to its end.
    for body in ["", "[]", r#"{"model":"x","n":1"#, r#"{"model":"x"}}"#] {
        assert!(encoded(body, Ask::ChatStream, ALL).is_err(), "{body}");
    }
    assert!(encode(&Bytes::from_static(b"{\"n\":\"\xff\"}"), "\"m\"", Ask::Chat, ALL, &[]).is_err());
}

#[test]
fn a_stream_is_asked_for_with_its_usage_unless_the_request_says_so_itself() {
    let check = |body: &str, abilities: Abilities, expected: &str, adds_options: bool, n_choices: usize| {
        let encoded = encoded(body, Ask::ChatStream, abilities).unwrap();
        assert_eq!(encoded.body.joined(), expected, "{body}");
        assert_eq!((encoded.adds_stream_options, encoded.n_choices), (adds_options, n_choices), "{body}");
    };
    check(
        r#"{"model":"a","n":3}"#,
        ALL,
        r#"{"model":"m/1","n":3,"stream":true,"stream_options":{"include_usage":true}}"#,
        true,
        3,
    );
    check(r#"{"model":"a"} "#, NONE, r#"{"model":"m/1","stream":true} "#, false, 1);
    check(r#"{}"#, NONE, r#"{"model":"m/1","stream":true}"#, false, 1);
    let own = r#"{"model":"m/1","stream":true,"stream_options":{"include_usage":false}}"#;
    check(own, ALL, own, false, 1);
    let own = r#"{"model":"m/1","stream_options":{}"#;
    check(&format!("{own}}}"), ALL, &format!("{own},\"stream\":true}}"), false, 1);
    let own = r#"{"model":"m/1","stream" : true"#;
    check(&format!("{own}}}"), ALL, &format!("{own},\"stream_options\":{{\"include_usage\":true}}}}"), true, 1);
    // Options without a stream are refused by vendors.
    let own = r#"{"model":"m/1","stream":false}"#;
    check(own, ALL, own, false, 1);
}

const FORMAT: &str = r#"{ "type":"json_schema", "json_schema":{"name":"x","strict":true,"schema":{"a":[1.10]}} }"#;

/// Takes a request apart, as far as the form of the answer goes.
fn form_of(body: &str) -> (Option<Value>, Value) {
    let mut request: Value = serde_json::from_str(body).unwrap();
    let format = request.as_object_mut().unwrap().remove("response_format");
    (format, request["messages"].take())
}

#[test]
fn a_schema_that_is_not_taken_is_told_in_words() {
    for (messages, system) in [
        (r#"[{"role":"user","content":"hi"}]"#, ""),
        (r#"[]"#, ""),
        (r#"[{"role":"user","content":"hi"},{"role":"system","content":"a \"b\" \\"}]"#, "a \"b\" \\"),
        (r#"[ {"content":"Be.","role":"developer"} ]"#, "Be."),
        (r#"[{"role":"system","content":""}]"#, ""),
        (r#"[{"role":"system","content":null}]"#, ""),
    ] {
        for place in ["front", "middle", "end"] {
            let body = match place {
                "front" => format!(r#"{{"response_format": {FORMAT} , "model":"a","messages":{messages},"t":1.10}}"#),
                "middle" => format!(r#"{{"model":"a", "response_format": {FORMAT},"messages":{messages},"t":1.10}}"#),
                _ => format!(r#"{{"model":"a","messages":{messages},"t":1.10,"response_format":{FORMAT}}}"#),
            };
            for abilities in [OBJECT, NONE] {
                for ask in [Ask::Chat, Ask::ChatStream] {
                    let out = sent(&body, ask, abilities);
                    let (format, told) = form_of(&out);
                    let expected = (abilities == OBJECT).then(|| json!({ "type": "json_object" }));
                    assert_eq!(format, expected, "{out}");
                    assert!(out.contains(r#""t":1.10"#), "{out}");
                    let all = told.as_array().unwrap();
                    let system = system.to_owned() + if system.is_empty() { "" } else { "\n\n" };
                    let words = all.iter().filter_map(|message| message["content"].as_str());
                    let found =
                        words.filter_map(|words| words.strip_prefix(system.as_str())).find(|it| it.contains("JSON"));
                    assert!(found.is_some_and(|it| it.ends_with("\n{\"a\":[1.10]}")), "{out}");
                }
            }
        }
    }
}

#[test]
fn parts_of_a_system_message_get_one_more_part() {
    for (content, n_parts) in [(r#"[{"type":"text","text":"Be."}]"#, 2), ("[ ]", 1)] {
        let messages = format!(r#"[{{"role":"system","content":{content}}}]"#);
        let body = format!(r#"{{"model":"a","messages":{messages},"response_format":{FORMAT}}}"#);
        let (_, told) = form_of(&sent(&body, Ask::Chat, NONE));
        let parts = told[0]["content"].as_array().unwrap();
        assert_eq!(parts.len(), n_parts);
        assert!(parts[n_parts - 1]["text"].as_str().unwrap().contains("JSON Schema"));
    }
}

#[test]
fn what_is_the_users_own_stays_to_the_byte() {
    let own = |format: &str| {
        format!(r#"{{"model":"m/1","messages":[{{"role":"user","content":"hi"}}],"response_format":{format}}}"#)
    };
    for format in [r#"{"type":"json_object"}"#, r#"{"type":"text"}"#, r#"{"type":"regex","regex":"a"}"#, "null", "7"] {
        assert_eq!(sent(&own(format), Ask::Chat, NONE), own(format));
        assert!(!demands_schema(own(format).as_bytes()));
    }
    assert!(demands_schema(own(FORMAT).as_bytes()));
    // Where there is nobody to tell it to, the demand is lowered all the same.
    let odd = format!(r#"{{"model":"a","messages":"hi","response_format":{FORMAT}}}"#);
    assert_eq!(sent(&odd, Ask::Chat, NONE), r#"{"model":"m/1","messages":"hi"}"#);
    let twice = format!(r#"{{"response_format":{FORMAT},"response_format":{FORMAT}}}"#);
    let text = r#""response_format":{"type":"text"}"#;
    assert_eq!(sent(&twice, Ask::Chat, NONE), format!(r#"{{"model":"m/1",{text},{text}}}"#));
    let alone = format!(r#"{{"response_format":{FORMAT}}}"#);
    assert_eq!(sent(&alone, Ask::ChatStream, NONE), r#"{"model":"m/1","stream":true}"#);
}

#[test]
fn a_schema_that_is_missing_is_asked_for_as_some_object() {
    let body = r#"{"model":"a","messages":[],"response_format":{"type":"json_schema"}}"#;
    let (format, told) = form_of(&sent(body, Ask::Chat, OBJECT));
    assert_eq!(format, Some(json!({ "type": "json_object" })));
    assert!(told[0]["content"].as_str().unwrap().contains("one JSON object"));
}

#[test]
fn what_a_request_lacks_is_put_in_and_what_it_says_itself_stays() {
    let defaults = [("temperature".to_owned(), "0.7".to_owned()), ("top_p".to_owned(), "1".to_owned())];
    let check = |body: &str, ask: Ask, expected: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let encoded = encode(&body, r#""m""#, ask, ALL, &defaults).unwrap();
        assert_eq!(encoded.body.joined(), expected.as_bytes());
    };
    check(r#"{"model":"a"}"#, Ask::Chat, r#"{"model":"m","temperature":0.7,"top_p":1}"#);
    check(r#"{"model":"a","temperature":null}"#, Ask::Chat, r#"{"model":"m","temperature":null,"top_p":1}"#);
    check(
        r#"{"model":"a","top_p":0.5, "temperature": 2}"#,
        Ask::Chat,
        r#"{"model":"m","top_p":0.5, "temperature": 2}"#,
    );
    check(
        r#"{"model":"a","stream_options":{},"top_p":0}"#,
        Ask::ChatStream,
        r#"{"model":"m","stream_options":{},"top_p":0,"stream":true,"temperature":0.7}"#,
    );
    check("{}", Ask::Chat, r#"{"model":"m","temperature":0.7,"top_p":1}"#);
}
