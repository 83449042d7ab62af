use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Draft, yaml};

fn read(text: &str) -> Value {
    let (value, _, diagnostics) = crate::config::read::<Value>("pipeline.yaml".as_ref(), text);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:?}");
    value.unwrap()
}

#[test]
fn what_is_written_is_read_as_what_it_was() {
    for text in [
        "plain",
        "two words",
        "yes",
        "No",
        "12",
        "1.5",
        "0x1f",
        "~",
        "",
        " lead",
        "tail ",
        "a: b",
        "# no",
        "a #b",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "- a",
        "?",
        "@",
        "`",
        "%",
        "a\nb",
        "a\nb\n",
        "a\n\nb\n\n",
        "\na\nb",
        "  a\nb",
        "a\n  b\n c",
        "a\n \nb",
        "a\r\nb",
        "a\tb",
        "tab\n\tb",
        "中文：标点",
        "中\n文",
        "quote \" and '",
        "back\\slash",
        "\u{0}\u{7f}\u{85}",
        "\u{feff}a",
        "a\u{2028}b",
        "...",
        "---",
        "a\n---\nb",
        "{{ record_json }}",
        "<<",
        "=",
        "null",
        "1_000",
        "2024-01-01",
    ] {
        let tree = json!({ text: text, "list": [text, { text: text }], "inner": { "deep": { "text": text } } });
        let written = yaml::written(tree.as_object().unwrap(), &[]);
        assert_eq!(read(&written), tree, "{written}");
    }
}

#[test]
fn a_note_stands_above_what_it_is_about() {
    let mut draft = Draft::default();
    draft.set(&["a", "b"], 1, vec!["theirs".to_owned()]);
    draft.set(&["a", "c"], json!(["x", "z"]), Vec::new());
    draft.note(&["a", "b"], "one\ntwo");
    draft.note(&[], "all");
    assert_eq!(draft.text(), "# all\na:\n  # one\n  # two\n  b: 1\n  c: [x, z]\n");
    let place = |path: &[&str]| draft.place(&path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).join(".");
    assert_eq!(place(&["a", "b"]), "theirs");
    assert_eq!(place(&["a", "b", "deep"]), "theirs.deep");
    assert_eq!(place(&["z"]), "");
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[ -~\n\t]{0,24}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_is_read_as_what_was_written(inner in tree()) {
        let tree = json!({ "a": inner, "b": { "c": inner } });
        let written = yaml::written(tree.as_object().unwrap(), &[]);
        prop_assert_eq!(read(&written), tree, "{}", written);
    }
}
