//! Tables of real databases as source and sink: killed, restarted, changed by others, shared.

mod looking;
mod named;
mod theirs;

use std::time::Duration;

use mysql::prelude::Queryable as _;
use simulate::Script;
use testkit::servers::{PASSWORD, Server};

use crate::story::{Pipeline, Running, Story, records, slow};

/// A database of a test.
enum Database {
    Sqlite,
    Server(&'static str, Server),
}

impl Database {
    fn mariadb() -> Option<Self> {
        Some(Self::Server("mysql", testkit::servers::mariadb()?))
    }

    fn postgres() -> Option<Self> {
        Some(Self::Server("postgres", testkit::servers::postgres()?))
    }

    /// What the pipeline says of a table.
    fn named(&self, more: &str) -> String {
        match self {
            Self::Sqlite => format!("sqlite: {{ path: t.db, {more} }}"),
            Self::Server(word, server) => {
                format!("{word}: {{ url: \"{}\", password: {{ env: DB_PASSWORD }}, {more} }}", server.url())
            }
        }
    }

    fn sink(&self, more: &str) -> String {
        let word = if let Self::Server(word, _) = self { word } else { "sqlite" };
        format!("{word}: {{ {more} }}")
    }

    fn with_password(&self) -> String {
        let Self::Server(_, server) = self else { return String::new() };
        server.url().replacen('@', &format!(":{PASSWORD}@"), 1)
    }

    fn run(&self, story: &Story, statement: &str) {
        match self {
            Self::Sqlite => {
                let connection =
                    rusqlite::Connection::open(story.path("t.db")).expect("the database of the test does it");
                connection.busy_timeout(Duration::from_secs(10)).expect("the database of the test does it");
                connection.execute_batch(statement).expect("the database of the test does it");
            }
            Self::Server("mysql", _) => {
                mysql::Conn::new(&*self.with_password())
                    .expect("the database of the test does it")
                    .query_drop(statement)
                    .expect("the database of the test does it");
            }
            Self::Server(..) => {
                let mut client = postgres::Client::connect(&self.with_password(), postgres::NoTls)
                    .expect("the database of the test does it");
                client.batch_execute(statement).expect("the database of the test does it");
            }
        }
    }

    /// The first column of each row of a query, as text; it is made text by the query where it is none.
    fn column(&self, story: &Story, query: &str) -> Vec<Option<String>> {
        match self {
            Self::Sqlite => {
                let connection =
                    rusqlite::Connection::open(story.path("t.db")).expect("the database of the test does it");
                let mut statement = connection.prepare(query).expect("the database of the test does it");
                let rows = statement.query_map([], |row| row.get(0)).expect("the database of the test does it");
                rows.map(|row| row.expect("the database of the test does it")).collect()
            }
            Self::Server("mysql", _) => mysql::Conn::new(&*self.with_password())
                .expect("the database of the test does it")
                .query(query)
                .expect("the database of the test does it"),
            Self::Server(..) => {
                let mut client = postgres::Client::connect(&self.with_password(), postgres::NoTls)
                    .expect("the database of the test does it");
                client
                    .query(query, &[])
                    .expect("the database of the test does it")
                    .iter()
                    .map(|row| row.get(0))
                    .collect()
            }
        }
    }

    fn count(&self, story: &Story, of: &str) -> usize {
        let text = if let Self::Server("mysql", _) = self { "CHAR" } else { "TEXT" };
        let query = format!("SELECT CAST(COUNT(*) AS {text}) FROM {of}");
        self.column(story, &query)[0].as_deref().unwrap_or_default().parse().expect("the database of the test does it")
    }

    /// How many columns a table has; none where it is not there.
    fn columns(&self, story: &Story, table: &str) -> usize {
        let from = match self {
            Self::Sqlite => format!("pragma_table_info('{table}')"),
            Self::Server(word, _) => {
                let schema = if *word == "mysql" { "database()" } else { "current_schema()" };
                format!("information_schema.columns WHERE table_schema = {schema} AND table_name = '{table}'")
            }
        };
        self.count(story, &from)
    }

    /// Makes a table of messages whose ids have gaps.
    fn messages(&self, story: &Story, n: usize) {
        self.run(
            story,
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, text VARCHAR(100), label VARCHAR(20), score INTEGER)",
        );
        let rows: Vec<String> = (1..=n).map(|i| format!("({}, 'message {i}', NULL, NULL)", i * i)).collect();
        self.run(story, &format!("INSERT INTO messages VALUES {}", rows.join(", ")));
    }
}

