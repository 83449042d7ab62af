//! What the documentation shows works as it stands there.

mod guide;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::story::{Ran, Running, Story, finish, json_lines, records};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Copies a folder, but for what runs leave in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("an example is a folder") {
        let path = entry.expect("its files can be listed").path();
        let name = path.file_name().expect("a file has a name").to_owned();
        if name == "out" || name == ".tidemill" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("a file can be copied");
        }
    }
}

/// A story in which the examples lie as they do in the repository.
fn with_examples() -> Story {
    let story = Story::of("");
    copy(&repository().join("examples"), &story.path("examples"));
    story
}

#[test]
fn the_quickstart_runs_as_it_stands() {
    let story = with_examples();
    let ran = story.tidemill(["run", "examples/quickstart/pipeline.yaml"]);
    ran.says(0, &["SIMULATED", "nothing in the output comes from a model", "out/labels.jsonl"]);
    let source = story.text("examples/quickstart/messages.jsonl");
    let output = story.text("examples/quickstart/out/labels.jsonl");
    assert!(source.lines().count() >= 200, "a few hundred messages");
    assert_eq!(output.lines().count(), source.lines().count());
    for (was, is) in source.lines().zip(output.lines()) {
        let untouched = was.strip_suffix('}').expect("an object ends in a brace");
        assert!(is.starts_with(untouched), "in source order, untouched: {is}");
        let record: Value = serde_json::from_str(is).unwrap();
        let categories = ["delivery", "payment", "product", "account", "praise", "other"];
        assert!(categories.contains(&record["category"].as_str().unwrap()), "{is}");
        assert!((1..=5).contains(&record["urgency"].as_u64().unwrap()), "{is}");
        assert!(["en", "zh"].contains(&record["language"].as_str().unwrap()), "{is}");
        assert!((1..=120).contains(&record["summary"].as_str().unwrap().chars().count()), "{is}");
    }
    let account: Value = serde_json::from_str(&story.text("examples/quickstart/out/accounting.json")).unwrap();
    let step = &account["steps"][0];
    assert_eq!((&account["done"], &account["exit_status"], &step["adds_up"]), (&json!(true), &json!(0), &json!(true)));
    assert_eq!(step["records"], json!(source.lines().count()));
    assert_eq!((&step["succeeded"], &account["simulated_models"]), (&step["records"], &json!(["simulated"])));
    assert!(account["note"].as_str().unwrap().contains("nothing in the output comes from a model"));
    assert_eq!(story.text("examples/quickstart/out/labels.failures.jsonl"), "");
}

#[test]
fn every_pipeline_among_the_examples_is_right() {
    let story = with_examples();
    let mut n = 0;
    for example in fs::read_dir(story.path("examples")).unwrap() {
        let pipeline = example.unwrap().path().join("pipeline.yaml");
        // One is a gateway's: `README.md` and the guide start it.
        if !pipeline.exists() {
            continue;
        }
        let checked = finish(story.command([Path::new("check"), &pipeline]));
        checked.says(0, &["no mistakes"]);
        n += 1;
    }
    assert!(n >= 8, "there are examples");
}

#[test]
fn the_table_of_the_examples_is_answered_in_place_and_is_what_its_statements_make() {
    let story = with_examples();
    let made = rusqlite::Connection::open(story.path("made.db")).expect("a database can be made");
    made.execute_batch(&story.text("examples/database/shop.sql")).expect("the statements are SQLite's too");
    drop(made);
    let head = |file: &str| story.tidemill(["data", "head", file, "-n", "100"]).stdout;
    let rows = head("examples/database/shop.db");
    assert_eq!(rows, head("made.db"));
    assert_eq!(rows.lines().count(), 12);
    story.tidemill(["run", "examples/database/pipeline.yaml"]).says(0, &["9 records: 9 succeeded"]);
    let rows = json_lines(&head("examples/database/shop.db"));
    let n_with = |status: Value| rows.iter().filter(|row| row["ai_status"] == status).count();
    assert_eq!((n_with(json!("succeeded")), n_with(Value::Null)), (9, 3));
    assert_eq!(rows.iter().filter(|row| row["ai_urgency"].is_number()).count(), 11);
    story.tidemill(["run", "examples/database/pipeline.yaml"]).says(0, &["0 records"]);
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

#[test]
fn the_gateway_of_the_examples_answers_every_request_though_one_of_its_models_is_shaky() {
    let story = with_examples();
    let port = free_port();
    let arguments = ["gateway", "--config", "examples/gateway/models.yaml", "--port", &port.to_string()];
    let mut gateway = Running::of(story.command(arguments));
    gateway.until("it listens", |_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    gateway.until_it_says("SIMULATED: ");
    let body = json!({ "model": "quick", "messages": [{ "role": "user", "content": "Hello" }] }).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ";
    let request = format!("{head}{}\r\n\r\n{body}", body.len());
    let answers: Vec<String> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the gateway listens");
            stream.write_all(request.as_bytes()).expect("it can be written to");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer can be read");
            answer
        })
        .collect();
    let n_with = |text: &str| answers.iter().filter(|answer| answer.contains(text)).count();
    assert_eq!(n_with("HTTP/1.1 200 "), 20, "{answers:?}");
    assert!(n_with("x-tidemill-attempts: 2") > 0 && n_with("x-tidemill-model: small") > 5, "{answers:?}");
}

