//! A key in a file is not repeated, and what is none is.

use std::path::Path;

use gateway::ModelsFile;

use crate::config::{Document, read};

const KEY: &str = "sk-planted-4711-do-not-print";

fn told(text: &str) -> (Vec<String>, Document) {
    let (_, document, diagnostics) = read::<ModelsFile>(Path::new("models.yaml"), text);
    (diagnostics.iter().map(|diagnostic| diagnostic.render(false)).collect(), document)
}

fn model(rest: &str) -> String {
    format!(
        "channels: {{ vendor: {{ url: \"http://127.0.0.1/v1\" }} }}\nmodels:\n  - {{ name: m, channel: vendor{rest} }}\n"
    )
}

#[test]
fn a_key_is_not_repeated_wherever_it_stands() {
    let long = format!("{KEY}{}", "0123456789abcdef".repeat(4));
    for key in [KEY, "A1b2C3d4E5f6G7h8I9j0planted", "planted word/with=signs+", "\"quoted planted\\\"4711\"", &long] {
        let cases = [
            format!(", key: {key}"),
            format!(", key: [{key}]"),
            format!(", key: [[{key}]]"),
            format!(", key: {{ value: {key} }}"),
            format!(", key: {{ env: {key} }}, wieght: 3"),
            format!(", key: {{ env: A, default: {key} }}"),
            format!(", key: {key}, wieght: 2"),
            format!(", wieght: 2, key: {key}"),
            format!(", key: {key}, key: {key}, weight: x"),
            format!(", key: {{ env: A }}, key: {{ value: {key} }}"),
            format!(", api_key: {key}"),
            format!(", apiToken: {key}"),
            format!(", tokenId: {key}"),
            format!(", token-1: {key}, nonsense: [1, 2"),
            format!(", weight: {key}, key: {key}"),
            format!(", key: {key}, nonsense: [1, 2"),
            format!(", secret:\n      {key}, nonsense: ]"),
            format!(", secret:\n      {key}, nonsense: 3"),
        ];
        for case in cases {
            let (told, _) = told(&model(&case));
            assert!(!told.is_empty(), "{case}");
            for told in told {
                assert!(!told.contains("planted") && !told.contains("4711"), "{case}\n{told}");
            }
        }
    }
    let block = model("").replace(" }\n", &format!(", key: {{ {KEY}: }} }}\n"));
    assert!(told(&block).0.iter().all(|told| !told.contains("planted")), "{:?}", told(&block).0);
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    for proxy in ["http://me:planted4711@h:1", "me:planted4711@h"] {
        let (found, _) = told(&model("").replace(" } }", &format!(", prxy: \"{proxy}\" }} }}")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("prxy") && !found[0].contains("4711"), "{}", found[0]);
    }
}

#[test]
fn what_is_no_key_is_shown_where_it_stands() {
    let (found, _) = told(&model(", key: { env: OPENAI_API_KEY }, wieght: 2, max_in_flight: 0"));
    assert_eq!(found.len(), 2, "{found:?}");
    let (tokenizer, _) = told(&model(", tokenizer: o200k"));
    assert!(tokenizer[0].contains("text `o200k`") && tokenizer[0].contains("`o200k_base` or"), "{}", tokenizer[0]);
    assert!(found[0].contains("key: { env: OPENAI_API_KEY }, wieght: 2, max_in_flight: 0"), "{}", found[0]);
    let (found, _) = told(&model(&format!(", key: {KEY}, wieght: 2")));
    assert_eq!(
        found[1],
        "error: unknown key `wieght` in `models[0]`\n --> models.yaml:3:69\n  |\n3 |   - { name: m, channel: vendor, key: \
         ****************************, wieght: 2 }\n  |                                                                    \
         ^^^^^^\n  = help: did you mean `weight`?\n"
            .replace("3:69", &format!("3:{}", 3 + "- { name: m, channel: vendor, key: , ".len() + KEY.len())),
        "{}",
        found[1]
    );
    assert!(found[0].contains("never stands in the file itself"), "{}", found[0]);
}