fn pipeline(source: &str, sink: &str) -> String {
    format!(
        "version: 1\nname: story\nmodels: models.yaml\nsteps:\n  label:\n    source: {{ {source} }}\n    work:\n      prompt:\n        \
         template: \"Label this: {{{{ text }}}}\"\n        output: {{ label: {{ enum: [good, bad] }}, score: {{ type: integer, minimum: 0, \
         maximum: 9 }} }}\n    sink: {{ {sink} }}\n    flow: {{ max_in_flight: 8, backoff: {{ first: 20ms, max: 100ms }} }}\nfinish: {{ \
         accounting: out/accounting.json }}\n"
    )
}

fn story(base: &Database, script: Script, source: &str, sink: &str) -> Story {
    let mut story = Story::with(records(1), script, &Pipeline::default());
    story.write("pipeline.yaml", pipeline(source, sink));
    if let Database::Server(..) = base {
        story.set("DB_PASSWORD", PASSWORD);
    }
    story
}

const IN_PLACE: &str = "failures: out/failures.jsonl";

fn in_place(base: &Database, script: Script) -> Story {
    story(base, script, &format!("{}, fields: [text]", base.named("table: messages")), &base.sink(IN_PLACE))
}

fn killed_again_and_again(base: &Database) {
    let story = in_place(base, slow(20));
    base.messages(&story, 200);
    for n in 0..4 {
        let mut running = story.start([]);
        let asked = story.asked();
        running.until("more is asked", |_| story.asked() > asked + 10 * n);
        running.kill();
    }
    assert!(base.count(&story, "messages WHERE label IS NOT NULL") < 200, "it was killed before its end");
    story.run([]).says(0, &["200 records: 200 succeeded"]);
    assert_eq!(base.count(&story, "messages WHERE label IN ('good', 'bad') AND score BETWEEN 0 AND 9"), 200);
    assert!(story.asked() <= 200 + 4 * 8 + 32, "{} were asked for 200", story.asked());
    // The same command looks for what is pending now.
    base.run(&story, "UPDATE messages SET label = NULL WHERE id IN (1, 4)");
    story.run([]).says(0, &["a new run looks for what is pending now", "2 records: 2 succeeded"]);
}

#[test]
fn a_run_over_a_sqlite_table_is_killed_and_every_row_is_answered_once() {
    killed_again_and_again(&Database::Sqlite);
}

#[test]
fn a_run_over_a_mariadb_table_is_killed_and_every_row_is_answered_once() {
    if let Some(base) = Database::mariadb() {
        killed_again_and_again(&base);
    }
}

#[test]
fn a_run_over_a_postgres_table_is_killed_and_every_row_is_answered_once() {
    if let Some(base) = Database::postgres() {
        killed_again_and_again(&base);
    }
}

fn restarted_in_mid_run(mut base: Database) {
    let story = in_place(&base, slow(15));
    base.messages(&story, 400);
    let mut running = story.start([]);
    running.until("some are written", |_| base.count(&story, "messages WHERE label IS NOT NULL") > 20);
    if let Database::Server(_, server) = &mut base {
        server.kill();
        let asked = story.asked();
        // The flow goes on meanwhile.
        running.until("others are asked about", |_| story.asked() > asked + 50);
        server.start();
    }
    running.wait().says(0, &["400 records: 400 succeeded"]);
    assert_eq!(base.count(&story, "messages WHERE label IS NOT NULL"), 400);
    assert_eq!(story.asked(), 400);
}

#[test]
fn a_mariadb_that_is_killed_and_comes_back_costs_no_record() {
    if let Some(base) = Database::mariadb() {
        restarted_in_mid_run(base);
    }
}

#[test]
fn a_postgres_that_is_killed_and_comes_back_costs_no_record() {
    if let Some(base) = Database::postgres() {
        restarted_in_mid_run(base);
    }
}

