//! What people really type: each file has one slip, and is told that one.

use super::sample;

/// The first thing that is told of a file, as `line:column message; help`.
fn told(text: &str) -> String {
    let (_, _, diagnostics) = sample(text);
    let first = diagnostics.first().unwrap_or_else(|| panic!("nothing is wrong with {text}"));
    let help = first.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{}:{} {}{help}", first.span.line, first.span.column, first.message)
}

#[test]
fn a_slip_is_told_in_the_words_of_whoever_made_it() {
    for (text, wanted) in [
        (
            "version: 1\nname：x\nsteps: {}",
            "2:5 not valid YAML: a full-width colon is none; `：` is a full-width character",
        ),
        ("version: 1\nlimits: { width: 1，total: 2 }", "2:19 not valid YAML: a full-width comma is none; `，`"),
        ("version: 1\nname:x\nsteps: {}", "2:5 not valid YAML: a colon without a space behind it"),
        ("version: 1\nname: “x”", "2:7 full-width quotes do not quote"),
        ("version: 1\nextra: { one_or_many: [a，b] }", "2:24 a full-width comma parts no items"),
        ("version: 1\nextra: { one_or_many: ['a，b'], even: 3 }", "2:38 `extra.even`: 3 is odd"),
        (
            "version: 1\ncolour: \"C:\\data\"",
            "2:9 not valid YAML: `\\` begins an escape in double quotes; write a path",
        ),
        (
            "version: 1\nlimits:\n    width: 1\n  total: 2",
            "4:3 not valid YAML: the indentation fits nowhere: this line begins in column 3; keys of one level begin in one \
             column: beside `width` in column 5, or beside `limits` in column 1",
        ),
        (
            "version: 1\nlimits:\n  width: 1\n\u{3000}total: 2\n  share: 1\n",
            "4:1 not valid YAML: the indentation holds a full-width",
        ),
        ("version: 1\nlimits:\n  \u{a0}width: 1", "a full-width or non-breaking space stands before it"),
        ("version: 1\nlimits: { width：1 }", "`：` is a full-width character; write `:` and a space"),
        ("{\"version\": 1}\n{\"version\": 1}", "this looks like data"),
        ("version: 1\ncolour: { rgb: 【1, 2, 3】 }", "full-width brackets are part of a text"),
    ] {
        let told = told(text);
        assert!(told.contains(wanted), "{text}\n{told}\n{wanted}");
    }
}

#[test]
fn a_name_that_other_tools_give_is_understood() {
    use super::super::slips::{elsewhere, synonym};
    for (theirs, ours, names) in [
        ("base_url", Some("url"), &["url", "headers"][..]),
        ("api_key", Some("key"), &["name", "key"]),
        ("Concurrency", Some("max_in_flight"), &["max_in_flight", "deadline"]),
        ("int", Some("integer"), &["string", "integer"]),
        ("concurrency", None, &["url"]),
        ("unheard_of", None, &["url"]),
    ] {
        assert_eq!(synonym(theirs, names), ours, "{theirs}");
    }
    assert!(elsewhere("temperature", &["parameters"]).is_some_and(|help| help.contains("parameters: { temperature:")));
    assert!(elsewhere("xls", &["jsonl", "excel"]).is_some_and(|help| help.contains(".xlsx")));
    assert_eq!(elsewhere("temperature", &["path"]), None);
}
