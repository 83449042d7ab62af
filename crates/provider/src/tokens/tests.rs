use std::time::Instant;

use serde_json::json;

use super::*;

fn o200k() -> Tokenizer {
    Tokenizer::of("gpt-4o", None)
}

#[test]
fn texts_are_counted_as_openai_counts_them() {
    // https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken, "Comparing encodings".
    let (new, old) = (o200k(), Tokenizer::of("gpt-4", None));
    for (text, n_new, n_old) in [
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 8, 9),
        ("tiktoken is great!", 6, 6),
        ("", 0, 0),
    ] {
        assert_eq!((new.count_text(text), old.count_text(text)), (n_new, n_old), "{text}");
    }
    assert!(new.count_text("<|endoftext|>") > 1);
}

#[test]
fn requests_are_counted_by_the_published_rule() {
    // The cookbook's example, and its published counts: 124 for gpt-4o, 129 for gpt-4.
    let system = |name: &str, content: &str| json!({ "role": "system", "name": name, "content": content });
    let mut messages = vec![json!({
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    })];
    for (name, content) in [
        ("example_user", "New synergies will help drive top-line growth."),
        ("example_assistant", "Things working well together will increase revenue."),
        (
            "example_user",
            "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        ),
        ("example_assistant", "Let's talk later when we're less busy about how to do better."),
    ] {
        messages.push(system(name, content));
    }
    messages.push(json!({
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    }));
    let body = json!({ "model": "auto", "messages": messages }).to_string();
    assert_eq!(o200k().count_chat_body(body.as_bytes()), 124);
    assert_eq!(Tokenizer::of("gpt-4", None).count_chat_body(body.as_bytes()), 129);
}

#[test]
fn what_stands_beside_the_messages_is_counted_too() {
    let count = |body: serde_json::Value| o200k().count_chat_body(body.to_string().as_bytes());
    let plain = json!({ "model": "m", "messages": [{ "role": "user", "content": "a \"quoted\"\nline" }] });
    let n = 3 + 3 + 1 + o200k().count_text("a \"quoted\"\nline");
    assert_eq!(count(plain.clone()), n);

    let parts = json!([{ "type": "text", "text": "a \"quoted\"\nline" }, { "type": "image_url", "image_url": { "url": "https://h/x.png", "detail": "low" } }, { "type": "file", "file": { "file_data": "data:x;base64,AAAA" } }]);
    assert_eq!(count(json!({ "messages": [{ "role": "user", "content": parts }] })), n + 85);
    let bare = json!([{ "type": "image_url", "image_url": "https://h/x.png" }]);
    assert_eq!(count(json!({ "messages": [{ "role": "user", "content": bare }] })), 7 + 765);

    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let mut with = plain.clone();
    with["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    assert_eq!(count(with), n + o200k().count_text(&schema.to_string()));
    let tools = json!([{ "type": "function", "function": { "name": "look", "parameters": schema } }]);
    let mut with = plain;
    with["tools"] = tools.clone();
    with["response_format"] = json!({ "type": "json_object" });
    assert_eq!(count(with), n + o200k().count_text(&tools.to_string()));

    let call = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{\"a\":1}" } }] });
    let n_call = o200k().count_text("look") + o200k().count_text("{\"a\":1}");
    assert_eq!(count(json!({ "messages": [call] })), 3 + 3 + 1 + n_call);
}

#[test]
fn what_is_no_request_is_a_text() {
    for body in ["", "hello world", "{\"messages\":7}", "[]"] {
        assert_eq!(o200k().count_chat_body(body.as_bytes()), o200k().count_text(body), "{body}");
        assert_eq!(o200k().count_embeddings_body(body.as_bytes()), o200k().count_text(body), "{body}");
    }
    assert!(o200k().count_chat_body(b"\xff\xfe") > 0);
}

#[test]
fn inputs_of_embeddings_are_counted_one_by_one() {
    let count = |input: serde_json::Value| {
        o200k().count_embeddings_body(json!({ "model": "m", "input": input }).to_string().as_bytes())
    };
    assert_eq!(count(json!("hello world")), 2);
    assert_eq!(count(json!(["hello world", "hello \"world\""])), 2 + o200k().count_text("hello \"world\""));
    assert_eq!((count(json!([1, 2, 3])), count(json!([[1, 2], [3]]))), (3, 3));
}

#[test]
fn a_table_is_found_by_the_models_name() {
    for (model, table, is_exact) in [
        ("gpt-4o-mini-2024-07-18", Table::O200kBase, true),
        ("openai/gpt-4.1", Table::O200kBase, true),
        ("ft:gpt-4o:us::7", Table::O200kBase, true),
        ("o3-mini", Table::O200kBase, true),
        ("GPT-4", Table::Cl100kBase, true),
        ("gpt-4-turbo", Table::Cl100kBase, true),
        ("gpt-35-turbo", Table::Cl100kBase, true),
        ("text-embedding-3-small", Table::Cl100kBase, true),
        ("deepseek-chat", Table::O200kBase, false),
        ("Qwen/Qwen2.5-72B-Instruct", Table::O200kBase, false),
        ("simulated", Table::O200kBase, false),
        ("", Table::O200kBase, false),
    ] {
        let tokenizer = Tokenizer::of(model, None);
        assert_eq!((tokenizer.table(), tokenizer.is_exact()), (table, is_exact), "{model}");
        let declared = Tokenizer::of(model, Some(Table::Cl100kBase));
        assert_eq!((declared.table(), declared.is_exact()), (Table::Cl100kBase, true), "{model}");
    }
}

#[test]
fn a_table_is_unpacked_once_and_by_whoever_comes_first() {
    let counts: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| o200k().count_text("hello world"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts, [2; 8]);
    // Not a benchmark: unpacking takes a thousand times as long as this.
    let begin = Instant::now();
    assert_eq!(o200k().count_text("hello world"), 2);
    assert!(begin.elapsed().as_millis() < 20, "{:?}", begin.elapsed());
}