#[test]
fn the_real_thing_needs_a_key_and_says_so() {
    let story = with_examples();
    let arguments = ["run", "examples/quickstart/pipeline.yaml", "--models", "examples/quickstart/openai.yaml"];
    story.tidemill(arguments).says(2, &["the environment variable `OPENAI_API_KEY` is not set", "openai.yaml:"]);
}

/// With a key it is the same job: here against a vendor that `OPENAI_BASE_URL` names.
#[test]
fn the_real_thing_is_the_same_job_with_another_models_file() {
    let mut story = with_examples();
    story.set("OPENAI_API_KEY", "sk-anything");
    story.set("OPENAI_BASE_URL", &story.vendor.base_url());
    let arguments =
        ["run", "examples/quickstart/pipeline.yaml", "--models", "examples/quickstart/openai.yaml", "--limit", "20"];
    let ran = story.tidemill(arguments);
    ran.says(0, &["20 succeeded"]).does_not_say("SIMULATED");
    assert_eq!(story.asked(), 20);
    let account: Value = serde_json::from_str(&story.text("examples/quickstart/out/accounting.json")).unwrap();
    assert_eq!((&account["simulated_models"], account.get("note")), (&json!([]), None));
}

/// A fenced block of a document: ```` ```yaml pipeline.yaml ````.
#[derive(Debug)]
struct Block {
    /// File and line, for people.
    place: String,
    language: String,
    /// What stands behind the language.
    ///
    /// `sh by_hand`: only looked at, and not run, as it waits for a person. `text said`: what the commands before it say.
    /// Anything else is the name of the file in which the block's text is put.
    about: String,
    text: String,
}

/// The pages of the guide and the READMEs.
fn documents() -> Vec<PathBuf> {
    let repository = repository();
    let mut documents: Vec<PathBuf> = ["README.md", "README.zh-CN.md"].map(|name| repository.join(name)).to_vec();
    if let Ok(guide) = fs::read_dir(repository.join("docs/guide")) {
        documents.extend(guide.filter_map(|entry| Some(entry.ok()?.path())));
    }
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md") && path.is_file());
    documents.sort();
    documents
}

/// The fenced blocks of the guide and of the READMEs.
fn blocks() -> Vec<Block> {
    documents().iter().flat_map(|path| blocks_of(path)).collect()
}

