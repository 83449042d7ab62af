//! What conditions mean.

use proptest::prelude::*;
use serde_json::{Value as Json, json, value::RawValue};

use super::{super::value_of, *};

/// A record that only the engine looks into.
fn record(fields: &Json) -> Value {
    value_of(&raw(fields)).unwrap()
}

/// A record as filters see it: conditions that need no engine are decided without it.
fn named(fields: &Json) -> Value {
    let fields = fields.as_object().unwrap().iter();
    Value::from_object(Named(
        fields.map(|(name, value)| (name.as_str().into(), value_of(&raw(value)).unwrap())).collect(),
    ))
}

fn raw(value: &Json) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

/// Returns what an expression is, which must be the same with and without the engine.
fn truth(text: &str, fields: &Json) -> Result<bool, String> {
    let expression = Expression::new(text)?;
    let is_true = expression.is_true(&named(fields));
    assert_eq!(is_true, expression.is_true(&record(fields)), "{text}");
    is_true
}

#[test]
fn a_condition_means_what_it_says_whether_numbers_stand_as_text_or_not() {
    let fields = json!({
        "n": 10, "t": "10", "nine": "9", "f": "1.10", "word": "n/a", "blank": "", "nothing": null, "lang": "zh",
        "yes": "TRUE", "list": [1, 2], "o": {"x": "7"}, "big": "12345678901234567890123"
    });
    for (text, expected) in [
        ("n > 3", true),
        ("t > 3", true),
        ("t > 11", false),
        ("3 < t", true),
        ("t == 10", true),
        ("t != 10", false),
        ("n == '10'", true),
        ("t > nine", true),
        ("f == 1.1", true),
        ("f >= 1.1 and f <= 1.2", true),
        ("word > 3", false),
        ("word < 3", false),
        ("word == 3", false),
        ("word != 3", true),
        ("blank < 3", false),
        ("nothing < 3", false),
        ("missing < 3", false),
        ("missing > 3", false),
        ("missing.deep.down == 1", false),
        ("not missing", true),
        ("missing is defined", false),
        ("missing is not defined and t is defined", true),
        ("lang == 'zh' and t > 3", true),
        ("lang == 'en' or not t > 11", true),
        ("(t > 3) == true", true),
        ("yes == true", true),
        ("lang in ['zh', 'en']", true),
        ("lang not in ['zh'] or t>3", true),
        ("t|int + 1 > 10", true),
        ("t|length > 1", true),
        ("o.x > 6 and o['x'] < 8", true),
        ("list[0] == 1 and list|length == 2", true),
        ("'a > b' == lang or \"x\\\" > \" != lang", true),
        ("(1 if t > 3 else 0) == 1", true),
        ("list|select('>', 1)|list|length == 1", true),
        ("lang is eq('zh')", true),
        ("{'a': t > 3}.a", true),
        ("big > 12345678901234567890122", true),
        ("lang > 'a'", true),
        ("record_json is defined", false),
        ("9 < t < 11", true),
        ("9 < t < nine", false),
        ("3 < t == 10 <= n", true),
        ("(lang in ['zh']) == yes", true),
        ("2 in list == true", false),
    ] {
        assert_eq!(truth(text, &fields), Ok(expected), "{text}");
    }
}

#[test]
fn a_condition_that_only_compares_needs_no_engine() {
    let names = ["n", "t", "word", "字"];
    for (text, needs_none) in [
        ("n >= 0", true),
        ("not (n < 1.5 or t == 'a') and word", true),
        ("-3 < n <= - 4 != none", true),
        ("n == true or word == \"x y\"", true),
        ("n", true),
        ("字 == '中' and n < 3", true),
        ("(n) > 3", false),
        ("(n > 3) == true", false),
        ("n + 1 > 3", false),
        ("n.x > 3", false),
        ("n in [1]", false),
        ("n is defined", false),
        ("word|length > 3", false),
        ("word == 'a\\'b'", false),
        ("word == 'a' 'b'", false),
        ("n > 1e3", false),
        ("n > 1_000", false),
        ("n > 12345678901234567890", false),
        ("range > 3", false),
        ("n if t else word", false),
    ] {
        assert_eq!(Condition::read(text, &names).is_some(), needs_none, "{text}");
    }
}

#[test]
fn a_mistake_is_told_before_there_is_a_record() {
    for (text, expected) in [
        (" ", "the expression is empty"),
        ("a >", "unexpected end of input, expected expression"),
        ("a = 3", "unexpected input after expression; write `==` to compare"),
        ("a == '中' 且 b", "unexpected input after expression"),
        ("a == “x”", "`“` has no meaning here: quotes and marks are those of ASCII"),
        ("(a == 'x' && b)", "unexpected end of input, expected `)`; write `and` instead of `&&`"),
        ("a %}{% if b", "unexpected `}`"),
        ("a|uper > 3", "unknown filter: filter uper is unknown"),
        ("a.startswith('x')", "values have no method `startswith`; filters do such things, as in `{{ text|trim }}`"),
    ] {
        assert_eq!(Expression::new(text).map(|_| ()).unwrap_err(), expected, "{text}");
    }
}

