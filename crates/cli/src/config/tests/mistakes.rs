//! Each case is a file and all that is wrong in it, as `line:column+length message; help`.

use super::{STEP, sample};

#[track_caller]
fn check(text: &str, wanted: &[&str]) {
    let (value, _, diagnostics) = sample(text);
    let told: Vec<String> = diagnostics
        .iter()
        .map(|one| {
            let place = format!("{}:{}+{}", one.span.line, one.span.column, one.span.length);
            let help = one.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            format!("{place} {}{help}", one.message)
        })
        .collect();
    assert_eq!(told, wanted, "{text}");
    assert_eq!(value.is_some(), wanted.is_empty());
}

/// A file that has one step `a` with these keys.
fn step(keys: &str) -> String {
    format!("version: 1\nsteps:\n  a: {{ {keys} }}\n")
}

#[test]
fn right_files_have_no_mistakes() {
    check("version: 1", &[]);
    check("\u{feff}version: 1\r\nname: 名字\r\n", &[]);
    check("{\"version\": 1, \"steps\": {}}", &[]);
    check(&step(STEP), &[]);
    check("---\nversion: 1\n...\n", &[]);
    check(
        "version: 1\ncolour: { rgb: [1, 2, 3] }\nextra: { one_or_many: [a], shape: { kind: square, side: 2 }, pair: [1, x] }",
        &[],
    );
    check("version: 1\nextra: { by_number: { 1: a }, even: 2, anything: [1, { b: ~ }], one_or_many: { of: 1 } }", &[]);
    check("version: 1\ncolour: ~\nlimits: { width: ~, share: 1 }", &[]);
}

#[test]
fn an_unknown_key_gets_a_suggestion_or_the_list() {
    check("version: 1\nnmae: x", &["2:1+4 unknown key `nmae`; did you mean `name`?"]);
    check(
        "version: 1\nbananas: 3",
        &["2:1+7 unknown key `bananas`; the keys here are `version`, `name`, `steps`, `colour`, `limits` and `extra`"],
    );
    check(
        "verison: one",
        &[
            "1:1+7 unknown key `verison`; did you mean `version`?",
            "1:10+3 `version` must be a whole number, not the text `one`; for example `version: 1`",
        ],
    );
    check(
        "version: 1\nlimits:\n  max_width: 3\n  Strict: maybe",
        &[
            "3:3+9 unknown key `max_width` in `limits`; the keys here are `width`, `total`, `share`, `strict`, `wait` and `rate`",
            "4:3+6 unknown key `Strict` in `limits`; did you mean `strict`?",
            "4:11+5 `limits.strict` must be `true` or `false`, not the text `maybe`; for example `strict: true`",
        ],
    );
    check(
        &step("source: { jsonl: { path: a, pth: b } }, wrk: { prompt: { tempalte: t } }"),
        &[
            "3:36+3 unknown key `pth` in `steps.a.source.jsonl`; the only key here is `path`",
            "3:48+3 unknown key `wrk` in `steps.a`; did you mean `work`?",
            "3:65+8 unknown key `tempalte` in `steps.a.work.prompt`; did you mean `template`?",
        ],
    );
}

#[test]
fn a_missing_key_is_told_at_the_key_above() {
    check("name: x", &["1:1+1 missing key `version`; add `version: 1`: The version of this format"]);
    check(
        "version: 1\nsteps:\n  a:\n    fields: [b]",
        &[
            "3:3+1 missing key `source` in `steps.a`; add `source: { ... }`: A flattened enum beside ordinary keys, as `source: { jsonl: ..., require: all }`",
            "3:3+1 missing key `work` in `steps.a`; add `work: ...`: What is done with each record",
        ],
    );
    check(
        "version: 1\nsteps:\n  a: { source: { jsonl: {} }, work: { prompt: { model: m } } }",
        &[
            "3:18+5 missing key `path` in `steps.a.source.jsonl`; add `path: ...`",
            "3:39+6 missing key `template` in `steps.a.work.prompt`; add `template: ...`",
        ],
    );
}

