//! Pages by key, conditions, types.

use domain::ports::{Source as _, Starts};

use super::Bed;
use crate::{
    AnswerColumns,
    sql::{Flavor, SqlSource, SqlSourceSettings, Value, Wanted, table::Table},
};

/// Reads a table page by page, and returns the first column of each row.
fn paged(bed: &Bed, table: &str, wanted: &Wanted, n: usize) -> Vec<String> {
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table(table).name, None).unwrap().with_key().unwrap();
    let (mut last, mut seen): (Option<Vec<Value>>, Vec<String>) = (None, Vec::new());
    loop {
        let rows = table.page(&mut *database, wanted, last.as_deref(), n).unwrap();
        for row in &rows {
            let mut line = String::new();
            table.push_object(row, &mut line);
            last = table.key_of(&line);
            seen.push(super::cells::to_json(table.flavor, &table.columns[0], &row[0]));
        }
        if rows.len() < n {
            assert_eq!(table.count(&mut *database, wanted, None).unwrap(), seen.len() as u64);
            return seen;
        }
    }
}

pub(super) fn every_row_is_read_once_in_the_order_of_any_key(bed: &Bed) {
    // Sparse numbers, with a gap that would take thousands of ranges.
    bed.run(&["CREATE TABLE sparse (id BIGINT PRIMARY KEY, v {text})"]);
    let ids: Vec<i64> = [1, 3, 20].into_iter().chain(20_000_000..20_000_050).chain([9_007_199_254_740_993]).collect();
    let values: Vec<String> = ids.iter().map(|id| format!("({id}, 'x')")).collect();
    bed.run(&[&format!("INSERT INTO sparse VALUES {}", values.join(", "))]);
    for n in [1, 7, 27, 54, 1000] {
        assert_eq!(paged(bed, "sparse", &Wanted::default(), n), ids.iter().map(i64::to_string).collect::<Vec<_>>());
    }
    // Text, with everything that could end a statement.
    bed.run(&["CREATE TABLE {q}odd 'table; --{q} ({q}the key{q} {text} PRIMARY KEY, {q}select{q} {text})"]);
    let keys = ["a", "a' OR 1=1 --", "b\"c", "d\\\\e", "f?g", "h$1", "中文", "zz"];
    for key in keys {
        let key = key.replace('\'', "''");
        let key = if bed.connect().flavor() == Flavor::Mysql { key } else { key.replace("\\\\", "\\") };
        bed.run(&[&format!("INSERT INTO {{q}}odd 'table; --{{q}} VALUES ('{key}', NULL)")]);
    }
    let mut read = paged(bed, "odd 'table; --", &Wanted::default(), 3);
    read.sort();
    let mut wanted: Vec<String> =
        keys.iter().map(|key| serde_json::Value::from(key.replace("\\\\", "\\")).to_string()).collect();
    wanted.sort();
    assert_eq!(read, wanted);
    // Several columns, the last of which changes fastest.
    bed.run(&["CREATE TABLE pair (a INTEGER, b {text}, c INTEGER, PRIMARY KEY (a, b))"]);
    let mut pairs = Vec::new();
    for a in 1..=4 {
        for b in ["k", "l", "m"] {
            pairs.push(format!("({a}, '{b}', {})", pairs.len()));
        }
    }
    bed.run(&[&format!("INSERT INTO pair VALUES {}", pairs.join(", "))]);
    for n in [1, 2, 3, 5, 12, 13] {
        assert_eq!(paged(bed, "pair", &Wanted::default(), n).len(), 12, "{n} at once");
    }
}

pub(super) fn conditions_are_the_databases_own(bed: &Bed) {
    bed.run(&[
        "CREATE TABLE cond (id INTEGER PRIMARY KEY, a {text}, b {text}, n INTEGER, answer {text}, score INTEGER)",
        "INSERT INTO cond VALUES (1, 'x', 'y', 0, NULL, NULL), (2, 'x', '', 0, '', 1), (3, '', NULL, 0, 'done', NULL), \
         (4, ' ', ' ', NULL, 'done', 0), (5, 'x', 'y', 5, 'done', 0), (6, 'x', 'y', 5, 'ERROR: api - x', 1)",
    ]);
    let of = |required: &[&str], all: bool, pending: &[&str], errors: bool| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        paged(bed, "cond", &Wanted { required: names(required), all, pending: names(pending), errors }, 2).join(",")
    };
    assert_eq!(of(&["a", "b"], true, &[], false), "1,5,6");
    assert_eq!(of(&["a", "b"], false, &[], false), "1,2,5,6");
    // A number 0 is something.
    assert_eq!(of(&["n"], true, &[], false), "1,2,3,5,6");
    assert_eq!(of(&[], true, &["answer", "score"], false), "1,2,3");
    assert_eq!(of(&["a", "b"], true, &["answer"], false), "1");
    assert_eq!(of(&[], true, &["answer"], true), "1,2,6");
    // A column that is yet to be made is empty everywhere.
    assert_eq!(of(&[], true, &["answer", "later"], false), "1,2,3,4,5,6");
}

