//! `tidemill data` over tables of databases.

use serde_json::{Value, json};
use simulate::Script;

use super::{Database, pipeline, story};
use crate::story::json_lines;

#[test]
fn a_sqlite_file_is_looked_at_and_becomes_other_files() {
    let base = Database::Sqlite;
    let story =
        story(&base, Script::default(), "sqlite: { path: t.db, table: messages }", "jsonl: { path: out/x.jsonl }");
    base.messages(&story, 3);
    // The only table needs no name, and what it is is told by what is in it.
    std::fs::copy(story.path("t.db"), story.path("kept.backup")).expect("a file can be copied");
    let head = story.tidemill(["data", "head", "kept.backup", "-n", "2"]);
    let row = |i: u64| json!({"id": i * i, "text": format!("message {i}"), "label": null, "score": null});
    assert_eq!((head.status, json_lines(&head.stdout)), (0, vec![row(1), row(2)]), "{head:?}");
    base.run(&story, "CREATE TABLE bare (name TEXT, n REAL, b BLOB); CREATE VIEW seen AS SELECT * FROM bare");
    story.tidemill(["data", "head", "t.db"]).says(2, &["name a table with `--table`", "`bare`, `messages`"]);
    story.tidemill(["data", "head", "t.db", "--table", "mesages"]).says(2, &["did you mean `messages`?"]);
    story.tidemill(["data", "head", "nothing.db", "--table", "t"]).says(2, &["there is no such file"]);
    story.tidemill(["data", "head", "t.db", "--sheet", "1"]).says(2, &["`--sheet` is for workbooks"]);
    story
        .tidemill(["data", "head", "pipeline.yaml", "--encoding", "gbk"])
        .says(2, &["`--encoding` is for files of text"]);
    // A table without a key is read whole all the same; a view needs one.
    let rows: Vec<String> = (0..1_200).map(|n| format!("('name {n}', {n}.5, x'00ff')")).collect();
    base.run(&story, &format!("INSERT INTO bare VALUES {}", rows.join(", ")));
    base.run(&story, "DELETE FROM bare WHERE name = 'name 7'");
    let stats = story.tidemill(["data", "stats", "t.db", "--table", "bare", "--json"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap_or_else(|_| panic!("{stats:?}"));
    assert_eq!((&stats["records"], &stats["columns"][1]["numbers"]), (&json!(1_199), &json!(1_199)));
    story.tidemill(["data", "head", "t.db", "--table", "seen"]).says(2, &["has no primary key", "`key: [id]`"]);
    story.tidemill(["data", "convert", "t.db", "out.xlsx", "--table", "bare"]).says(0, &["out.xlsx (1,199 records)"]);
    story.tidemill(["data", "convert", "out.xlsx", "out.csv"]).says(0, &["out.csv (1,199 records)"]);
    let csv = story.text("out.csv");
    assert!(csv.starts_with("name,n,b\nname 0,0.5,AP8=\nname 1,1.5,AP8=\n"), "{}", &csv[..80]);
    for database in ["t.db", "new.sqlite"] {
        let said = [format!("`{database}` is a database"), "`tidemill run`".to_owned()];
        story.tidemill(["data", "convert", "out.csv", database]).says(2, &said.each_ref().map(String::as_str));
    }
    assert!(!story.has("new.sqlite"));
}

#[test]
fn what_a_pipeline_reads_is_looked_at_by_its_name() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let source = format!("{}, fields: [text]", base.named("table: messages"));
        // What is wrong elsewhere in the file is nothing to those who look: there are no such columns.
        let mut story = story(&base, Script::default(), &source, &base.sink("columns: { label: category }"));
        base.messages(&story, 700);
        base.run(&story, "UPDATE messages SET label = 'good', score = 1");
        base.run(&story, "CREATE TABLE others (name VARCHAR(10) PRIMARY KEY)");
        let head = story.tidemill(["data", "head", "pipeline.yaml", "-n", "1"]);
        let first = json!({"id": 1, "text": "message 1", "label": "good", "score": 1});
        assert_eq!((head.status, json_lines(&head.stdout)), (0, vec![first]), "{head:?}");
        story.tidemill(["data", "convert", "pipeline.yaml", "out.csv"]).says(0, &["out.csv (700 records)"]);
        assert!(story.text("out.csv").ends_with("\n490000,message 700,good,1\n"));
        story.tidemill(["data", "stats", "pipeline.yaml", "--table", "others"]).says(0, &[]);
        story.tidemill(["data", "stats", "pipeline.yaml", "--table", "other"]).says(2, &["did you mean `others`?"]);
        story.set("DB_PASSWORD", "wrong-password-4711");
        let said = story.tidemill(["data", "head", "pipeline.yaml"]);
        said.says(2, &["does not let"]).does_not_say("wrong-password-4711");
    }
}

#[test]
fn a_pipeline_over_a_file_stands_for_the_file() {
    let story =
        story(&Database::Sqlite, Script::default(), "jsonl: { path: in.jsonl }", "jsonl: { path: out/x.jsonl }");
    story.write("in.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    let head = story.tidemill(["data", "head", "pipeline.yaml"]);
    assert_eq!(json_lines(&head.stdout), [json!({"text": "one"}), json!({"text": "two"})]);
    story.tidemill(["data", "head", "pipeline.yaml", "--table", "t"]).says(2, &["it reads no database"]);
    story.tidemill(["data", "head", "in.jsonl", "--table", "t"]).says(2, &["`--table` is for databases"]);
    // The file that it stands for is not written over.
    let told = "the output `in.jsonl` is the input";
    story.tidemill(["data", "convert", "pipeline.yaml", "in.jsonl"]).says(2, &[told]);
    story.tidemill(["data", "convert", "*.jsonl", "in.jsonl"]).says(2, &[told]);
    assert_eq!(story.text("in.jsonl").lines().count(), 2);
    story.write("pipeline.yaml", pipeline("jsonl: { path: \"-\" }", "jsonl: { path: out/x.jsonl }"));
    story.tidemill(["data", "head", "pipeline.yaml"]).says(2, &["it reads standard input"]);
    story.write("pipeline.yaml", "version: 1\nname: story\n");
    story.tidemill(["data", "head", "pipeline.yaml"]).says(2, &["it is no pipeline"]);
}