#[test]
fn a_wrong_type_says_what_was_found_and_what_to_write() {
    check("version: one", &["1:10+3 `version` must be a whole number, not the text `one`; for example `version: 1`"]);
    check("version: \"1\"", &["1:10+3 `version` must be a whole number, not the text `1`; write `version: 1`"]);
    check("version: 1.0", &["1:10+3 `version` must be a whole number, not the number 1.0; write `version: 1`"]);
    check(
        "version: 1\nname: 007",
        &[r#"2:7+3 `name` must be a text, not the number 007; put it in quotes: `name: "007"`"#],
    );
    check("version: 1\nsteps:", &["2:1+5 `steps` must be a map, but is empty; for example `steps: { ... }`"]);
    check("version: 1\nsteps: []", &["2:8+1 `steps` must be a map, not a list; for example `steps: { ... }`"]);
    check(
        "version: 1\nlimits: { strict: yes, total: 1_000, share: \"0.5\" }",
        &[
            "2:19+3 `limits.strict` must be `true` or `false`, not the text `yes`; write `strict: true`",
            "2:31+5 `limits.total` must be a whole number, not the text `1_000`; write `total: 1000`",
            "2:45+6 `limits.share` must be a number, not the text `0.5`; write `share: 0.5`",
        ],
    );
    check(
        "version: 1\nlimits: { strict: 3, width: many, share: .inf }",
        &[
            "2:19+1 `limits.strict` must be `true` or `false`, not the number 3; for example `strict: true`",
            "2:29+4 `limits.width` must be a whole number, not the text `many`; for example `width: 1`",
            "2:42+4 `limits.share` must be a number, not the text `.inf`; for example `share: 0.5`",
        ],
    );
    check(
        &step("source: { jsonl: { path: a } }, work: { prompt: { template: t } }, fields: subject"),
        &["3:83+7 `steps.a.fields` must be a list, not the text `subject`; write a list: `fields: [subject]`"],
    );
    check(
        &step("source: { jsonl: { path: a } }, work: { prompt: { template: t } }, fields: [a, 2, ~]"),
        &[
            r#"3:87+1 `steps.a.fields[1]` must be a text, not the number 2; put it in quotes: `"2"`"#,
            "3:90+1 `steps.a.fields[2]` must be a text, not `~`",
        ],
    );
    check("", &["1:1+1 the file must be a map, but is empty"]);
    check("just text", &["1:1+9 the file must be a map, not the text `just text`"]);
}

#[test]
fn a_value_out_of_range_says_the_range() {
    check("version: 2", &["1:10+1 `version` must be 1, not 2"]);
    check(
        "version: 1\nlimits: { width: 0, rate: 0 }",
        &["2:18+1 `limits.width` must be from 1 to 4096, not 0", "2:27+1 `limits.rate` must be more than 0, not 0"],
    );
    check(
        "version: 1\nlimits:\n  width: 70000\n  total: -1",
        &["3:10+5 `limits.width` must be from 1 to 4096, not 70000", "4:10+2 `limits.total` must be 0 or more, not -1"],
    );
    check(
        "version: 1\nlimits: { total: 18446744073709551616 }",
        &["2:18+20 `limits.total` must be 18446744073709551615 or less, not 18446744073709551616"],
    );
    check("version: 1\nname: \"\"", &["2:7+2 `name` must not be empty"]);
    check(
        "version: 1\nname: 一二三四五六七八九十一二三四五六七八九十一",
        &["2:7+21 `name` must have at most 20 characters, not 21"],
    );
    check(
        "version: 1\nlimits: { wait: 2 seconds }",
        &["2:17+9 `limits.wait` cannot be the text `2 seconds`; for example `wait: 2s`"],
    );
    check(
        "version: 1\ncolour: { rgb: [1, 2] }\nextra: { words: [a, b, a], pair: [1] }",
        &[
            "2:16+1 `colour.rgb` must have 3 items, not 2",
            "3:24+1 `extra.words` holds the text `a` twice",
            "3:34+1 `extra.pair` must have 2 items, not 1",
        ],
    );
    check("version: 1\ncolour: { rgb: [1, 2, 300] }", &["2:23+3 `colour.rgb[2]` must be from 0 to 255, not 300"]);
    check(
        &format!("version: 1\nsteps: {{ a: {{ {STEP} }}, b: {{ {STEP} }}, c: {{ {STEP} }} }}"),
        &["2:8+2 `steps` must have at most 2 keys, not 3"],
    );
}

#[test]
fn an_enum_names_its_values_and_branches() {
    check("version: 1\ncolour: gren", &["2:9+4 `colour` cannot be the text `gren`; did you mean `green`?"]);
    check("version: 1\ncolour: mauve", &["2:9+5 `colour` cannot be the text `mauve`; it is one of `red` or `green`"]);
    check("version: 1\ncolour: GREEN", &["2:9+5 `colour` cannot be the text `GREEN`; did you mean `green`?"]);
    check(
        "version: 1\ncolour: rgb",
        &["2:9+3 `colour` says `rgb` but not what belongs to it; write `colour: { rgb: ... }`"],
    );
    check(
        "version: 1\ncolour: 3",
        &[
            "2:9+1 `colour` needs exactly one of: `rgb`, `red` or `green`; write `colour: { rgb: ... }`; here stands the number 3",
        ],
    );
    check(
        "version: 1\ncolour: { rbg: [1, 2, x] }",
        &[
            "2:11+3 unknown key `rbg` in `colour`; did you mean `rgb`?",
            "2:23+1 `colour.rgb[2]` must be a whole number, not the text `x`",
        ],
    );
    check("version: 1\ncolour: { hsl: 3 }", &["2:11+3 unknown key `hsl` in `colour`; the only key here is `rgb`"]);
    check("version: 1\ncolour: {}", &["2:1+6 `colour` needs exactly one of: `rgb`"]);
    check(
        &step("source: { require: all }, work: { prompt: { template: t } }"),
        &["3:8+6 `steps.a.source` needs exactly one of: `jsonl` or `csv`"],
    );
    check(
        &step("source: { jsonl: { path: a }, csv: { path: 3 } }, work: {}"),
        &[
            "3:38+3 `steps.a.source` has both `jsonl` and `csv`; it needs exactly one of: `jsonl` or `csv`",
            r#"3:51+1 `steps.a.source.csv.path` must be a text, not the number 3; put it in quotes: `path: "3"`"#,
            "3:58+4 `steps.a.work` needs exactly one of: `prompt`",
        ],
    );
    check(
        &step("source: { jsnol: { path: 3 }, require: al }, work: { prompt: { template: t, modle: 3 } }"),
        &[
            "3:18+5 unknown key `jsnol` in `steps.a.source`; did you mean `jsonl`?",
            r#"3:33+1 `steps.a.source.jsonl.path` must be a text, not the number 3; put it in quotes: `path: "3"`"#,
            "3:47+2 `steps.a.source.require` cannot be the text `al`; did you mean `all`?",
            "3:84+5 unknown key `modle` in `steps.a.work.prompt`; did you mean `model`?",
            r#"3:91+1 `steps.a.work.prompt.model` must be a text, not the number 3; put it in quotes: `model: "3"`"#,
        ],
    );
    check(
        &step("source: { parquet: { path: a } }, work: { agent: {} }"),
        &[
            "3:8+6 `steps.a.source` needs exactly one of: `jsonl` or `csv`",
            "3:18+7 unknown key `parquet` in `steps.a.source`; the keys here are `require`, `jsonl` and `csv`",
            "3:50+5 unknown key `agent` in `steps.a.work`; the only key here is `prompt`",
        ],
    );
    check(
        &step("source: jsonl, work: prompt"),
        &[
            "3:16+5 `steps.a.source` says `jsonl` but not what belongs to it; write `source: { jsonl: ... }`",
            "3:29+6 `steps.a.work` says `prompt` but not what belongs to it; write `work: { prompt: ... }`",
        ],
    );
    check(
        &step("source: [], work:"),
        &[
            "3:16+1 `steps.a.source` needs exactly one of: `jsonl` or `csv`; write `source: { jsonl: ... }`; here stands a list",
            "3:20+4 `steps.a.work` needs exactly one of: `prompt`; write `work: { prompt: ... }`; here stands nothing",
        ],
    );
}

#[test]
fn other_forms_of_enums_are_understood() {
    check(
        "version: 1\nextra: { shape: { kind: circel, radius: 1 } }",
        &["2:25+6 `extra.shape.kind` cannot be the text `circel`; did you mean `circle`?"],
    );
    check(
        "version: 1\nextra: { shape: { radius: 1 } }",
        &["2:10+5 missing key `kind` in `extra.shape`; it is one of `circle` or `square`"],
    );
    check(
        "version: 1\nextra: { shape: { kind: circle, side: 1 } }",
        &[
            "2:10+5 missing key `radius` in `extra.shape`; add `radius: 0.5`",
            "2:33+4 unknown key `side` in `extra.shape`; the keys here are `kind` and `radius`",
        ],
    );
    check(
        "version: 1\nextra: { shape: circle }",
        &["2:17+6 `extra.shape` says `circle` but not what belongs to it; write `shape: { kind: circle, ... }`"],
    );
    check(
        "version: 1\nextra: { one_or_many: 3 }",
        &[
            r#"2:23+1 `extra.one_or_many` must be a text or a list or a map, not the number 3; put it in quotes: `one_or_many: "3"`"#,
        ],
    );
    check(
        "version: 1\nextra: { one_or_many: [a, 3] }",
        &[r#"2:27+1 `extra.one_or_many[1]` must be a text, not the number 3; put it in quotes: `"3"`"#],
    );
    check(
        "version: 1\nextra: { one_or_many: { off: 3 } }",
        &["2:25+3 unknown key `off` in `extra.one_or_many`; did you mean `of`?"],
    );
    check(
        "version: 1\nextra: { by_number: { one: a } }",
        &[r#"2:23+3 unknown key `one` in `extra.by_number`; the keys here match `^\d+$`"#],
    );
}

#[test]
fn what_only_serde_knows_still_has_a_place() {
    check("version: 1\nextra:\n  even: 3", &["3:9+1 `extra.even`: 3 is odd"]);
    check(
        "version: 1\nextra: { by_number: { 999: a } }",
        &["2:28+1 `extra.by_number.999`: invalid value: integer `999`, expected u8"],
    );
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    check("version: 1\n\tname: x", &["2:1+1 not valid YAML: a tab in the indentation; indent with spaces"]);
    check(
        "version: 1\nname: a: b",
        &[
            "2:8+1 not valid YAML: mapping values are not allowed in this context; check the indentation; a text that contains `: ` needs quotes",
        ],
    );
    check("version: [1", &["1:12+1 not valid YAML: while parsing a flow sequence, expected ',' or ']'"]);
    check(
        "version: 1\nname: \"x",
        &["2:7+1 not valid YAML: while scanning a quoted scalar, found unexpected end of stream"],
    );
    check(
        "version: 1\nname: {{ a }}",
        &[
            "2:7+1 `name` must be a text, not a map",
            "2:8+2 a key must be a text, not a list or a map; if this is a template such as `{{ name }}`, put it in quotes",
        ],
    );
    check(
        "version: 1\nname: {{ a }} b",
        &[
            "2:8+2 a key must be a text, not a list or a map; if this is a template such as `{{ name }}`, put it in quotes",
            "2:15+1 not valid YAML: while parsing a block mapping, did not find expected key; put a template in quotes, or in a block after `|`",
        ],
    );
    check("version: 1\nname: *nobody", &["2:7+1 not valid YAML: while parsing node, found unknown anchor"]);
    check(
        "version: 1\n---\nversion: 2",
        &["2:1+3 the file holds more than one YAML document; remove the `---` between them, or make two files"],
    );
    check(
        "version: 1\nname: a\nname: b\nlimits: { width: 1, width: 2 }",
        &[
            "3:1+4 the key `name` occurs twice; the first is on line 2",
            "4:21+5 the key `width` occurs twice; the first is on line 4",
        ],
    );
    check(
        "version: 1\n? [a]\n: b",
        &[
            "2:3+1 a key must be a text, not a list or a map; if this is a template such as `{{ name }}`, put it in quotes",
        ],
    );
    check(
        "version: 1\nname: !secret x",
        &["2:7+9 tags such as `!secret` mean nothing here; remove it; for a text that begins with `!`, use quotes"],
    );
    check("version: 1\nextra: &e { anything: *e }", &["2:23+2 an alias cannot stand inside of what it refers to"]);
    check(
        "version: 1\nlimits: { <<: 3 }",
        &["2:15+1 `<<` merges a map or a list of maps; write `<<: *name`, where `&name` marks a map"],
    );
    check(
        "version: 1\r\nnam: x\r\nbananas: 1\r\n",
        &[
            "2:1+3 unknown key `nam`; did you mean `name`?",
            "3:1+7 unknown key `bananas`; the keys here are `version`, `name`, `steps`, `colour`, `limits` and `extra`",
        ],
    );
    check("version: 1\rnam: x", &["2:1+3 unknown key `nam`; did you mean `name`?"]);
    check(
        "版本: 1\nversion: 1",
        &["1:1+2 unknown key `版本`; the keys here are `version`, `name`, `steps`, `colour`, `limits` and `extra`"],
    );
    check(
        "version: 1\nname: |\n  {{ a }}\n   b\nnam: x",
        &["5:1+3 unknown key `nam`; the keys here are `version`, `name`, `steps`, `colour`, `limits` and `extra`"],
    );
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    check(
        "version: 3
nam: x
steps:
  label:
    source: { jsonl: { pth: 5 } }
    fields: subject
    work:
      promt:
        template: 5
        modell: x
limits: &l
  width: 0
  strict: on
colour: gren
extra: { anything: *l, pair: *l }
",
        &[
            "1:10+1 `version` must be 1, not 3",
            "2:1+3 unknown key `nam`; did you mean `name`?",
            "5:24+3 unknown key `pth` in `steps.label.source.jsonl`; did you mean `path`?",
            r#"5:29+1 `steps.label.source.jsonl.path` must be a text, not the number 5; put it in quotes: `path: "5"`"#,
            "6:13+7 `steps.label.fields` must be a list, not the text `subject`; write a list: `fields: [subject]`",
            "8:7+5 unknown key `promt` in `steps.label.work`; did you mean `prompt`?",
            r#"9:19+1 `steps.label.work.prompt.template` must be a text, not the number 5; put it in quotes: `template: "5"`"#,
            "10:9+6 unknown key `modell` in `steps.label.work.prompt`; did you mean `model`?",
            "11:9+2 `extra.pair` must be a list, not a map; for example `pair: [...]`",
            "12:10+1 `limits.width` must be from 1 to 4096, not 0",
            "13:11+2 `limits.strict` must be `true` or `false`, not the text `on`; write `strict: true`",
            "14:9+4 `colour` cannot be the text `gren`; did you mean `green`?",
        ],
    );
}
