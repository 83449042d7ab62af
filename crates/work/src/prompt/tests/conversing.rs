//! Conversations, examples and what goes with a prompt.

use domain::{Unplanned, ports::Handler as _};
use serde_json::{Value, json};

use super::{Inputs, handler, handler_with, output, record};

/// Plans a record, and returns the body or why there is none.
fn planned(config: Value, text: &str) -> Result<String, String> {
    match handler(config).plan(&record(text)) {
        Ok(planned) => Ok(String::from_utf8(planned.body.to_vec()).unwrap()),
        Err(Unplanned::Skip(reason, message)) => Err(format!("{}: {message}", reason.word())),
        Err(Unplanned::Fail(failure)) => Err(failure.to_string()),
    }
}

const TALK: &str = r#"[ {"role": "user", "content": [{"type":"text","text":"caf\u00e9"}, {"type":"image_url","image_url":{"url":"u"}}]},
  {"role":"assistant","tool_calls":[{"id":"1","n":1.10}], "content":null}, {"role":"tool","tool_call_id":"1","content":"7"} ]"#;

#[test]
fn a_conversation_is_sent_whole_with_every_byte_as_it_stands() {
    let text = format!(r#"{{"talk":{TALK},"who":"Li","tools":[ {{"type":"function"}} ]}}"#);
    let inner = &TALK[1..TALK.len() - 1];
    for (config, expected) in [
        (json!({"messages": "talk"}), format!(r#"{{"model":"auto","messages":[{inner}]}}"#)),
        (
            json!({"messages": "talk", "system": "You help {{ who }}.", "template": "Sum it up, {{ who }}.",
                "tools": "tools", "parameters": {"seed": 1}}),
            format!(
                r#"{{"model":"auto","tools":[ {{"type":"function"}} ],"messages":[{{"role":"system","content":"You help Li."}},{inner},{{"role":"user","content":"Sum it up, Li."}}],"seed":1}}"#
            ),
        ),
    ] {
        assert_eq!(planned(config.clone(), &text), Ok(expected), "{config}");
    }
}

#[test]
fn our_system_message_stands_before_one_of_the_record() {
    let text = r#"{"talk":[{"role":"system","content":"theirs"},{"role":"user","content":"hi"}]}"#;
    let body: Value =
        serde_json::from_str(&planned(json!({"messages": "talk", "system": "ours"}), text).unwrap()).unwrap();
    let said: Vec<&Value> = body["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(said, ["ours", "theirs", "hi"]);
}

#[test]
fn a_conversation_in_a_cell_is_read_from_its_text() {
    let cell = Value::from(TALK).to_string();
    let expected = format!(r#"{{"model":"auto","messages":[{}]}}"#, &TALK[1..TALK.len() - 1]);
    assert_eq!(planned(json!({"messages": "talk"}), &format!(r#"{{"talk":{cell}}}"#)), Ok(expected));
}

#[test]
fn what_is_no_conversation_is_skipped_and_the_sentence_says_why() {
    let no_array = "bad_record: the field `talk` is not an array of messages: ".to_string();
    let nothing = "missing_field: the field `talk` holds no messages: there is nothing to ask".to_string();
    for (text, expected) in [
        (r#"{"text":"hi"}"#, "missing_field: the record has no field `talk`".to_string()),
        (r#"{"talk":null}"#, nothing.clone()),
        (r#"{"talk":[]}"#, nothing.clone()),
        (r#"{"talk":" "}"#, nothing),
        (r#"{"talk":"hello"}"#, format!("{no_array}it is a string")),
        (r#"{"talk":{"role":"user"}}"#, format!("{no_array}it is an object")),
        (
            r#"{"talk":"[{\"role\":1}, "}"#,
            format!(
                "{no_array}it is text that is not valid JSON: it ends too early, at column 12 (EOF while parsing a value)"
            ),
        ),
        (r#"{"talk":[{"role":"user"},"hi"]}"#, format!("{no_array}message 2 is a string, not a JSON object")),
        (r#"{"talk":[{"content":"hi"}]}"#, format!("{no_array}message 1 is without a `role`")),
        (r#"{"talk":[{"role":null}]}"#, format!("{no_array}message 1 is with null as its `role`")),
    ] {
        assert_eq!(planned(json!({"messages": "talk"}), text), Err(expected), "{text}");
    }
    let with_template = json!({"messages": "talk", "template": "Begin."});
    assert_eq!(
        planned(with_template, r#"{"talk":null}"#).as_deref(),
        Ok(r#"{"model":"auto","messages":[{"role":"user","content":"Begin."}]}"#)
    );
    let tools = json!({"template": "x", "tools": "tools"});
    assert_eq!(
        planned(tools.clone(), r#"{"tools":[]}"#).as_deref(),
        Ok(r#"{"model":"auto","messages":[{"role":"user","content":"x"}]}"#)
    );
    assert_eq!(
        planned(tools, r#"{"tools":7}"#),
        Err("bad_record: the field `tools` is not an array of tools: it is a number".to_string())
    );
}

#[test]
fn examples_are_asked_and_answered_before_each_prompt() {
    let config = json!({
        "system": "Sort for {{ who }}.",
        "template": "Sort: {{ body }} {record_json}",
        "output": {"category": {"enum": ["bug", "wish"]}},
        "examples": [
            {"record": {"body": "it \"broke\""}, "answer": {"category": "bug"}},
            {"record": {"body": "please"}, "answer": "Thinking …\n{\"category\": \"wish\"}"},
        ],
    });
    let inputs = Inputs { fields: Some(vec!["body".to_owned()]), ..Inputs::default() };
    let planned = handler_with(config, inputs).plan(&record(r#"{"who":"Li","body":"hm"}"#)).unwrap();
    let body: Value = serde_json::from_slice(&planned.body).unwrap();
    let said: Vec<(&str, &str)> = (body["messages"].as_array().unwrap().iter())
        .map(|message| (message["role"].as_str().unwrap(), message["content"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("system", "Sort for Li."),
            ("user", "Sort: it \"broke\" {\"body\":\"it \\\"broke\\\"\"}"),
            ("assistant", "{\"category\":\"bug\"}"),
            ("user", "Sort: please {\"body\":\"please\"}"),
            ("assistant", "Thinking …\n{\"category\": \"wish\"}"),
            ("user", "Sort: hm {\"body\":\"hm\"}"),
        ]
    );
}

#[test]
fn images_and_files_become_parts_of_the_users_message() {
    let config = json!({"template": "Look at {{ id }}.", "attach": [
        {"image": "photo", "detail": "low"}, {"image": "more"}, {"file": "doc"}, {"file": "notes"},
    ]});
    let text = r#"{"id":7,"photo":"img/a.png","more":["https://x/y.jpg","data:image/png;base64,AA==","b.jpg"],
        "doc":"docs/Report.pdf","notes":"[\"notes.md\"]"}"#;
    let body: Value = serde_json::from_str(&planned(config.clone(), text).unwrap()).unwrap();
    assert_eq!(
        body["messages"][0],
        json!({"role": "user", "content": [
            {"type": "text", "text": "Look at 7."},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.jpg"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4A=="}},
            {"type": "file", "file": {"filename": "Report.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="}},
            {"type": "text", "text": "# A \"title\"\n"},
        ]})
    );
    // The estimate counts what models count, and not the letters of an encoded image.
    let estimate = handler(config.clone()).plan(&record(text)).unwrap().tokens;
    assert!((3_000..3_400).contains(&estimate), "{estimate}");

    let bare = r#"{"id":7,"photo":null,"more":[],"doc":"","notes":" "}"#;
    let body: Value = serde_json::from_str(&planned(config, bare).unwrap()).unwrap();
    assert_eq!(body["messages"][0]["content"], "Look at 7.");
    let alone = json!({"messages": "talk", "attach": [{"image": "photo"}]});
    let text = r#"{"talk":[{"role":"user","content":"see:"}],"photo":"https://x/y.jpg"}"#;
    let body: Value = serde_json::from_str(&planned(alone, text).unwrap()).unwrap();
    assert_eq!(body["messages"][1]["content"], json!([{"type": "image_url", "image_url": {"url": "https://x/y.jpg"}}]));
}

#[test]
fn a_file_that_cannot_be_sent_fails_its_record_with_the_path_as_it_was_written() {
    let image = json!({"template": "x", "attach": [{"image": "a", "max_bytes": 7}]});
    let file = json!({"template": "x", "attach": [{"file": "a"}]});
    for (config, value, expected) in [
        (
            &image,
            r#""img/none.png""#,
            "rejected: the image `img/none.png` (field `a`) cannot be read: no such file".to_string(),
        ),
        (&image, r#""img/a.png""#, "rejected: the image `img/a.png` (field `a`) has more than 7 bytes".to_string()),
        (
            &image,
            r#"["not.png"]"#,
            "rejected: the image `not.png` (field `a`) is none that models take: neither JPEG, PNG, GIF, \
                 WebP nor BMP"
                .to_string(),
        ),
        (
            &image,
            r#"{"url":"x"}"#,
            "bad_record: the field `a` holds an object; it takes a path, a URL, or an array of them".to_string(),
        ),
        (
            &image,
            "[7]",
            "bad_record: the field `a` holds an array with a number; it takes a path, a URL, or an array of them"
                .to_string(),
        ),
        (&file, r#""gbk.txt""#, "rejected: the file `gbk.txt` is not text in UTF-8".to_string()),
        (
            &file,
            r#""https://x/y.pdf""#,
            "rejected: the file `https://x/y.pdf` is behind a URL; models fetch no files: give its path".to_string(),
        ),
    ] {
        assert_eq!(planned(config.clone(), &format!(r#"{{"a":{value}}}"#)), Err(expected), "{value}");
    }
    assert_eq!(planned(image, "{}"), Err("missing_field: the record has no field `a`".to_string()));
}

#[test]
fn a_filter_leaves_out_what_it_is_not_true_for() {
    let where_ = Some("lang == 'zh' and score > 3".to_owned());
    let inputs = Inputs { fields: Some(vec!["body".to_owned()]), where_, ..Inputs::default() };
    let handler = handler_with(json!({"template": "{{ body }}", "output": output()}), inputs);
    let skipped = |text: &str| match handler.plan(&record(text)) {
        Ok(_) => String::new(),
        Err(Unplanned::Skip(reason, message)) => format!("{}: {message}", reason.word()),
        Err(Unplanned::Fail(failure)) => failure.to_string(),
    };
    let out = "filtered: left out by `where`: lang == 'zh' and score > 3".to_string();
    assert_eq!(skipped(r#"{"lang":"zh","score":"10","body":"x"}"#), "");
    assert_eq!(skipped(r#"{"lang":"zh","score":3.5,"body":"x"}"#), "");
    // What is left out needs nothing else: neither the template's fields nor those that must hold something.
    for text in [r#"{"lang":"en","score":9}"#, r#"{"lang":"zh","score":"3"}"#, r#"{"lang":"zh"}"#, "{}"] {
        assert_eq!(skipped(text), out, "{text}");
    }
    assert_eq!(skipped("[]"), format!("bad_record: an array, not a JSON object"));
    assert_eq!(skipped(r#"{"lang":"zh","score":4}"#), format!("missing_field: the record has no field `body`"));
}