pub(super) fn what_is_read_is_exact(bed: &Bed) {
    let flavor = bed.connect().flavor();
    let (create, insert, wanted) = match flavor {
        Flavor::Sqlite => (
            "CREATE TABLE types (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, j JSON, d DATE)",
            "INSERT INTO types VALUES (1, 9007199254740993, 0.1, '00123', x'00ff', '{ \"a\": [1, 2.50] }', '2026-11-22'), (2, \
             NULL, NULL, NULL, NULL, NULL, NULL)",
            vec![
                r#"1|9007199254740993|0.1|"00123"|"AP8="|{"a":[1,2.50]}|"2026-11-22""#,
                "2|null|null|null|null|null|null",
            ],
        ),
        Flavor::Mysql => (
            "CREATE TABLE types (id INT PRIMARY KEY, i BIGINT UNSIGNED, d DECIMAL(30,10), f DOUBLE, t VARCHAR(20), b BLOB, j \
             JSON, da DATE, dt DATETIME(3), ti TIME, e ENUM('x','y'), bo BOOLEAN)",
            "INSERT INTO types VALUES (1, 18446744073709551615, 12345678901234567890.1234567890, 0.1, '00123', x'00ff', '{ \"a\": \
             [1, 2.50] }', '2026-11-22', '2026-11-22 08:30:00.125', '-838:59:59', 'y', TRUE), (2, NULL, NULL, NULL, NULL, \
             NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            vec![
                r#"1|18446744073709551615|12345678901234567890.1234567890|0.1|"00123"|"AP8="|{"a":[1,2.50]}|"2026-11-22"|"2026-11-22T08:30:00.125000"|"-838:59:59"|"y"|1"#,
                "2|null|null|null|null|null|null|null|null|null|null|null",
            ],
        ),
        Flavor::Postgres => (
            "CREATE TABLE types (id INT PRIMARY KEY, i BIGINT, d NUMERIC, f DOUBLE PRECISION, t VARCHAR(20), b BYTEA, j JSONB, da \
             DATE, dt TIMESTAMPTZ, ti TIME, u UUID, bo BOOLEAN, ar INT[])",
            "INSERT INTO types VALUES (1, 9007199254740993, 12345678901234567890.1234567890, 0.1, '00123', '\\x00ff', '{ \"a\": [1, \
             2.50] }', '2026-11-22', '2026-11-22 08:30:00.125+00', '08:30', '6fa459ea-ee8a-3ca4-894e-db77e160355e', TRUE, \
             '{1,2}'), (2, NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            vec![
                r#"1|9007199254740993|12345678901234567890.1234567890|0.1|"00123"|"AP8="|{"a":[1,2.50]}|"2026-11-22"|"2026-11-22T08:30:00.125Z"|"08:30:00"|"6fa459ea-ee8a-3ca4-894e-db77e160355e"|true|"{1,2}""#,
                r#"2|null|"NaN"|null|null|null|null|null|null|null|null|null|null"#,
            ],
        ),
    };
    bed.run(&[create, insert]);
    assert_eq!(bed.rows("types"), wanted);
    // And back: each value as it was read, into a second row.
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("types").name, None).unwrap();
    let row = &table.page(&mut *database, &Wanted::default(), None, 1).unwrap()[0];
    let values = row.iter().zip(&table.columns).enumerate().skip(1);
    let new = values.map(|(n, (cell, column))| (n, super::cells::to_json(flavor, column, cell))).collect();
    let change = super::guarded::change(&table, 2, &[], new);
    assert_eq!(crate::sql::batch::write(&mut *database, &table, &[change]).unwrap(), [Ok(())]);
    let rows = bed.rows("types");
    assert_eq!(rows[0][1..], rows[1][1..]);
}

#[test]
fn a_missing_table_or_column_is_told_with_what_was_meant() {
    let bed = Bed::sqlite();
    bed.run(&["CREATE TABLE tickets (id INTEGER PRIMARY KEY, category TEXT)", "CREATE TABLE bare (x TEXT)"]);
    let mut database = bed.connect();
    let mut look = |table: &str| Table::look(&mut *database, &bed.table(table).name, None);
    assert_eq!(look("tickts").unwrap_err().message, "there is no table `tickts`; did you mean `tickets`?");
    let tickets = look("tickets").unwrap();
    let error = tickets.index("catgory").unwrap_err().message;
    assert_eq!(error, "the table `tickets` has no column `catgory`; did you mean `category`?");
    assert!(look("bare").unwrap().with_key().unwrap_err().message.contains("`key: [id]`"));
    assert_eq!(tickets.alter(&["a".to_owned()]), "ALTER TABLE \"tickets\" ADD COLUMN \"a\" TEXT;");
}

#[tokio::test]
async fn rows_are_given_as_many_at_once_as_are_asked_for() {
    let bed = Bed::sqlite();
    bed.run(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a {text})"]);
    let values = (0..1_000).map(|id| format!("({id}, 'it is \"{id}\"')")).collect::<Vec<_>>().join(", ");
    bed.run(&[&format!("INSERT INTO t VALUES {values}")]);
    let settings = SqlSourceSettings {
        access: bed.access.clone(),
        wanted: Wanted::default(),
        claims_as: None,
        spool: None,
        step: 0,
        answers: AnswerColumns::default(),
    };
    let source = SqlSource::new(settings).unwrap();
    // As it is taken, from what was taken, and from the middle of that.
    let some = source.open(&Starts::new()).unwrap().next(30).await.unwrap();
    let behind = Starts::from([(0, (30, some[29].next_offset))]);
    for (first, starts) in [(0, Starts::new()), (0, Starts::new()), (30, behind)] {
        let mut records = source.open(&starts).unwrap();
        let mut seen = first;
        loop {
            let some = records.next(64).await.unwrap();
            assert!(some.len() <= 64, "{}", some.len());
            for read in &some {
                assert_eq!((read.record.key.position, read.record.origin.line), (seen, seen + 1));
                let line = format!(r#"{{"id":{seen},"a":"it is \"{seen}\""}}"#);
                assert_eq!(read.record.bytes, line.as_bytes());
                seen += 1;
            }
            if some.is_empty() {
                break;
            }
        }
        assert_eq!(seen, 1_000);
    }
}
