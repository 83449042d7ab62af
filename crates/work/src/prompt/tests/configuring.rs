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
    let mistakes = mistakes(config.clone());
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
    let error = PromptHandler::new(&prompt(config), Inputs::default(), client, Arc::new(Files)).err();
    assert_eq!(error.unwrap().0.len(), starts.len());
}

/// The mistakes of a configuration, as they read.
fn mistakes(config: Value) -> Vec<String> {
    prompt(config).mistakes().iter().map(ToString::to_string).collect()
}

#[test]
fn what_does_not_go_together_is_told_with_what_to_do() {
    let output = json!({"score": {"type": "integer"}});
    for (config, expected) in [
        (
            json!({}),
            "template: there is nothing to ask: write a `template`, or name the field with the record's own `messages`",
        ),
        (json!({"messages": " "}), "messages: names no field"),
        (json!({"template": " ", "messages": "talk"}), "template: the template is empty"),
        (
            json!({"template": "x", "tools": "t", "parameters": {"tools": []}}),
            "tools: stands beside `parameters.tools`; a request has one list of tools",
        ),
        (json!({"template": "x", "models": []}), "models: names no model"),
        (json!({"template": "x", "models": ["a", " "]}), "models.1: names no model"),
        (
            json!({"template": "x", "models": ["a", "a"]}),
            "models.1: `a` is there twice; `samples` asks a model several times",
        ),
        (
            json!({"template": "x", "model": "a", "models": ["b"]}),
            "models: stands beside `model`; leave one of them out",
        ),
        (json!({"template": "x", "samples": 0}), "samples: asks for no answer; the least is 1"),
        (
            json!({"messages": "talk", "examples": []}),
            "examples: need a `template`: the examples' records are rendered by it",
        ),
        (
            json!({"template": "{{ a }}", "examples": [{"record": {"b": 1}, "answer": "x"}]}),
            "examples.0.record: the template needs the field `a`, which the record does not have; its fields are: `b`",
        ),
        (
            json!({"template": "{{ a }}", "output": output, "examples": [{"record": {"a": 1}, "answer": {"score": "x"}}]}),
            "examples.0.answer: `score`: \"x\" is not of type \"integer\"",
        ),
        (
            json!({"template": "x", "attach": [{}]}),
            "attach.0: needs the field that holds it: `image: FIELD` or `file: FIELD`",
        ),
        (
            json!({"template": "x", "attach": [{"image": "a", "file": "b"}]}),
            "attach.0: is an `image` or a `file`, not both",
        ),
        (
            json!({"template": "x", "attach": [{"file": "a", "detail": "low"}]}),
            "attach.0.detail: only an `image` has a detail",
        ),
        (json!({"template": "x", "attach": [{"image": " "}]}), "attach.0.image: names no field"),
        (
            json!({"template": "x", "attach": [{"image": "a", "max_bytes": 0}]}),
            "attach.0.max_bytes: no file is so small",
        ),
        (
            json!({"template": "x", "derive": {"a": "one\n{{ b | uper }}"}}),
            "derive.a, line 2: unknown filter: filter uper is unknown",
        ),
        (
            json!({"template": "x", "derive": {"a": {"value": "b ="}}}),
            "derive.a.value: unexpected input after expression; write `==` to compare",
        ),
        (json!({"template": "x", "derive": {" ": "b"}}), "derive. : a field needs a name"),
        (json!({"template": "x", "keep": {"model": " "}}), "keep.model: the new field needs a name"),
        (
            json!({"template": "x", "keep": {"model": "answer"}}),
            "keep.model: there is a new field `answer` already; choose another name",
        ),
        (
            json!({"template": "x", "derive": {"a": "b"}, "keep": {"model": "m", "upstream": "m"}}),
            "keep.upstream: there is a new field `m` already; choose another name",
        ),
        (
            json!({"template": "x", "answers": {"pattern": "(a"}}),
            "answers.pattern: is not a regular expression: unclosed group",
        ),
        (
            json!({"template": "x", "answers": {"reject": "(?=a)"}}),
            "answers.reject: is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        ),
        (
            json!({"template": "x", "answers": {"length": {"more_tokens": 2}}}),
            "answers.length.more_tokens: there is no limit to raise: set `max_tokens` (or `max_completion_tokens`) in \
             `parameters`",
        ),
        (
            json!({"template": "x", "answers": {"length": {"more_tokens": 1}}, "parameters": {"max_tokens": 9}}),
            "answers.length.more_tokens: 1 times the tokens are not more; write a factor such as 2",
        ),
        (
            json!({"template": "x", "output": output, "answers": {"empty": "accept"}}),
            "answers.empty: an empty answer never has the fields of `output`; choose `retry` or `fail`",
        ),
        (
            json!({"template": "x", "output": output, "answers": {"refused": "accept"}}),
            "answers.refused: a refusal never has the fields of `output`; choose `retry` or `fail`",
        ),
        (
            json!({"template": "x", "until_accepted": {"accepted": 0, "candidates": 1}}),
            "until_accepted.accepted: wants no answer; the least is 1",
        ),
        (
            json!({"template": "x", "until_accepted": {"accepted": 3, "candidates": 2}}),
            "until_accepted.candidates: asks for 2 at most, and `accepted` wants 3",
        ),
        (
            json!({"template": "x", "until_accepted": {"accepted": 1, "candidates": 2, "where": "answer ="}}),
            "until_accepted.where: unexpected input after expression; write `==` to compare",
        ),
        (
            json!({"template": "x", "samples": 2, "until_accepted": {"accepted": 1, "candidates": 2}}),
            "samples: stands beside `until_accepted`, whose `candidates` say how often",
        ),
        (
            json!({"template": "x", "models": ["a", "b"], "until_accepted": {"accepted": 1, "candidates": 2}}),
            "models: candidates of `until_accepted` come from one model or route; a route may hold several",
        ),
    ] {
        assert_eq!(mistakes(config.clone()), [expected], "{config}");
    }
}

#[test]
fn every_key_is_part_of_what_decides_answers() {
    let whole = json!({
        "model": "auto", "models": ["a"], "samples": 2, "system": "s", "messages": "m", "tools": "t", "template": "x",
        "examples": [{"record": {"a": 1}, "answer": "b"}], "attach": [{"image": "i", "detail": "low", "max_bytes": 7}],
        "output": {"a": {"type": "string"}}, "response_format": "json", "derive": {"z": "b", "y": {"value": "c"}},
        "keep": {"sample": "n", "answer": "raw"},
        "answers": {"length": {"more_tokens": 2.0}, "empty": "fail", "refused": "retry", "think": "required",
            "pattern": "p", "reject": "r", "complain": false},
        "stream": true, "dedupe": true, "until_accepted": {"accepted": 1, "candidates": 2, "where": "x"},
        "parameters": {"seed": 1},
        "by": {"field": "f", "cases": {"a": {"model": "m", "system": "s", "template": "t",
            "examples": [{"record": {"a": 1}, "answer": "b"}], "output": {"a": {"enum": [1], "optional": true, "drop": true}},
            "response_format": "none", "derive": {"z": "b"}, "keep": {"sample": "n"}, "answers": {"length": "retry",
            "empty": "retry", "refused": "fail", "think": "optional", "complain": false},
            "parameters": {"seed": 1}}}},
    });
    let config = prompt(whole.clone());
    assert_eq!(serde_json::to_string(&config).unwrap(), whole.to_string(), "the order of the file too");
    let schema = serde_json::to_value(schemars::schema_for!(Prompt)).unwrap();
    let known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(known, whole.as_object().unwrap().keys().collect::<Vec<_>>(), "none was forgotten here");
    assert_eq!(config.new_fields(), ["a", "z", "y", "n", "raw"]);
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
