//! The common stories in Chinese: whoever reads Chinese reads Chinese, from the help to the account.

use rustix::process::Signal;
use serde_json::json;
use simulate::Script;

use crate::story::{Pipeline, Ran, Running, Story, finish, json_lines, numbered, records, slow};

const FLAWED: &str = "{\"id\":1,\"text\":\"fine\"}\n\nno record\n{\"id\":2}\n{\"id\":3,\"text\":\"fine\"}\n";

/// Runs of so many English words in what is said to a Chinese reader are a sentence that nobody translated.
const MOST_WORDS: usize = 3;

/// English that is none of ours, or the same in every language.
const FOREIGN: [&str; 6] = [
    // A vendor's own words.
    "the API key is not valid",
    "too many requests in this second",
    "no credit is left, as the script says",
    // A command to be typed.
    "tidemill",
    "http://",
    "kill -INT",
];

/// Returns a sentence in English that stands in a line outside of backticks, quotes, paths and what others said.
fn english(line: &str) -> Option<String> {
    let mut line = line.to_owned();
    for foreign in FOREIGN {
        line = match foreign {
            // A command goes on to the end of the line.
            "tidemill" | "http://" | "kill -INT" => line.split(foreign).next().unwrap_or_default().to_owned(),
            words => line.replace(words, "…"),
        };
    }
    let unquoted: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" … ");
    let mut words: Vec<&str> = Vec::new();
    for word in unquoted.split_whitespace() {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let is_word = bare.len() > 1 && bare.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '\'' | '-'));
        // A name in capitals, a path or a number parts sentences.
        let is_word = is_word && bare.chars().any(|c| c.is_ascii_lowercase()) && !word.contains(['/', '_', '=']);
        if is_word {
            words.push(word);
            if words.len() > MOST_WORDS {
                return Some(words.join(" "));
            }
        } else {
            words.clear();
        }
    }
    None
}

/// Makes sure that all that was said is Chinese, and that it says this.
#[track_caller]
fn speaks_chinese(ran: &Ran, status: i32, said: &[&str]) {
    ran.says(status, said);
    let mut shows_source = false;
    for line in ran.stderr.lines() {
        // The lines of a file that are shown with a mistake are the user's own.
        shows_source = line.trim_start().starts_with("-->") || (shows_source && line.contains('|'));
        if !shows_source && let Some(words) = english(line) {
            panic!("`{words}` is English, in: {line}\n{}", ran.stderr);
        }
    }
}

fn in_chinese(mut story: Story) -> Story {
    story.set("LC_ALL", "zh_CN.UTF-8");
    story
}

#[test]
fn the_measure_of_english_tells_sentences_from_names() {
    assert_eq!(english("the file is gone now"), Some("the file is gone".to_owned()));
    assert_eq!(english("无法读取 in.jsonl：`the file is gone now`，在 out/labels.jsonl 里"), None);
    assert_eq!(english("状态码 401：the API key is not valid (invalid_api_key)"), None);
}

#[test]
fn a_run_speaks_chinese_from_its_beginning_to_its_account() {
    let story = in_chinese(Story::of(records(5)));
    let ran = story.run([]);
    speaks_chinese(
        &ran,
        0,
        &["：开始", "步骤 label：5 条记录：成功 5", "5 次尝试；计费 token：输入", "out/labels.jsonl（5 条记录）"],
    );
    speaks_chinese(&story.run([]), 0, &["断点续跑", "步骤 label：已经完成，输出都在（5 条记录）"]);
    let account = story.accounting();
    assert_eq!(account["steps"][0]["succeeded"], json!(5), "data stays as it is");
}

