//! AI-DataFlux's own file over a table, as it is.

use simulate::Script;
use testkit::servers::PASSWORD;

use super::Database;
use crate::story::{Pipeline, Story, records};

fn their_file(base: &Database, story: &Story) -> String {
    let table = match base {
        Database::Sqlite => "datasource: { type: sqlite }\nsqlite: { db_path: t.db, table_name: messages }".to_owned(),
        Database::Server(word, server) => {
            let url = server.url();
            let (address, database) = url.rsplit_once('/').expect("a server's address ends in a database");
            let (user, host) = address.split_once("//").and_then(|(_, it)| it.split_once('@')).expect("it has a user");
            let (host, port) = host.split_once(':').expect("it has a port");
            let kind = if *word == "mysql" { "mysql" } else { "postgresql" };
            format!(
                "datasource: {{ type: {kind}, concurrency: {{ batch_size: 400 }} }}\n{kind}: {{ host: {host}, port: {port}, user: {user}, \
                 password: {PASSWORD}, database: {database}, table_name: messages, pool_size: 64 }}"
            )
        }
    };
    format!(
        "{table}\ncolumns_to_extract: [text]\ncolumns_to_write: {{ label: label, score: score }}\nvalidation: {{ enabled: true, \
         field_rules: {{ label: [good, bad], score: [1, 2, 3] }} }}\nmodels:\n  - {{ id: 1, model: theirs, channel_id: c, api_key: k, \
         safe_rps: 1000 }}\nchannels: {{ c: {{ base_url: \"http://{}\" }} }}\nprompt: {{ required_fields: [label, score], template: \
         \"Label this: {{record_json}}\", use_json_schema: true }}\n",
        story.vendor.address()
    )
}

fn runs_their_file(base: &Database) {
    let mut story = Story::with(records(1), Script::default(), &Pipeline::default());
    // In their file the password stands as it is; what the environment says is about something else.
    story.set("DB_PASSWORD", "another");
    base.messages(&story, 40);
    base.run(&story, "UPDATE messages SET label = 'good', score = 2 WHERE id = 1");
    base.run(&story, "UPDATE messages SET label = 'ERROR: timeout', score = 0 WHERE id = 4");
    base.run(&story, "UPDATE messages SET text = '' WHERE id = 9");
    story.write("config.yaml", their_file(base, &story));
    let ran = story.tidemill(["run", "config.yaml"]);
    ran.says(0, &["37 records: 37 succeeded"]).does_not_say(PASSWORD);
    let is_told = ran.stderr.contains("`pool_size`");
    assert_eq!(is_told, matches!(base, Database::Server(..)), "{}", ran.stderr);
    assert_eq!(base.count(&story, "messages WHERE label IN ('good', 'bad') AND score IN (1, 2, 3)"), 38);
    assert_eq!(base.count(&story, "messages WHERE id = 9 AND label IS NULL"), 1, "it has nothing to be asked about");
    let ran = story.tidemill(["estimate", "config.yaml", "--mode", "out", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(json["steps"][0]["output"]["counted"], 39, "{json}");
    story.tidemill(["run", "config.yaml", "--errors-again"]).says(0, &["1 record: 1 succeeded"]);
    assert_eq!(base.count(&story, "messages WHERE label LIKE 'ERROR%'"), 0);
    let imported = story.tidemill(["import", "config.yaml"]);
    assert_eq!(imported.status, 0, "{imported:?}");
    imported.does_not_say(PASSWORD);
    assert_eq!(story.asked(), 38);
}

#[test]
fn their_file_over_a_sqlite_table_runs_as_it_is() {
    runs_their_file(&Database::Sqlite);
}

#[test]
fn their_file_over_tables_of_servers_runs_as_it_is() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        runs_their_file(&base);
    }
}
