//! What people see, whole.

use serde_json::json;

use super::sample;

#[track_caller]
fn check(text: &str, wanted: &str) {
    let (_, _, diagnostics) = sample(text);
    let told: String = diagnostics.iter().map(|one| one.render(false)).collect();
    assert_eq!(told, wanted, "\n{told}");
}

#[test]
fn a_mistake_is_shown_in_its_line_with_a_caret() {
    check(
        "version: 1\nsteps:\n  a:\n    sourse: {}\n",
        "\
error: missing key `work` in `steps.a`
 --> p.yaml:3:3
  |
3 |   a:
  |   ^
  = help: add `work: ...`: What is done with each record
error: unknown key `sourse` in `steps.a`
 --> p.yaml:4:5
  |
4 |     sourse: {}
  |     ^^^^^^
  = help: did you mean `source`?
error: `steps.a.source` needs exactly one of: `jsonl` or `csv`
 --> p.yaml:4:5
  |
4 |     sourse: {}
  |     ^^^^^^
",
    );
}

#[test]
fn chinese_takes_two_columns_on_the_screen_and_counts_as_one() {
    check(
        "version: 1\nextra: { anything: 客户消息, wrods: [一, 二] }",
        "\
error: unknown key `wrods` in `extra`
 --> p.yaml:2:26
  |
2 | extra: { anything: 客户消息, wrods: [一, 二] }
  |                              ^^^^^
  = help: did you mean `words`?
",
    );
    check(
        "version: 1\ncolour: 绿色",
        "\
error: `colour` cannot be the text `绿色`
 --> p.yaml:2:9
  |
2 | colour: 绿色
  |         ^^^^
  = help: it is one of `red` or `green`
",
    );
}

#[test]
fn a_tab_counts_as_one_and_is_shown_as_four() {
    check(
        "version: 1\r\nname:\t[a]\r\n",
        "\
error: `name` must be a text, not a list
 --> p.yaml:2:7
  |
2 | name:    [a]
  |          ^
",
    );
}

#[test]
fn line_numbers_of_two_digits_move_the_margin() {
    check(
        "version: 1\n\n\n\n\n\n\n\n\nnam: x",
        "\
error: unknown key `nam`
  --> p.yaml:10:1
   |
10 | nam: x
   | ^^^
   = help: did you mean `name`?
",
    );
}

#[test]
fn a_long_line_is_shown_in_part() {
    let text =
        format!("{{ version: 1, extra: {{ anything: {} }}, nam: x, colour: {} }}", "字".repeat(500), "y".repeat(200));
    let (_, _, diagnostics) = sample(&text);
    let told = diagnostics[0].render(false);
    assert!(told.lines().all(|line| line.chars().count() < 140), "{told}");
    let (line, caret) = (told.lines().nth(3).unwrap(), told.lines().nth(4).unwrap());
    let before = line.split("nam:").next().unwrap();
    let columns: usize = before.chars().map(|c| if c == '字' { 2 } else { 1 }).sum();
    assert_eq!(caret.find('^'), Some(columns), "{told}");
}

#[test]
fn a_file_cannot_steer_the_terminal() {
    let (_, _, diagnostics) = sample("version: 1\ncolour: \"\\e[31m\u{9b}2J\"\nname: \"\u{7}\u{1b}\"\nx\u{9b}: 1");
    let told: String = diagnostics.iter().map(|one| one.render(false)).collect();
    assert!(!told.is_empty() && !told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
}

#[test]
fn colour_comes_only_when_asked_for() {
    let (_, document, diagnostics) = sample("version: 2");
    assert!(diagnostics[0].render(true).starts_with("\x1b[1;31merror\x1b[0m: "));
    let warning = document.warning(document.at(&["version"]), "old");
    assert!(warning.render(false).starts_with("warning: old\n --> p.yaml:1:10\n"));
}

#[test]
fn programs_get_json() {
    let (_, _, diagnostics) = sample("version: 1\nnam: x");
    assert_eq!(
        diagnostics[0].to_json(),
        json!({
            "file": "p.yaml", "line": 2, "column": 1, "length": 3,
            "severity": "error", "message": "unknown key `nam`", "help": "did you mean `name`?",
        })
    );
}
