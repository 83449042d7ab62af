//! One table under two names.

use super::Bed;
use crate::{
    Place,
    sql::{Access, TableName, Where, identity::is_one_table},
};

fn is_one(source: &Access, sink: &Access) -> bool {
    is_one_table(source, sink, &mut *sink.connect().unwrap()).unwrap()
}

fn with(access: &Access, change: impl FnOnce(&mut super::Server)) -> Access {
    let mut access = access.clone();
    if let Where::Mysql(server) | Where::Postgres(server) = &mut access.at {
        change(server);
    }
    access
}

#[test]
fn a_table_of_a_server_is_known_by_whatever_address() {
    let beds = [(Bed::mariadb(), Bed::mariadb()), (Bed::postgres(), Bed::postgres())];
    for (bed, other) in beds.into_iter().filter_map(|(bed, other)| Some((bed?, other?))) {
        for bed in [&bed, &other] {
            bed.run(&["CREATE TABLE messages (id INTEGER PRIMARY KEY)", "CREATE DATABASE elsewhere"]);
        }
        let source = bed.table("messages");
        assert!(is_one(&source, &source));
        assert!(is_one(&source, &with(&source, |server| server.host = "localhost".to_owned())));
        assert!(!is_one(&source, &bed.table("labels")));
        assert!(!is_one(&source, &other.table("messages")), "another server has another table of that name");
        let elsewhere = with(&source, |server| server.database = "elsewhere".to_owned());
        assert!(!is_one(&source, &elsewhere), "the table is not there");
        elsewhere.connect().unwrap().execute("CREATE TABLE messages (id INTEGER PRIMARY KEY)", &[]).unwrap();
        assert!(!is_one(&source, &elsewhere), "another database has another table of that name");
    }
}

#[test]
fn a_table_of_postgres_is_known_with_and_without_its_schema_and_to_any_user() {
    let Some(bed) = Bed::postgres() else { return };
    bed.run(&[
        "CREATE TABLE messages (id INTEGER PRIMARY KEY)",
        "CREATE SCHEMA archive",
        "CREATE TABLE archive.messages (id INTEGER PRIMARY KEY)",
        &format!("CREATE ROLE anyone LOGIN PASSWORD '{}'", testkit::servers::PASSWORD),
    ]);
    let source = bed.table("messages");
    let in_schema = |schema: &str| {
        let name = TableName { schema: Some(schema.to_owned()), ..source.name.clone() };
        Access { name, ..source.clone() }
    };
    assert!(is_one(&source, &in_schema("public")));
    assert!(!is_one(&source, &in_schema("archive")));
    assert!(is_one(&source, &with(&in_schema("public"), |server| server.user = "anyone".to_owned())));
}

#[test]
fn a_table_of_sqlite_is_known_by_whatever_path() {
    let bed = Bed::sqlite();
    bed.run(&["CREATE TABLE messages (id INTEGER PRIMARY KEY)"]);
    let source = bed.table("messages");
    let Where::Sqlite(place) = &source.at else { panic!("it is SQLite") };
    let folder = place.path.parent().unwrap();
    let at = |path: std::path::PathBuf| Access {
        at: Where::Sqlite(Place { path, name: "another name".to_owned() }),
        ..source.clone()
    };
    std::os::unix::fs::symlink(&place.path, folder.join("link.db")).unwrap();
    std::fs::copy(&place.path, folder.join("copy.db")).unwrap();
    assert!(is_one(&source, &at(folder.join("link.db"))));
    assert!(is_one(&source, &at(folder.join("../").join(folder.file_name().unwrap()).join("t.db"))));
    assert!(is_one(&source, &bed.table("Messages")), "SQLite's names have no case");
    assert!(!is_one(&source, &at(folder.join("copy.db"))));
}