fn changed_by_someone_else(base: &Database) {
    let story = in_place(base, slow(300));
    base.messages(&story, 8);
    let mut running = story.start([]);
    running.until("all are asked about", |_| story.asked() == 8);
    base.run(&story, "UPDATE messages SET text = 'edited' WHERE id = 1");
    base.run(&story, "UPDATE messages SET label = 'mine' WHERE id = 4");
    base.run(&story, "DELETE FROM messages WHERE id = 9");
    running.wait().says(1, &["5 succeeded", "3 failed (conflict 3)"]);
    let failures = story.lines("out/failures.jsonl");
    assert_eq!(failures.len(), 3);
    assert!(failures.iter().all(|failure| failure["kind"] == "conflict"), "{failures:?}");
    let told = failures[0]["message"].as_str().expect("the database of the test does it");
    assert!(told.contains("`text` was \"message 1\" when it was read, and is \"edited\""), "{told}");
    assert!(failures[1]["message"].as_str().expect("the database of the test does it").contains("\"mine\""));
    assert_eq!(base.column(&story, "SELECT label FROM messages WHERE id = 4"), [Some("mine".to_owned())]);
    assert_eq!(base.column(&story, "SELECT label FROM messages WHERE id = 1"), [None]);
}

#[test]
fn a_row_that_someone_changed_meanwhile_keeps_what_they_wrote() {
    changed_by_someone_else(&Database::Sqlite);
}

#[test]
fn a_row_of_a_server_that_someone_changed_meanwhile_keeps_what_they_wrote() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        changed_by_someone_else(&base);
    }
}

#[test]
fn an_answer_that_is_too_long_for_its_column_is_no_success_and_costs_no_other() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let story = in_place(&base, Script::default());
        base.run(
            &story,
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, text VARCHAR(100), label VARCHAR(3), score INTEGER)",
        );
        let rows: Vec<String> = (1..=40).map(|i| format!("({i}, 'message {i}', NULL, NULL)")).collect();
        base.run(&story, &format!("INSERT INTO messages VALUES {}", rows.join(", ")));
        story.run([]).says(1, &["40 records: "]);
        let bad = base.count(&story, "messages WHERE label = 'bad'");
        assert!(bad > 0 && bad < 40, "{bad}");
        let failures = story.lines("out/failures.jsonl");
        assert_eq!(failures.len(), 40 - bad);
        assert!(failures.iter().all(|failure| failure["kind"] == "write_rejected"), "{failures:?}");
        assert_eq!(base.count(&story, "messages WHERE label IS NULL"), 40 - bad);
    }
}

#[test]
fn a_status_column_says_which_answers_the_table_did_not_take() {
    for base in [Some(Database::Sqlite), Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let sink = base.sink("status: state, failures: out/failures.jsonl");
        let source = format!("{}, fields: [text]", base.named("table: messages"));
        let story = story(&base, slow(100), &source, &sink);
        let state = if let Database::Server("mysql", _) = base { "VARCHAR(250)" } else { "TEXT" };
        base.run(
            &story,
            &format!(
                "CREATE TABLE messages (id INTEGER PRIMARY KEY, text VARCHAR(100), label VARCHAR(20) CHECK (label <> 'good'), score \
                 INTEGER, state {state})"
            ),
        );
        let rows: Vec<String> = (1..=60).map(|i| format!("({i}, 'message {i}', NULL, NULL, NULL)")).collect();
        base.run(&story, &format!("INSERT INTO messages VALUES {}", rows.join(", ")));
        // One is somebody else's by then: it keeps what they wrote, and says nothing of us.
        let mut running = story.start([]);
        running.until("some are asked", |_| story.asked() > 10);
        running.kill();
        base.run(&story, "UPDATE messages SET text = 'edited' WHERE id = 60");
        story.run([]).says(1, &["60 records: "]);
        let bad = base.count(&story, "messages WHERE label = 'bad' AND state = 'succeeded'");
        assert!(bad > 0 && bad < 59, "{bad}");
        let told = "state LIKE 'failed: write_rejected - the table `messages` does not take the answer: %'";
        assert_eq!(base.count(&story, &format!("messages WHERE label IS NULL AND {told}")), 59 - bad);
        assert_eq!(base.column(&story, "SELECT state FROM messages WHERE id = 60"), [None]);
        // Their answers are in the journal, and go into the table when it takes them.
        let relaxed = match base {
            Database::Sqlite => {
                "ALTER TABLE messages RENAME COLUMN label TO old; ALTER TABLE messages ADD COLUMN label TEXT"
            }
            Database::Server("mysql", _) => "ALTER TABLE messages DROP COLUMN label, ADD COLUMN label VARCHAR(20)",
            Database::Server(..) => "ALTER TABLE messages DROP CONSTRAINT messages_label_check",
        };
        base.run(&story, relaxed);
        story.tidemill(["retry", "latest", "--kind", "write_rejected"]).says(1, &["59 succeeded", "conflict 1"]);
        assert_eq!(base.count(&story, "messages WHERE state LIKE 'failed%'"), 0);
        assert_eq!(base.count(&story, "messages WHERE label = 'good' AND state = 'succeeded'"), 59 - bad);
    }
}

