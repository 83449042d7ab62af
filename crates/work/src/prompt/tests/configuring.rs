//! What a pipeline file may say.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{Prompt, Template},
    Files, Inputs, PromptHandler, Scripted, prompt,
};

#[test]
fn mistakes_are_told_all_at_once_with_their_places() {
    let config = json!({
        "model": " ",
        "system": "Be {{ kind",
        "template": "one\ntwo\n{% if x %}\nthree",
        "parameters": {"temperature": 0, "model": "x", "n": 2, "stream": true, "response_format": {}, "messages": []},
        "output": {
            "a": {},
            "b": {"type": "string", "minimum": 1, "pattern": "(", "min_length": 5, "max_length": 4},
            "c": {"type": "integer", "enum": [1, "x"]},
            "d": {"type": "array", "items": {"properties": {}}},
            "e": {"enum": []},
            "": {"type": "number", "minimum": 2, "maximum": 1},
        },
    });
    let mistakes: Vec<String> = prompt(config.clone()).mistakes().iter().map(ToString::to_string).collect();
    let starts = [
        "model: names no model",
        "system, line 1: unexpected end of input",
        "template, line 3: unexpected end of input, expected end of block",
        "parameters.model: cannot be set here: the model stands in `model`",
        "parameters.n: cannot be set here: one answer",
        "parameters.stream: cannot be set here: answers are taken whole",
        "parameters.response_format: cannot be set here: it is made from `output`",
        "parameters.messages: cannot be set here: the messages are made",
        "output.a: needs a `type` or an `enum`",
        "output.b.minimum: only a `number` or an `integer` has bounds",
        "output.b.min_length: `min_length` is greater than `max_length`",
        "output.b.pattern: is not a regular expression: ",
        "output.c.enum: has a value of type string, and `type` is integer",
        "output.d.items: needs a `type` or an `enum`",
        "output.d.items.properties: only an `object` has properties",
        "output.d.items.properties: names no field",
        "output.e.enum: allows no value",
        "output.: a field needs a name",
        "output..minimum: `minimum` is greater than `maximum`",
    ];
    assert_eq!(mistakes.len(), starts.len(), "{mistakes:#?}");
    for (found, start) in mistakes.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} / {start}");
    }
    let client = Arc::new(Scripted::default());
    let error = PromptHandler::new(&prompt(config), Inputs::default(), "x", client, Arc::new(Files)).err();
    assert_eq!(error.unwrap().0.len(), starts.len());
}

#[test]
fn a_template_is_checked_without_a_record() {
    for (text, expected) in [
        ("{{ body }} {record_json} {{ a.b.c }}{% for x in y %}{{ x|upper }}{% endfor %}", None),
        ("{{ x|tojson(indent=2) }}{{ range(3)|join(',') }}", None),
        ("a\nb {{ body | uper }}", Some((2, "unknown filter: filter uper is unknown"))),
        ("{% if x is oddish %}{% endif %}", Some((1, "unknown test: test oddish is unknown"))),
        ("\n\n{{ now() }}", Some((3, "unknown function: now is unknown"))),
        ("{{ a }}\n{{ a.split(',') }}", Some((2, "values have no method `split`; use a filter: `|split`"))),
        (
            "{% if a is defined %}{{ a.b.strip() }}{% endif %}",
            Some((1, "values have no method `strip`; use a filter: `|trim`")),
        ),
        (
            "{% for x in y %}{{ loop.cycle(1, 2) }}{{ x.frobnicate() }}{% endfor %}",
            Some((1, "values have no method `frobnicate`; filters do such things, as in `{{ text|trim }}`")),
        ),
        ("{% for x in y recursive %}{{ loop(x.z) }}{% endfor %}{% set n = namespace(i=0) %}{{ n.i }}", None),
        ("{{ }}", Some((1, "unexpected end of variable block"))),
        ("a\n{% endfor %}", Some((2, "unknown statement endfor"))),
    ] {
        let found = Template::check(text);
        let found = found.as_ref().err().map(|(line, message)| (*line, message.as_str()));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn configuration_is_strict() {
    let wrong = |config: Value| serde_json::from_value::<Prompt>(config).unwrap_err().to_string();
    let field = |field: Value| json!({"template": "x", "output": {"a": field}});
    assert!(wrong(json!({"template": "x", "sytem": ""})).contains("unknown field `sytem`"));
    assert!(wrong(field(json!({"typ": "string"}))).contains("unknown field `typ`"));
    assert!(wrong(field(json!({"type": "text"}))).contains("unknown variant `text`, expected one of `string`"));
    assert!(wrong(field(json!("string"))).contains("expected struct Field"));
    let twice = r#"{"template": "x", "output": {"a": {"type": "string"}, "a": {"type": "string"}}}"#;
    assert!(serde_json::from_str::<Prompt>(twice).unwrap_err().to_string().contains("the field `a` is there twice"));
}

#[test]
fn fields_keep_the_order_of_the_file() {
    let text = r#"{"template":"x","output":{"z":{"type":"string"},"a":{"enum":[1]},"m":{"type":"boolean"}}}"#;
    let config: Prompt = serde_json::from_str(text).unwrap();
    assert_eq!(config.new_fields(), ["z", "a", "m"]);
    assert_eq!(
        serde_json::to_string(&config).unwrap(),
        text.replace("{\"template\"", "{\"model\":\"auto\",\"template\"")
    );
    assert_eq!(prompt(json!({"template": "x"})).new_fields(), ["answer"]);
}

#[test]
fn the_schema_knows_every_key() {
    let schema = serde_json::to_string(&schemars::schema_for!(Prompt)).unwrap();
    for key in ["record_json", "\"enum\"", "min_length", "nullable", "\"additionalProperties\":false", "\"integer\""] {
        assert!(schema.contains(key), "{key}: {schema}");
    }
}
