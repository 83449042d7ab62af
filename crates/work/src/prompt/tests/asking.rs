//! Records into requests.

use domain::{SkipReason, Unplanned, ports::Handler as _, request_hash};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::Require, Inputs, handler, handler_with, output, record};

fn body(config: Value, inputs: Inputs, text: &str) -> Result<String, String> {
    match handler_with(config, inputs).plan(&record(text)) {
        Ok(planned) => {
            assert_eq!(planned.request, Some(request_hash(&planned.body)));
            assert_eq!(planned.tokens as usize, planned.body.len() / 4);
            Ok(String::from_utf8(planned.body.to_vec()).unwrap())
        }
        Err(Unplanned::Skip(reason, message)) => Err(format!("{}: {message}", reason.word())),
        Err(Unplanned::Fail(failure)) => Err(format!("{failure}")),
    }
}

/// Renders a template and returns the prompt that is asked.
fn asked(template: &str, text: &str) -> Result<String, String> {
    let body: Value = serde_json::from_str(&body(json!({"template": template}), Inputs::default(), text)?).unwrap();
    Ok(body["messages"][0]["content"].as_str().unwrap().to_owned())
}

#[test]
fn a_template_sees_the_record_as_it_stands() {
    let text = r#"{"body": "a <b> \"c\"\n\u00e9", "n": 1.10, "i":7, "big":12345678901234567890123, "huge":1e400,
        "neg":-0, "f":2.5, "ok":true, "nothing":null, "tags":["x", 1.10, {"y" : "z"}], "who":{"first name": "Li", "n":1.0}}"#;
    for (template, expected) in [
        ("{{ body }}", "a <b> \"c\"\né"),
        ("{{ n }} {{ i }} {{ big }} {{ huge }} {{ neg }} {{ f }}", "1.10 7 12345678901234567890123 1e400 -0 2.5"),
        ("{{ i + 1 }} {{ f * 2 }} {{ n|float * 2 }}", "8 5.0 2.2"),
        ("{% if ok %}yes{% endif %} {{ nothing is none }} {{ ok }} {{ nothing }}", "yes true true null"),
        ("{{ tags }} {{ who }}", r#"["x",1.10,{"y":"z"}] {"first name":"Li","n":1.0}"#),
        ("{% for t in tags %}{{ loop.index }}:{{ t }};{% endfor %}", r#"1:x;2:1.10;3:{"y":"z"};"#),
        ("{{ tags|length }} {{ tags[1] }} {{ tags[-1].y }} {{ tags|first }}", "3 1.10 z x"),
        ("{{ who['first name'] }} {{ who.n }} {{ 'n' in who }}", "Li 1.0 true"),
        ("{% for k, v in who|items %}{{ k }}={{ v }};{% endfor %}", "first name=Li;n=1.0;"),
        ("{{ who|tojson }} {{ body|tojson }}", r#"{"first name":"Li","n":1.0} "a <b> \"c\"\né""#),
        ("{{ [i, f]|tojson(indent=1) }}", "[\n 7,\n 2.5\n]"),
        ("{{ missing|default('-') }} {{ missing is defined }} {{ nothing or 'x' }}", "- false x"),
        ("{% set x = body|upper %}{{ x[:1] }}", "A"),
        ("line\n", "line"),
        ("line\n\n", "line\n"),
        ("{# a comment #}{% raw %}{{ body }}{% endraw %}", "{{ body }}"),
    ] {
        assert_eq!(asked(template, text).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn a_field_may_be_named_in_any_script_and_any_field_can_be_reached() {
    let text = r#"{"文本":"你好","Größe":7,"First name":"Li","e-mail":"a@b","名":{"姓":"王"},"2nd":2}"#;
    for (template, expected) in [
        ("{{ 文本 }}, {{ Größe }} {{ 文本|length }}", "你好, 7 2"),
        ("{% if 文本 == '你好' %}{{ 名.姓 }}{% endif %}{% for 字 in 文本 %}{{ 字 }}.{% endfor %}", "王你.好."),
        (
            "{{ record['First name'] }} <{{ record[\"e-mail\"] }}> {{ record['2nd'] }} {{ record.文本 }}",
            "Li <a@b> 2 你好",
        ),
        ("{{ record['x y'] is defined }} {{ record['x y']|default('-') }}", "false -"),
        ("{% for name in record %}{{ name }};{% endfor %}", "文本;Größe;First name;e-mail;名;2nd;"),
    ] {
        assert_eq!(asked(template, text).as_deref(), Ok(expected), "{template}");
    }
    // A field of its own is what it is.
    assert_eq!(asked("{{ record }} {{ record|upper }}", r#"{"record":"a","b":1}"#).as_deref(), Ok("a A"));
    let said = asked("{{ 文 }}", text).unwrap_err();
    assert!(said.contains("needs the field `文`, which") && said.contains("`文本`"), "{said}");
    let said = asked("{{ record['first name'] }}", text).unwrap_err();
    assert!(said.contains("which the record does not have; its fields are: `文本`, "), "{said}");
}

#[test]
fn record_json_is_the_record_without_white_space() {
    let text = "{ \"a b\" : \"x  y\" ,\t\"n\": 1.10, \"deep\": { \"k\": [ 1, 2 ] } }";
    let compact = r#"{"a b":"x  y","n":1.10,"deep":{"k":[1,2]}}"#;
    for (template, expected) in [
        ("{{ record_json }}", compact.to_owned()),
        ("{record_json}", compact.to_owned()),
        ("Data:\n{record_json}, again {{record_json}}.", format!("Data:\n{compact}, again {compact}.")),
        ("{\"data\": {record_json}}", format!("{{\"data\": {compact}}}")),
        ("{% if n %}{record_json}{% endif %}", compact.to_owned()),
    ] {
        assert_eq!(asked(template, text).as_deref(), Ok(expected.as_str()), "{template}");
    }
}

#[test]
fn chosen_fields_are_all_that_record_json_shows() {
    let inputs = |fields: &[&str], require| Inputs {
        fields: Some(fields.iter().map(|&f| f.to_owned()).collect()),
        require,
        ..Inputs::default()
    };
    let (all, any) = (Require::All, Require::Any);
    for (fields, require, text, expected) in [
        (&["c", "a"][..], all, r#"{"a": 1.10, "b":2, "c":"x"}"#, Ok(r#"{"a":1.10,"c":"x"}"#.to_owned())),
        (&["a", "c"], all, r#"{"a":1}"#, Err("missing_field: the record has no field `c`".to_string())),
        (&["a", "c"], all, r#"{"a":1,"c":" "}"#, Err("filtered: the field `c` is empty".to_string())),
        (&["a"], all, r#"{"a":null}"#, Err("filtered: the field `a` is empty".to_string())),
        (&["a"], all, r#"{"a":0}"#, Ok(r#"{"a":0}"#.to_owned())),
        (&["a", "c"], any, r#"{"c":false,"a":""}"#, Ok(r#"{"c":false,"a":""}"#.to_owned())),
        (&["a", "c"], any, r#"{"a":""}"#, Err("filtered: all of the fields `a`, `c` are empty".to_string())),
        (&["a", "c"], any, "{}", Err("missing_field: the record has none of the fields `a`, `c`".to_string())),
        (&[], any, r#"{"a":1}"#, Ok("{}".to_owned())),
    ] {
        let found = body(json!({"template": "{record_json}"}), inputs(fields, require), text);
        let found = found.map(|body| {
            let body: Value = serde_json::from_str(&body).unwrap();
            body["messages"][0]["content"].as_str().unwrap().to_owned()
        });
        assert_eq!(found, expected, "{fields:?} {require:?} {text}");
    }
}

#[test]
fn a_record_that_lacks_what_the_template_needs_is_skipped_with_its_fields() {
    for (template, text, expected) in [
        (
            "{{ body }}",
            r#"{"id":1,"Body":"x"}"#,
            "missing_field: the template needs the field `body`, which the record does not have; its \
                 fields are: `id`, `Body`"
                .to_string(),
        ),
        (
            "{{ b }}{{ a }}",
            "{}",
            "missing_field: the template needs the fields `a`, `b`, which the record does not have; its \
                 fields are: none"
                .to_string(),
        ),
        (
            "Hello\n{{ who.name }}",
            r#"{"who":{}}"#,
            "missing_field: the template needs `who.name` (its line 2), which the record does not have".to_string(),
        ),
        (
            "\n{{ body + 1 }}",
            r#"{"body":{}}"#,
            "rejected: the template failed at its line 2: invalid operation: tried to use + operator on \
                 unsupported types map and number"
                .to_string(),
        ),
        (
            "{{ body }}",
            r#"{"body":"\ud800"}"#,
            "bad_text: the field `body` holds half of a character (a lone surrogate)".to_string(),
        ),
        ("{{ body }}", "[1]", "bad_record: an array, not a JSON object".to_string()),
    ] {
        assert_eq!(asked(template, text), Err(expected), "{template}");
    }
    // What the template does not name may be odd.
    assert_eq!(asked("{{ a }}", r#"{"a":1,"b":"\ud800"}"#).unwrap(), "1");
}

#[test]
fn a_name_that_stands_twice_counts_as_it_stands_last() {
    assert_eq!(asked("{{ a }}", r#"{"a":1,"a":2}"#).unwrap(), "2");
}

#[test]
fn the_body_begins_with_the_model_and_is_the_same_every_time() {
    let config = json!({
        "model": "fast \"one\"",
        "system": "You are {{ tone }}.",
        "template": "{{ body }}",
        "output": {"b": {"enum": ["x"]}, "a": {"type": "integer"}},
        "parameters": {"temperature": 0.10, "max_tokens": 50},
    });
    let expected = concat!(
        r#"{"model":"fast \"one\"","messages":[{"role":"system","content":"You are kind."},"#,
        r#"{"role":"user","content":"a\n\"b\" \u0001"}],"temperature":0.1,"max_tokens":50,"#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"#,
        r#""type":"object","properties":{"b":{"type":"string","enum":["x"]},"a":{"type":"integer"}},"#,
        r#""required":["b","a"],"additionalProperties":false}}}}"#
    );
    let text = r#"{"body":"a\n\"b\" \u0001","tone":"kind"}"#;
    for _ in 0..3 {
        assert_eq!(body(config.clone(), Inputs::default(), text).as_deref(), Ok(expected));
    }
    let plain = body(json!({"template": "x", "system": "y\n"}), Inputs::default(), "{}").unwrap();
    assert_eq!(plain, r#"{"model":"auto","messages":[{"role":"system","content":"y"},{"role":"user","content":"x"}]}"#);
}

#[test]
fn fields_become_a_schema_that_strict_mode_takes() {
    let sent = |output: Value| {
        let body = body(json!({"template": "x", "output": output}), Inputs::default(), "{}").unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body["response_format"]["json_schema"].clone()
    };
    let schema = sent(output());
    assert_eq!(schema["strict"], true);
    assert_eq!(
        schema["schema"]["properties"].to_string(),
        concat!(
            r#"{"category":{"type":"string","enum":["bug","wish"]},"#,
            r#""score":{"type":"integer","minimum":0,"maximum":100},"#,
            r#""reason":{"type":["string","null"],"maxLength":20},"#,
            r#""tags":{"type":"array","items":{"type":"string"}}}"#
        )
    );
    let nested = sent(json!({"who": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^x"}}}}));
    assert_eq!(nested["strict"], true);
    assert_eq!(nested["schema"]["properties"]["who"]["additionalProperties"], false);
    assert_eq!(nested["schema"]["properties"]["who"]["required"], json!(["name"]));
    // Strict mode takes no object or array of just anything.
    assert_eq!(sent(json!({"any": {"type": "object"}}))["strict"], false);
    assert_eq!(sent(json!({"any": {"type": "array"}}))["strict"], false);
    let choice = sent(json!({"any": {"enum": [1, "a", 2], "nullable": true}}));
    assert_eq!(
        choice["schema"]["properties"]["any"],
        json!({"type": ["integer", "string", "null"], "enum": [1, "a", 2, null]})
    );
}

#[test]
fn what_decides_answers_is_the_identity_and_nothing_else() {
    let config = json!({"template": "x", "output": output(), "parameters": {"seed": 1}});
    let identity = handler(config.clone()).identity().to_string();
    assert_eq!(handler(config.clone()).identity().to_string(), identity);
    for (key, value) in [
        ("template", json!("y")),
        ("model", json!("other")),
        ("system", json!("be kind")),
        ("output", json!({"a": {"type": "string"}})),
        ("parameters", json!({"seed": 2})),
    ] {
        let mut other = config.clone();
        other[key] = value;
        assert_ne!(handler(other).identity().to_string(), identity, "{key}");
    }
    let inputs = Inputs { fields: Some(vec!["a".to_owned()]), require: Require::Any, ..Inputs::default() };
    assert_ne!(handler_with(config, inputs).identity().to_string(), identity);
}

proptest! {
    /// Whatever text stands in a record reaches the model as it is.
    #[test]
    fn any_text_reaches_the_model(text in any::<String>(), integer in any::<i128>(), float in any::<f64>()) {
        let record = format!("{{\"text\":{},\"i\":{integer},\"f\":{float:?}}}", Value::from(text.as_str()));
        prop_assume!(float.is_finite());
        let expected = format!("{text}|{integer}|{float:?}");
        prop_assert_eq!(asked("{{ text }}|{{ i }}|{{ f }}", &record), Ok(expected));
    }
}

#[test]
fn a_skip_is_of_the_kind_that_it_says() {
    let Err(Unplanned::Skip(reason, _)) = handler(json!({"template": "{{ a }}"})).plan(&record("{}")) else {
        panic!("the field is missing")
    };
    assert_eq!(reason, SkipReason::MissingField);
}

#[test]
fn a_missing_field_is_named_however_it_is_used() {
    let record = r#"{"a":"hello","l":[1,2],"o":{"x":1}}"#;
    for template in [
        "{% if amount is defined %}{{ amount }}{% endif %}{{ received[:10] }}",
        "{% set x = received %}\n{{ x }}",
        "{% for x in received %}{{ x }}{% endfor %}",
        "{% if a and received %}{% endif %}",
        "{{ 'x' + received }}",
        "{{ received.date[:10] }}",
        "{{ a[:received] }}",
        "{% set received = received|trim %}{{ received }}",
    ] {
        let said = asked(template, record).unwrap_err();
        let wanted = "missing_field: the template needs the field `received`, which";
        assert!(said.starts_with(wanted), "{template}: {said}");
    }
    for (template, expected) in [
        ("{{ a[:2] }}{{ l[1:] }}", Ok("he[2]")),
        ("{% set a = a|upper %}{{ a }}", Ok("HELLO")),
        ("{% for t in l %}{{ {'{': t}['{'] }}{% endfor %}{# {{ b }} #}", Ok("12")),
        ("{{ o.b.c }}", Err("the template needs `o.b` (its line 1), which the record does not have")),
        ("{% for t in l %}{{ t.name }}{% endfor %}", Err("the template needs `t.name` (its line 1)")),
    ] {
        match (asked(template, record), expected) {
            (Ok(found), expected) => assert_eq!(Ok(found.as_str()), expected, "{template}"),
            (Err(said), expected) => assert!(expected.is_err_and(|part| said.contains(part)), "{template}: {said}"),
        }
    }
}