fn shared(base: &Database) {
    let story = story(
        base,
        slow(15),
        &format!("{}, fields: [text]", base.named("table: messages, share: true")),
        &base.sink(IN_PLACE),
    );
    base.messages(&story, 300);
    // Two machines, each with folders of its own.
    let text = story.text("pipeline.yaml").replace("path: t.db", &format!("path: {}", story.path("t.db").display()));
    let start = |machine: &str| {
        story.write(&format!("{machine}/pipeline.yaml"), &text);
        story.write(&format!("{machine}/models.yaml"), story.text("models.yaml"));
        let pipeline = format!("{machine}/pipeline.yaml");
        Running::of(story.command(["run", &*pipeline, "--state", &*format!("{machine}/state")]))
    };
    let (one, other) = (start("one"), start("other"));
    let ended = [one.wait(), other.wait()];
    assert!(ended.iter().all(|ran| ran.status == 0), "{ended:?}");
    assert_eq!(base.count(&story, "messages WHERE label IS NOT NULL"), 300);
    assert_eq!(story.asked(), 300, "no row was asked about twice");
    assert_eq!(base.count(&story, "tidemill_leases"), 0);
}

#[test]
fn two_runs_share_a_table_and_ask_about_no_row_twice() {
    shared(&Database::Sqlite);
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        shared(&base);
    }
}

fn into_another_table(base: &Database) {
    let source = format!("{}, fields: [text]", base.named("table: messages"));
    let mut story =
        story(base, slow(10), &source, &base.sink("table: labels, overwrite: true, failures: out/failures.jsonl"));
    base.messages(&story, 150);
    story.run([]).says(2, &["there is no such table", "CREATE TABLE"]);
    for n in 0..3 {
        let mut running = story.start(["--create-columns"]);
        let asked = story.asked();
        running.until("more is asked", |_| story.asked() > asked + 10 + n);
        let is_guarded = || base.columns(&story, "tidemill_written") > 0 && base.count(&story, "tidemill_written") > 0;
        running.until("what is added is guarded", |_| is_guarded());
        running.kill();
    }
    // The next one ends when everything is in the table, and before it is said anywhere that the step is finished.
    story.set("TIDEMILL_KILL", "behind_outputs:1");
    assert_eq!(story.run([]).status, 128 + 9, "it is killed");
    story.set("TIDEMILL_KILL", "");
    story.run([]).says(0, &["150 records: 150 succeeded"]);
    let once = |story: &Story| {
        assert_eq!(base.count(story, "labels"), 150);
        assert_eq!(base.count(story, "(SELECT DISTINCT id FROM labels WHERE label IS NOT NULL) AS each_one"), 150);
        assert_eq!(base.count(story, "tidemill_written"), 0, "what guarded the rows is gone with the run");
    };
    once(&story);
    // Other answers are for other rows, and there are none: they are told, and added nowhere.
    story.write("pipeline.yaml", story.text("pipeline.yaml").replace("enum: [good, bad]", "enum: [good]"));
    story.tidemill(["reparse", "latest"]).says(1, &["failed (write_rejected "]);
    let failures = story.lines("out/failures.jsonl");
    let is_told =
        |failure: &serde_json::Value| failure["message"].as_str().is_some_and(|it| it.contains("an earlier answer"));
    assert!(!failures.is_empty() && failures.iter().all(is_told), "{failures:?}");
    once(&story);
    // Another run has rows of its own.
    story.run(["--fresh"]).says(0, &["150 succeeded"]);
    assert_eq!(base.count(&story, "labels"), 300);
}

#[test]
fn rows_are_added_to_another_table_once_whenever_the_run_is_killed() {
    into_another_table(&Database::Sqlite);
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        into_another_table(&base);
    }
}