#[test]
fn the_language_is_that_of_the_locale_unless_it_is_given() {
    let mut story = Story::of(records(1));
    for (variable, value, is_chinese) in [
        ("LANG", "zh_TW.UTF-8", true),
        ("LC_MESSAGES", "en_US.UTF-8", false),
        ("LC_ALL", "zh_CN.UTF-8", true),
        ("LC_ALL", "C", false),
    ] {
        story.set(variable, value);
        let said = story.tidemill(["check", "pipeline.yaml"]);
        assert_eq!(said.stderr.contains("没有错误"), is_chinese, "{variable}={value}: {}", said.stderr);
    }
    story.tidemill(["--lang", "zh", "check", "pipeline.yaml"]).says(0, &["pipeline.yaml：没有错误"]);
    story.set("LC_ALL", "zh_CN.UTF-8");
    story.tidemill(["check", "pipeline.yaml", "--lang=en"]).says(0, &["pipeline.yaml: no mistakes"]);
}

#[test]
fn bad_input_and_failures_are_told_in_chinese_and_kept_in_english() {
    let story = in_chinese(Story::of(FLAWED));
    let ran = story.run([]);
    speaks_chinese(&ran, 1, &["5 条记录：成功 2，跳过 3（", "失败或跳过的超出了流水线容许的范围", "退出码 1"]);
    let failures = story.failures();
    let messages: Vec<&str> = failures.iter().filter_map(|failure| failure["message"].as_str()).collect();
    assert!(messages.iter().all(|message| message.is_ascii()), "a program may look for these words: {messages:?}");
}

#[test]
fn an_interrupted_run_and_its_resumption_speak_chinese() {
    let story = in_chinese(Story::with(records(40), slow(100), &Pipeline::default()));
    let mut running = story.start([]);
    running.until("some are settled", |_| story.n_live() > 2);
    running.signal(Signal::INT);
    let ran = running.wait();
    speaks_chinese(
        &ran,
        130,
        &["正在停止：不再问新的", "已中断；已落定的都是安全的（", "接着跑：tidemill run pipeline.yaml"],
    );
    speaks_chinese(&story.run([]), 0, &["断点续跑", "条记录落定", "40 条记录：成功 40"]);

    let story = in_chinese(Story::with(records(40), slow(100), &Pipeline::default()));
    story.run_and_kill(3);
    speaks_chinese(&story.run([]), 0, &["上一个进程结束时有 8 个请求在途；回答已丢失，会再问一次"]);
}

#[test]
fn mistakes_in_files_are_told_in_chinese() {
    let story = in_chinese(Story::of(records(1)));
    let text = Pipeline::default().text();
    for (from, to, said) in [
        ("models: models.yaml", "modles: models.yaml", "未知的键 `modles`"),
        ("models: models.yaml", "models: none.yaml", "无法读取模型文件 `none.yaml`"),
        ("path: in.jsonl", "path: inn.jsonl", "是不是想写 `in.jsonl`？"),
        ("{{ text }}", "{{ text | uper }}", "uper"),
        ("{{ text }}", "{{ txet }}", "模板需要字段 `txet`，而记录里没有"),
        ("minimum: 0, maximum: 9", "minimum: 9, maximum: 0", "`minimum` 比 `maximum` 大"),
        ("type: integer", "type: int", "不能是文本 `int`"),
        ("[good, bad]", "good", "应当是列表"),
        ("version: 1", "version: 2", "`version` 应当是 1，不能是 2"),
        ("    work:", "   work:", "YAML 格式不对"),
        ("    work:", "\twork:", "制表符"),
        ("name: story", "name: story\nname: again", "键 `name` 出现了两次"),
        ("max: 100ms", "max: 100", "`steps.label.flow.backoff.max`"),
        ("out/labels.jsonl }", "out/a.jsonl, failures: in.jsonl }", "就是输入"),
    ] {
        assert!(text.contains(from), "{from}");
        story.write("pipeline.yaml", text.replacen(from, to, 1));
        let checked = story.tidemill(["check", "pipeline.yaml"]);
        speaks_chinese(&checked, checked.status, &[said]);
    }
    story.write("pipeline.yaml", &text);
    for (more, said) in [
        (", key: { env: NO_KEY }", "环境变量 `NO_KEY` 没有设置"),
        (", key: { file: no.txt }", "无法读取密钥文件 `no.txt`"),
        (", key: sk-0123456789abcdef", "不能写在文件里"),
        (", weight: heavy", "`models[0].weight`"),
        (", price: { prompt: 1, completion: 2, currency: yuan }", "不是货币代码"),
    ] {
        story.models(more);
        let checked = story.tidemill(["check", "pipeline.yaml"]);
        speaks_chinese(&checked, 2, &[said]);
        let mistakes = json_lines(&story.tidemill(["check", "pipeline.yaml", "--json"]).stdout);
        assert!(mistakes.iter().all(|mistake| mistake["message"].as_str().is_some_and(str::is_ascii)), "{mistakes:?}");
    }
    story.models("");
    let text = story.text("models.yaml").replace("channel: vendor,", "channel: vendro,");
    story.write("models.yaml", text);
    speaks_chinese(&story.tidemill(["check", "pipeline.yaml"]), 2, &["没有通道 `vendro`", "有的通道：`vendor`"]);
    speaks_chinese(&story.tidemill(["check", "nowhere.yaml"]), 2, &["无法读取流水线文件 `nowhere.yaml`：没有这个文件"]);
    speaks_chinese(&story.tidemill(["run", "."]), 2, &["请写出其中的文件"]);
}