/// Conditions that need no engine, over fields of any kind.
fn comparison() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        prop::sample::select(vec!["a", "b", "c", "missing"]).prop_map(str::to_owned),
        prop::sample::select(vec!["true", "none", "'2'", "\"x\"", "''", "2", "-1", "1.5", "0"]).prop_map(str::to_owned),
    ];
    let operator = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let compared = (operand.clone(), prop::collection::vec((operator, operand), 0..3))
        .prop_map(|(first, rest)| rest.iter().fold(first, |all, (operator, next)| format!("{all} {operator} {next}")));
    compared.prop_recursive(3, 16, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(one, other)| format!("{one} and {other}")),
            two.prop_map(|(one, other)| format!("{one} or {other}")),
            inner.clone().prop_map(|one| format!("not {one}")),
            inner.prop_map(|one| format!("({one})")),
        ]
    })
}

fn field() -> impl Strategy<Value = Json> {
    prop::sample::select(vec![
        json!(2),
        json!(-1),
        json!(1.5),
        json!("2"),
        json!(" 2.0 "),
        json!("x"),
        json!(""),
        json!("TRUE"),
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!([2]),
        json!({"x": 2}),
        json!(12345678901234567890_u64),
    ])
}

/// Conditions over the numbers `a`, `b` and the list of numbers `l`.
fn condition() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        (0..5_i32).prop_map(|n| n.to_string()),
        Just("-a".to_owned()),
        Just("a + b".to_owned()),
        Just("l|length".to_owned()),
        Just("l[0] * 2".to_owned()),
        Just("(b)".to_owned()),
        Just("[a, b]|max".to_owned()),
    ];
    let operator = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
    let compared = (operand.clone(), prop::collection::vec((operator, operand.clone()), 0..3))
        .prop_map(|(first, rest)| rest.iter().fold(first, |all, (operator, next)| format!("{all} {operator} {next}")));
    let within = (operand, any::<bool>()).prop_map(|(one, is)| format!("{one} {}in l", if is { "" } else { "not " }));
    let leaf = prop_oneof![4 => compared, 1 => within, 1 => Just("(a is defined)".to_owned()), 1 => Just("('<' is not none)".to_owned())];
    leaf.prop_recursive(3, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(one, other)| format!("{one} and {other}")),
            two.clone().prop_map(|(one, other)| format!("{one} or {other}")),
            inner.clone().prop_map(|one| format!("not {one}")),
            inner.clone().prop_map(|one| format!("({one})")),
            two.prop_map(|(one, other)| format!("({one}) == ({other})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(one, other, third)| format!("({one} if {other} else {third})")),
        ]
    })
}

proptest! {
    /// What is decided without the engine is decided as with it.
    #[test]
    fn a_comparison_is_the_same_with_and_without_the_engine(text in comparison(), a in field(), b in field(), c in field()) {
        let fields = json!({"a": a, "b": b, "c": c});
        let expression = Expression::new(&text).unwrap();
        prop_assert_eq!(expression.is_true(&named(&fields)), expression.is_true(&record(&fields)), "{}", text);
    }

    /// Of numbers an expression says what the engine says, however its comparisons are rewritten.
    #[test]
    fn numbers_are_compared_as_the_engine_compares_them(text in condition(), a in 0..5, b in -2..5) {
        let fields = record(&json!({"a": a, "b": b, "l": [a, 3]}));
        let engines = environment().compile_expression(&text).unwrap().eval(&fields).unwrap().is_true();
        prop_assert_eq!(Expression::new(&text).unwrap().is_true(&fields), Ok(engines), "{}", text);
        let named = named(&json!({"a": a, "b": b, "l": [a, 3]}));
        prop_assert_eq!(Expression::new(&text).unwrap().is_true(&named), Ok(engines), "{}", text);
    }

    /// Whatever is written where an expression belongs, it is one or is told to be none.
    #[test]
    fn any_text_is_an_expression_or_is_told_to_be_none(text in "[ab39'\"=<>!&|(){}\\[\\]%#.,: \\\\é]{0,16}") {
        if let Ok(expression) = Expression::new(&text) {
            let fields = record(&json!({"a": 1, "b": "x"}));
            let _ = (expression.is_true(&fields), expression.json(&fields));
        }
    }
}

#[test]
fn a_value_is_json_and_what_is_missing_is_none() {
    let fields = record(&json!({"tags": ["b", "a"], "n": 3}));
    let value = |text: &str| Expression::new(text).unwrap().json(&fields);
    assert_eq!(value("tags|sort").as_deref(), Ok(r#"["a","b"]"#));
    assert_eq!(value("n > 2").as_deref(), Ok("true"));
    assert_eq!(value("{'n': n + 1, 'x': none}").as_deref(), Ok(r#"{"n":4,"x":null}"#));
    assert_eq!(value("tags|join('-')").as_deref(), Ok(r#""b-a""#));
    assert!(value("m").unwrap_err().contains("has no value"));
}
