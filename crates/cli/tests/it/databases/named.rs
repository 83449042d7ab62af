//! One table under several names.

use mysql::prelude::Queryable as _;
use simulate::Script;
use testkit::servers::PASSWORD;

use super::{Database, pipeline, story};

const FAILURES: &str = "overwrite: true, failures: out/failures.jsonl";

#[test]
fn a_sink_that_is_the_table_that_is_read_under_another_name_is_refused_before_anything_is_asked() {
    for base in [Some(Database::Sqlite), Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let source = format!("{}, fields: [text]", base.named("table: messages"));
        let (sinks, said) = match &base {
            Database::Sqlite => {
                let sinks = ["path: ./t.db", "path: link.db", "path: t.db, table: Messages"];
                (sinks.map(|sink| base.sink(&format!("{sink}, {FAILURES}"))).to_vec(), "is `messages` in `t.db`")
            }
            Database::Server(..) => {
                let elsewhere =
                    base.named(&format!("table: messages, {FAILURES}")).replace("@127.0.0.1:", "@localhost:");
                let mut sinks = vec![elsewhere];
                if let Database::Server("postgres", _) = base {
                    sinks.push(base.sink(&format!("schema: public, {FAILURES}")));
                }
                (sinks, "it is the table that is read")
            }
        };
        for sink in sinks {
            let story = story(&base, Script::default(), &source, &sink);
            if base.columns(&story, "messages") == 0 {
                base.messages(&story, 5);
            }
            if let Database::Sqlite = base {
                std::os::unix::fs::symlink(story.path("t.db"), story.path("link.db")).expect("a link can be made");
            }
            for command in ["check", "run"] {
                story.tidemill([command, "pipeline.yaml"]).says(2, &[said, "Leave out under the sink"]);
            }
            story.run(["--create-columns"]).says(2, &[said]);
            assert_eq!((story.asked(), base.count(&story, "messages")), (0, 5), "{sink}");
        }
    }
}

#[test]
fn a_user_who_may_read_and_one_who_may_write_share_a_table_in_place() {
    for base in [Database::mariadb(), Database::postgres()].into_iter().flatten() {
        let Database::Server(word, server) = &base else { continue };
        let mut story = story(&base, Script::default(), "", "");
        story.set("READER_PASSWORD", PASSWORD);
        base.messages(&story, 8);
        base.run(&story, "UPDATE messages SET label = 'good', score = 1 WHERE id = 1");
        let is_mysql = *word == "mysql";
        if is_mysql {
            let root = server.url().replace("//app@", "//root@");
            let mut root = mysql::Conn::new(&*root).expect("root needs no password here");
            for statement in [
                format!("CREATE USER IF NOT EXISTS reader IDENTIFIED BY '{PASSWORD}'"),
                "GRANT SELECT ON *.* TO reader".to_owned(),
            ] {
                root.query_drop(statement).expect("root may do anything");
            }
        } else {
            base.run(&story, &format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"));
            base.run(&story, "GRANT SELECT ON messages TO reader");
        }
        let own = if is_mysql { "//app@" } else { "//postgres@" };
        let url = server.url().replace(own, "//reader@");
        let source = format!(
            "{word}: {{ url: \"{url}\", password: {{ env: READER_PASSWORD }}, table: messages }}, fields: [text]"
        );
        story.write("pipeline.yaml", pipeline(&source, &base.named("table: messages, failures: out/failures.jsonl")));
        // The row that has an answer is not asked about: it is one table, in place.
        story.run([]).says(0, &["7 records: 7 succeeded"]);
        assert_eq!(base.count(&story, "messages WHERE label IS NOT NULL"), 8);
    }
}