#[test]
fn a_table_becomes_a_file_and_a_file_a_table() {
    let base = Database::Sqlite;
    let source = "sqlite: { path: t.db, table: messages }, fields: [text]";
    let story = story(&base, Script::default(), source, "csv: { path: out/labels.csv, overwrite: true }");
    base.messages(&story, 20);
    story.run([]).says(0, &["20 succeeded", "out/labels.csv (20 records)"]);
    let csv = story.text("out/labels.csv");
    assert!(csv.starts_with("id,text,label,score\n1,message 1,"), "{csv}");
    // The table is as it was.
    assert_eq!(base.count(&story, "messages WHERE label IS NULL"), 20);
    base.run(&story, "CREATE TABLE labels (id INTEGER PRIMARY KEY, text TEXT, label TEXT, score INTEGER)");
    let sink = "sqlite: { path: t.db, table: labels, key: [id], overwrite: true }";
    story.write("pipeline.yaml", pipeline("csv: { path: out/labels.csv }, fields: [text]", sink));
    story.run([]).says(0, &["20 succeeded"]);
    assert_eq!(base.count(&story, "labels WHERE typeof(score) = 'integer' AND typeof(id) = 'integer'"), 20);
    // And again, over the rows that are there.
    story.run(["--fresh"]).says(0, &["20 succeeded"]);
    assert_eq!(base.count(&story, "labels"), 20);
    story.write("pipeline.yaml", pipeline(source, "excel: { path: out/labels.xlsx, overwrite: true }"));
    story.run([]).says(0, &["20 succeeded", "out/labels.xlsx (20 records)"]);
}

#[test]
fn columns_that_are_missing_are_offered_and_made() {
    for base in [Some(Database::Sqlite), Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let sink = base.sink("columns: { label: category }, status: state, failures: out/failures.jsonl");
        let story =
            story(&base, Script::default(), &format!("{}, fields: [text]", base.named("table: messages")), &sink);
        base.messages(&story, 10);
        story
            .tidemill(["check", "pipeline.yaml"])
            .says(2, &["no column `category`, `state`", "ALTER TABLE", "--create-columns"]);
        story.run(["--create-columns"]).says(0, &["10 succeeded"]);
        assert_eq!(base.count(&story, "messages WHERE category IN ('good', 'bad') AND state = 'succeeded'"), 10);
    }
}

#[test]
fn what_is_wrong_with_a_table_or_the_way_to_it_is_told_in_words() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let mut story = in_place(&base, Script::default());
        story.tidemill(["check", "pipeline.yaml"]).says(2, &["there is no table `messages`"]);
        base.run(&story, "CREATE TABLE message (text VARCHAR(10), label VARCHAR(10), score INTEGER)");
        story.tidemill(["check", "pipeline.yaml"]).says(2, &["did you mean `message`?"]);
        base.run(&story, "ALTER TABLE message RENAME TO messages");
        story.tidemill(["check", "pipeline.yaml"]).says(2, &["has no primary key", "`key: [id]`"]);
        story.set("DB_PASSWORD", "wrong-password-4711");
        let said = story.tidemill(["check", "pipeline.yaml"]);
        said.says(2, &["does not let"]).does_not_say("wrong-password-4711");
        let Database::Server(word, server) = &base else { continue };
        let password = format!("{word}: {{ url: \"{}\", table: t, password: {PASSWORD} }}", server.url());
        story.write("pipeline.yaml", pipeline(&password, &base.sink(IN_PLACE)));
        story.tidemill(["check", "pipeline.yaml"]).says(2, &["never stands in the file itself"]).does_not_say(PASSWORD);
        let gone = format!("{word}: {{ url: \"{word}://me@127.0.0.1:1/there\", table: t }}");
        story.write("pipeline.yaml", pipeline(&gone, &base.sink(IN_PLACE)));
        story.tidemill(["check", "pipeline.yaml"]).says(3, &["cannot reach the database at 127.0.0.1:1"]);
    }
}

#[test]
fn the_password_of_a_database_stands_in_no_file() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let story = in_place(&base, Script::default());
        base.messages(&story, 5);
        let ran = story.run(["--json"]);
        ran.says(0, &["5 succeeded"]).does_not_say(PASSWORD);
        let mut folders = vec![story.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the database of the test does it") {
                let path = entry.expect("the database of the test does it").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let has = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
                    assert!(!has, "the password stands in `{}`", path.display());
                }
            }
        }
    }
}
