//! The suite over each database.

use std::path::PathBuf;

use domain::FailureKind;

use super::{Bed, added, guarded, keys, reading};
use crate::sql::{Cell, Flavor, Tls, Trouble, Where, batch, table::Table};

fn all(bed: &Bed) {
    reading::every_row_is_read_once_in_the_order_of_any_key(bed);
    reading::conditions_are_the_databases_own(bed);
    reading::what_is_read_is_exact(bed);
    guarded::each_row_has_an_end_of_its_own(bed);
    guarded::what_is_too_long_costs_its_row_alone(bed);
    guarded::values_of_any_kind_go_in_one_batch(bed);
    guarded::rows_of_keys_of_several_columns_are_written(bed);
    added::rows_are_added_once_whatever_stands_beside_them(bed);
    keys::keys_of_any_type_are_read_resumed_and_written(bed);
    guarded::rows_get_their_own_answers_by_keys_of_text_and_of_bytes(bed);
    guarded::rows_are_told_apart_by_the_last_digit_of_the_greatest_keys(bed);
}

#[test]
fn sqlite_does_what_every_database_does() {
    all(&Bed::sqlite());
}

#[test]
fn mariadb_does_what_every_database_does() {
    if let Some(bed) = Bed::mariadb() {
        all(&bed);
    }
}

#[test]
fn an_answer_that_a_trigger_keeps_from_its_row_is_no_success() {
    let Some(bed) = Bed::postgres() else { return };
    bed.run(&[
        "CREATE TABLE watched (id INTEGER PRIMARY KEY, answer TEXT)",
        "INSERT INTO watched VALUES (1, NULL), (2, NULL), (3, NULL)",
        "CREATE FUNCTION only_odd() RETURNS trigger AS 'BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END' \
         LANGUAGE plpgsql",
        "CREATE TRIGGER watch BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION only_odd()",
    ]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("watched").name, None).unwrap();
    let changes = [1, 2, 3].map(|id| guarded::change(&table, id, &[], vec![(1, "\"good\"".to_owned())]));
    let ends = batch::write(&mut *database, &table, &changes).unwrap();
    assert!(ends[0].is_ok() && ends[2].is_ok(), "{ends:?}");
    let failure = ends[1].as_ref().unwrap_err();
    assert_eq!(failure.kind, FailureKind::WriteRejected);
    assert!(failure.message.contains("0 of 1 rows were written"), "{}", failure.message);
    assert_eq!(bed.rows("watched"), ["1|\"good\"", "2|null", "3|\"good\""]);
}

#[test]
fn a_connection_is_encrypted_and_the_server_is_who_it_says() {
    for bed in [Bed::mariadb(), Bed::postgres()].into_iter().flatten() {
        let with = |tls: Tls, ca: Option<PathBuf>| {
            let mut access = bed.access.clone();
            if let Where::Mysql(server) | Where::Postgres(server) = &mut access.at {
                (server.tls, server.ca) = (tls, ca);
            }
            access.connect()
        };
        let authority = bed.server.as_ref().map(testkit::servers::Server::authority);
        for ca in [authority, None] {
            let tls = if ca.is_some() { Tls::Verified } else { Tls::Unverified };
            let mut database = with(tls, ca).unwrap();
            let asked = match database.flavor() {
                Flavor::Mysql => {
                    "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'"
                }
                _ => "SELECT version::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            };
            let version = database.query(asked, &[]).unwrap();
            assert_eq!(version, [[Cell::Text("TLSv1.3".to_owned())]], "{tls:?}");
        }
        // Nobody that the system knows vouches for it.
        let refused = with(Tls::Verified, None).err().expect("nobody vouches for it");
        assert_eq!(refused.trouble, Trouble::Refused, "{refused}");
    }
}

#[test]
fn postgres_does_what_every_database_does() {
    if let Some(bed) = Bed::postgres() {
        all(&bed);
    }
}