/// The fenced blocks of a document.
fn blocks_of(path: &Path) -> Vec<Block> {
    let mut blocks = Vec::new();
    let text = fs::read_to_string(path).expect("a document can be read");
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(info)) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let place = format!("{name}:{}", number + 1);
                let (language, about) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                let (language, about) = (language.to_owned(), about.trim().to_owned());
                open = Some(Block { place, language, about, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                let _ = writeln!(block.text, "{line}");
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of {} does not end", path.display());
    blocks
}

/// What stands in the backticks of a message.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// Checks a file of the guide. The files and variables that it names are made as they are missed; whatever else is said
/// is a mistake in the guide.
fn check_with_what_it_names(story: &mut Story, arguments: &[&str]) -> Ran {
    let mut names: BTreeSet<String> = BTreeSet::new();
    loop {
        let ran = finish(story.command(arguments.iter().chain(&["--json"])));
        let mut has_helped = false;
        for mistake in json_lines(&ran.stdout) {
            let message = mistake["message"].as_str().unwrap_or_default();
            let Some(name) = quoted(message) else { continue };
            if message.starts_with("cannot read `") && !story.has(name) {
                if name.ends_with(".xlsx") {
                    let workbook = repository().join("examples/workbook/tickets.xlsx");
                    story.write(name, fs::read(workbook).expect("it is an example"));
                } else {
                    story.write(name, records(1));
                }
            } else if message.starts_with("the models file knows no model") && names.insert(name.to_owned()) {
                story.write("models.yaml", simulated(&names));
            } else if message.starts_with("the environment variable `") {
                story.set(name, "http://127.0.0.1:9/v1");
            } else if message.starts_with("the key file `") && !story.has(name) {
                story.write(name, "anything");
            } else {
                continue;
            }
            has_helped = true;
        }
        if ran.status == 0 || !has_helped {
            return ran;
        }
    }
}

/// A models file whose models are simulated.
fn simulated(names: &BTreeSet<String>) -> String {
    let mut text = "channels:\n  rehearsal: { simulated: {} }\nmodels:\n".to_owned();
    for name in names.iter().map(String::as_str).chain(["any"]) {
        let _ = writeln!(text, "  - {{ name: \"{name}\", channel: rehearsal }}");
    }
    text
}

/// Those that are put into a file are run, as the page says.
#[test]
fn every_pipeline_of_the_guide_is_right() {
    let mut n = 0;
    let is_shown = |block: &&Block| block.text.starts_with("version:") && block.about.is_empty();
    for block in blocks().iter().filter(|block| block.language == "yaml").filter(is_shown) {
        let mut story = Story::of("");
        story.write("models.yaml", simulated(&BTreeSet::new()));
        story.write("guide.yaml", &block.text);
        let ran = check_with_what_it_names(&mut story, &["check", "guide.yaml", "--models", "models.yaml"]);
        assert_eq!(ran.status, 0, "{}: {}{}\n{}", block.place, ran.stderr, ran.stdout, block.text);
        n += 1;
    }
    has_seen(n, "pipelines");
}

#[test]
fn every_models_file_of_the_guide_is_right() {
    for block in blocks().iter().filter(|block| block.language == "yaml" && block.text.starts_with("channels:")) {
        let mut story = Story::of("");
        story.write("guide.yaml", &block.text);
        let ran = check_with_what_it_names(&mut story, &["check", "pipeline.yaml", "--models", "guide.yaml"]);
        assert_eq!(ran.status, 0, "{}: {}{}\n{}", block.place, ran.stderr, ran.stdout, block.text);
    }
}

#[test]
fn every_script_of_the_guide_can_be_followed() {
    let mut n = 0;
    for block in blocks().iter().filter(|block| block.language == "yaml" && block.text.starts_with("seed:")) {
        let story = Story::of(records(1));
        let script = block.text.lines().fold(String::new(), |all, line| all + &format!("      {line}\n"));
        let models = "models:\n  - { name: any, channel: rehearsal }\n";
        story.write("models.yaml", format!("channels:\n  rehearsal:\n    simulated:\n{script}{models}"));
        let ran = story.tidemill(["check", "pipeline.yaml"]);
        assert_eq!(ran.status, 0, "{}: {}", block.place, ran.stderr);
        n += 1;
    }
    has_seen(n, "scripts");
}

/// Every block is one of those that are looked at above, or needs no looking.
#[test]
fn every_block_of_yaml_is_checked() {
    for block in blocks().iter().filter(|block| block.language == "yaml") {
        // What is put into a file is used by the commands of its page.
        let is_used = !block.about.is_empty();
        let is_known = is_used || ["version:", "channels:", "seed:"].iter().any(|key| block.text.starts_with(key));
        assert!(is_known, "{}: nobody checks this", block.place);
    }
}

#[test]
fn every_command_of_the_guide_is_one() {
    let mut n = 0;
    let story = with_examples();
    for block in blocks().iter().filter(|block| ["sh", "bash", "shell", "console"].contains(&&*block.language)) {
        for line in block.text.replace("\\\n", " ").lines() {
            let Some(arguments) = arguments_of(line) else { continue };
            let mut command = Command::new(crate::story::TIDEMILL);
            command.args(&arguments).arg("--help");
            let ran = finish(story.at_home(command));
            assert_eq!(ran.status, 0, "{}: `{line}`: {}", block.place, ran.stderr);
            n += 1;
        }
    }
    has_seen(n, "commands");
}

/// Where there is a guide, it shows something.
fn has_seen(n: usize, what: &str) {
    let guide = repository().join("docs/guide");
    let is_written = fs::read_dir(guide).is_ok_and(|entries| entries.count() > 0);
    assert!(n > 0 || !is_written, "the guide shows no {what}");
}

/// The arguments of a line that starts Tidemill, in the words of a simple shell.
fn arguments_of(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start().trim_start_matches("$ ");
    let is_setting = |word: &str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let mut words = line.split_whitespace().skip_while(|word| is_setting(word)).peekable();
    match words.next()? {
        "tidemill" => {}
        "cargo" if words.peek() == Some(&"run") => {
            words.by_ref().find(|word| *word == "--")?;
        }
        _ => return None,
    }
    let ends = |word: &&str| !word.starts_with(['#', '|', '>', '&', ';']) && !word.starts_with("2>");
    Some(words.take_while(ends).map(|word| word.trim_matches(['"', '\'']).to_owned()).collect())
}