#[test]
fn a_dead_key_and_no_credit_stop_a_run_in_chinese() {
    let script = Script { require_key: Some("right".to_owned()), ..Script::default() };
    let mut story = in_chinese(Story::with(records(3), script, &Pipeline::default()));
    story.set("KEY", "wrong-key-1234567");
    story.models(", key: { env: KEY }");
    let ran = story.run([]);
    speaks_chinese(&ran, 4, &["已停止：", "状态码 401", "已落定的都是安全的（0 条记录）。解决之后运行：tidemill run"]);
}

#[test]
fn runs_are_listed_shown_and_removed_in_chinese() {
    let story = in_chinese(Story::of(records(3)));
    speaks_chinese(&story.tidemill(["runs"]), 0, &["`.tidemill` 里没有运行"]);
    story.run(["--task-id", "first"]).says(0, &[]);
    let list = story.tidemill(["runs"]);
    assert!(list.stdout.contains("完成") && list.stdout.contains("3 已落定"), "{}", list.stdout);
    let shown = story.tidemill(["runs", "show", "first"]);
    for said in ["运行      first", "流水线    story (", "状态      完成", "已落定    3（成功 3）", "（3 条记录）"]
    {
        assert!(shown.stdout.contains(said), "`{said}` is not in:\n{}", shown.stdout);
    }
    let told = json_lines(&story.tidemill(["runs", "show", "first", "--json"]).stdout);
    assert_eq!(told[0]["state"], "done", "data stays as it is");
    speaks_chinese(&story.tidemill(["runs", "show", "frist"]), 2, &["没有运行 `frist`", "是不是想写 `first`？"]);
    speaks_chinese(&story.tidemill(["runs", "gc", "--keep", "0", "--dry-run"]), 0, &["将删除 first", "将腾出"]);
    speaks_chinese(&story.tidemill(["runs", "rm", "first"]), 0, &["已删除 first（"]);
}

#[test]
fn more_work_on_a_run_speaks_chinese() {
    let story = in_chinese(Story::of(FLAWED));
    story.run(["--task-id", "first"]).says(1, &[]);
    speaks_chinese(&story.tidemill(["retry", "first"]), 1, &["没有要重试的记录"]);
    speaks_chinese(&story.tidemill(["reparse", "first"]), 1, &["重新判定 2 个回答：不变 2"]);
    speaks_chinese(&story.run(["--fresh", "--sample", "2", "--seed", "1"]), 0, &["中抽样 2 条", "回答都留着"]);
    speaks_chinese(&story.run(["--fresh", "--task-id", "first"]), 2, &["id 为 `first` 的运行已经存在"]);
    speaks_chinese(&story.run(["--resume", "--task-id", "none"]), 2, &["没有 `story` 的运行可以续跑"]);

    let story = in_chinese(Story::with(records(40), slow(100), &Pipeline::default()));
    story.run_and_kill(2);
    let id = story.run_id();
    let cancelled = story.tidemill(["cancel", &id]);
    speaks_chinese(&cancelled, cancelled.status, &["40 条记录：", "取消"]);
}

