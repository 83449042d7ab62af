//! How sentences are found and put together.

use std::collections::HashMap;

use super::{super::template, pairs, words};

fn chinese(text: &str) -> String {
    super::super::chinese().translate(text).into_owned()
}

#[test]
fn a_sentence_is_found_with_what_stands_in_it() {
    let words = words(&[
        ("run {id}: begins", "运行 {id}：开始"),
        ("cannot read `{}`: {error}", "无法读取 `{}`：{error}"),
        ("permission denied", "没有权限"),
        ("{#n} records", "{n} 条记录"),
    ]);
    for (english, chinese) in [
        ("run x-1: begins", "运行 x-1：开始"),
        ("cannot read `a`: permission denied", "无法读取 `a`：没有权限"),
        ("cannot read `permission denied`: no 7", "无法读取 `permission denied`：no 7"),
        ("1,319 records", "1,319 条记录"),
        ("many records", "many records"),
        ("  1,319 records", "  1,319 条记录"),
    ] {
        assert_eq!(words.translate(english), chinese);
    }
}

#[test]
fn the_sentence_that_says_most_is_meant() {
    let words = words(&[
        ("{a}: {b}", "{a}＝{b}"),
        ("the file {a}: {b}", "文件{a}：{b}"),
        ("the file {a}: it is gone", "文件{a}不见了"),
    ]);
    assert_eq!(words.translate("the file x: it is gone"), "文件 x 不见了");
    assert_eq!(words.translate("the file x: it is there"), "文件 x：it is there");
}

#[test]
fn parts_that_are_known_are_translated_and_the_rest_stays() {
    let words = words(&[("{#} in flight", "在途 {}"), ("{#} retried", "重试 {}"), ("stopping", "正在停止")]);
    assert_eq!(
        words.translate("label: 7/9, 64 in flight, 0 retried; stopping"),
        "label：7/9，在途 64，重试 0；正在停止"
    );
    assert_eq!(words.translate("nothing of this is known, really"), "nothing of this is known, really");
    assert_eq!(words.translate("`64 in flight, 0 retried`"), "`64 in flight, 0 retried`", "names are names");
}

#[test]
fn a_line_is_a_line() {
    let words = words(&[
        ("Usage: {}", "用法：{=0}"),
        ("more with '{}'", "详见 '{}'"),
        ("{a}\nAll of it, {b}", "{a}\n全部，{b}"),
    ]);
    assert_eq!(words.translate("Usage: x y\n\nmore with '--help'\n"), "用法：x y\n\n详见 '--help'\n");
    assert_eq!(words.translate("one\nAll of it, x"), "one\n全部，x");
}

#[test]
fn a_name_of_one_word_is_never_translated_by_accident() {
    let words =
        words(&[("step {name}: {} records", "步骤 {name}：{0} 条记录"), ("done", "完成"), ("state {}", "状态 {~0}")]);
    assert_eq!(words.translate("step done: 7 records"), "步骤 done：7 条记录");
    assert_eq!(words.translate("state done"), "状态 完成");
}

#[test]
fn what_a_vendor_said_stays_as_it_was_said() {
    let text = "unauthorized: `m`: status 401: cannot read the key; it is empty. Go away, 3 records (no such key)";
    let said = chinese(text);
    assert!(said.ends_with("状态码 401：cannot read the key; it is empty. Go away, 3 records (no such key)"), "{said}");
}

#[test]
fn a_column_keeps_its_width() {
    let words = words(&[("{} {} {} settled", "{=0} {~1} {2} 已落定"), ("done", "完成")]);
    assert_eq!(words.translate("first      done         320 settled"), "first      完成         320 已落定");
}

#[test]
fn an_error_with_its_causes_comes_out_whole() {
    for (english, wanted) in [
        (
            "error: cannot read the pipeline file `x.yaml`: No such file or directory (os error 2); see `tidemill run --help`, and examples/quickstart for a first one",
            "错误：无法读取流水线文件 `x.yaml`：没有这个文件或目录 (os error 2)；用法见 `tidemill run --help`，第一个例子见 examples/quickstart",
        ),
        (
            "label: 1,319/2,638 (50.0 %), 660/s, 64 in flight, 0 retried, 3 failed (timeout); waiting: the model asked us to slow down",
            "label：1,319/2,638 (50.0 %)，660/s，在途 64，重试 0，失败 3（timeout）；等待：被上游限流",
        ),
        (
            "step label: 320 records: 318 succeeded, 2 failed (invalid_output 1, timeout 1)",
            "步骤 label：320 条记录：成功 318，失败 2（invalid_output 1, timeout 1）",
        ),
        (
            "stopped: unauthorized: `m`: status 401: the API key is not valid (invalid_api_key)\nEverything settled is safe (0 records). When that is mended: tidemill run pipeline.yaml",
            "已停止：unauthorized: `m`：状态码 401：the API key is not valid (invalid_api_key)\n已落定的都是安全的（0 条记录）。解决之后运行：tidemill run pipeline.yaml",
        ),
    ] {
        assert_eq!(chinese(english), wanted);
    }
}

/// Both sides of a pair name the same values; a translation that forgets one would lose it.
#[test]
fn no_translation_loses_a_value() {
    let holes = |text: &str| {
        let holes = template::pieces(text).into_iter().filter_map(|piece| match piece {
            template::Piece::Hole(hole) => Some(hole.name),
            template::Piece::Literal(_) => None,
        });
        let mut holes: Vec<String> = holes.collect();
        holes.sort();
        holes
    };
    for (english, chinese) in pairs() {
        let (ours, mut theirs) = (holes(&english), holes(&chinese));
        theirs.dedup();
        // A word in the plural, or an ending of the path, may have no counterpart: those pairs are listed in the catalogue
        // with fewer holes on purpose, never with a hole that has no value.
        for hole in &theirs {
            assert!(ours.contains(hole), "`{chinese}` has a hole `{hole}` that `{english}` does not fill");
        }
        let lost: Vec<&String> = ours.iter().filter(|hole| !theirs.contains(hole)).collect();
        // Dots of a cut text, and words that are one in Chinese: a row is a line.
        let is_known = ["dots", "noun"];
        assert!(lost.iter().all(|hole| is_known.contains(&hole.as_str())), "`{chinese}` loses {lost:?} of `{english}`");
    }
}

#[test]
fn no_sentence_is_there_twice_with_different_translations() {
    let mut seen: HashMap<String, String> = HashMap::new();
    for (english, chinese) in pairs() {
        // What a hole takes is part of the sentence here: `{#}` and `{}` may differ.
        let key = template::pieces(template::bare(&english)).iter().map(|piece| format!("{piece:?}")).collect();
        if let Some(before) = seen.insert(key, chinese.clone()) {
            assert_eq!(before, chinese, "`{english}` has two translations");
        }
    }
}

#[test]
fn a_long_line_of_somebodys_data_costs_nothing() {
    let text = "a: b, c; d. ".repeat(1 << 16);
    let begun = std::time::Instant::now();
    assert_eq!(chinese(&text), text);
    let text = "x, ".repeat(2000);
    assert_eq!(chinese(&text), text);
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