#[test]
fn a_changed_source_and_a_changed_pipeline_are_told_in_chinese() {
    let story = in_chinese(Story::with(records(40), slow(100), &Pipeline::default()));
    story.run_and_kill(2);
    let text = story.text("pipeline.yaml");
    story.write("pipeline.yaml", text.replace("Label this", "Judge this"));
    speaks_chinese(&story.run([]), 2, &["流水线在它开始之后改过", "用 --fresh 从头开始"]);
    story.write("pipeline.yaml", text);
    story.write("in.jsonl", numbered(2, 41));
    speaks_chinese(&story.run([]), 3, &["的内容与运行开始时不同", "数据源已不是运行"]);
}

#[test]
fn every_page_of_the_help_is_chinese() {
    let story = in_chinese(Story::of(""));
    let mut pages = vec![Vec::<String>::new()];
    let mut n_pages = 0;
    while let Some(page) = pages.pop() {
        let arguments: Vec<&str> = page.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = finish(story.command(arguments));
        assert_eq!(ran.status, 0, "{page:?}: {ran:?}");
        assert!(ran.stdout.contains("用法：tidemill"), "{page:?}: {}", ran.stdout);
        // Values that an option takes are keys, and the same in every language.
        let mut parts = ran.stdout.split("[可选值：");
        let mut without_values = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| without_values.push_str(part.split_once(']').map_or(part, |(_, rest)| rest)));
        for line in without_values.lines() {
            assert_eq!(english(line), None, "{page:?}: {line}");
            for heading in ["Usage", "Options", "Arguments", "Commands", "possible values", "default:"] {
                assert!(!line.contains(heading), "{page:?}: {line}");
            }
        }
        n_pages += 1;
        let commands =
            ran.stdout.lines().skip_while(|line| *line != "命令:").skip(1).take_while(|line| !line.is_empty());
        for name in commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
            if !name.is_empty() && name != "help" {
                pages.push(page.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(n_pages > 12, "{n_pages}");
}

#[test]
fn a_slip_in_the_command_line_is_told_in_chinese() {
    let story = in_chinese(Story::of(""));
    for (arguments, said) in [
        (vec!["run"], "缺少必需的参数："),
        (vec!["rnu", "pipeline.yaml"], "没有命令 'rnu'"),
        (vec!["run", "pipeline.yaml", "--modles", "x"], "未知的参数 '--modles'"),
        (vec!["run", "pipeline.yaml", "--limit"], "缺少值"),
        (vec!["run", "pipeline.yaml", "--limit", "many"], "的值 'many' 不对：不是数字"),
        (vec!["run", "pipeline.yaml", "--fresh", "--resume"], "不能和"),
        (vec!["retry", "latest", "--kind", "timeuot"], "有相近的值：'timeout'"),
        (vec!["simulate", "--port", "99999999"], "'99999999' 不对"),
        (vec!["run", "a.yaml", "b.yaml"], "未知的参数 'b.yaml'"),
        (vec!["run", "pipeline.yaml", "--preview"], "缺少必需的参数："),
    ] {
        let ran = finish(story.command(&arguments));
        speaks_chinese(&ran, 2, &[said, "错误："]);
    }
}

#[test]
fn a_vendor_on_its_own_speaks_chinese() {
    let story = in_chinese(Story::of(""));
    let mut running = Running::of(story.command(["simulate"]));
    running.until_it_says("模拟供应商：它说的话没有一句来自真实模型");
    running.kill();
    story.write("script.yaml", "faults:\n  - { kind: throttled, rate: 2 }\n");
    let ran = story.tidemill(["simulate", "--script", "script.yaml"]);
    speaks_chinese(&ran, 2, &[]);
}
