//! Writes in place: only into rows that are what they were.

use domain::{FailureKind, RecordKey};

use super::Bed;
use crate::sql::{
    Cell, Database, Flavor, Value, Wanted,
    batch::{self, Change},
    cells,
    table::Table,
};

pub(super) fn change(table: &Table, id: i64, read: &[(usize, &str)], new: Vec<(usize, String)>) -> Change {
    assert_eq!(table.key.len(), 1);
    Change {
        key: RecordKey { step: 0, part: 0, sample: 0, position: id.unsigned_abs() },
        row: vec![Value::Integer(id)],
        read: read.iter().map(|(column, value)| (*column, (*value).to_owned())).collect(),
        new,
        last: None,
        values: String::new(),
    }
}

pub(super) fn each_row_has_an_end_of_its_own(bed: &Bed) {
    bed.run(&[
        "CREATE TABLE guarded (id INTEGER PRIMARY KEY, body {text}, answer VARCHAR(5) CHECK (answer <> 'bad'), n DECIMAL(10,2))",
        "INSERT INTO guarded VALUES (1, 'a', NULL, NULL), (2, 'b', NULL, NULL), (3, 'c', NULL, NULL), (4, 'd', NULL, NULL), (5, \
         'e', NULL, NULL)",
    ]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("guarded").name, None).unwrap();
    // Someone changes one row's text, answers another, and removes a third.
    bed.run(&[
        "UPDATE guarded SET body = 'changed' WHERE id = 2",
        "UPDATE guarded SET answer = 'mine' WHERE id = 3",
        "DELETE FROM guarded WHERE id = 4",
    ]);
    let of = |id: i64, body: &str, answer: &str| {
        let read = [(1, body), (2, "null"), (3, "null")];
        change(&table, id, &read, vec![(2, answer.to_owned()), (3, "1.5".to_owned())])
    };
    let changes = [
        of(1, "\"a\"", "\"fine\""),
        of(2, "\"b\"", "\"fine\""),
        of(3, "\"c\"", "\"fine\""),
        of(4, "\"d\"", "\"fine\""),
        of(5, "\"e\"", "\"bad\""),
    ];
    let ends = batch::write(&mut *database, &table, &changes).unwrap();
    assert_eq!(ends[0], Ok(()));
    let kinds: Vec<FailureKind> = ends[1..].iter().map(|end| end.as_ref().unwrap_err().kind).collect();
    use FailureKind::{Conflict, WriteRejected};
    assert_eq!(kinds, [Conflict, Conflict, Conflict, WriteRejected]);
    let message = &ends[1].as_ref().unwrap_err().message;
    assert!(message.contains("`body` was \"b\" when it was read, and is \"changed\""), "{message}");
    let n = if bed.connect().flavor() == Flavor::Sqlite { "1.5" } else { "1.50" };
    let wanted = [
        format!(r#"1|"a"|"fine"|{n}"#),
        r#"2|"changed"|null|null"#.to_owned(),
        r#"3|"c"|"mine"|null"#.to_owned(),
        r#"5|"e"|null|null"#.to_owned(),
    ];
    assert_eq!(bed.rows("guarded"), wanted);
    // A process that was killed behind the commit writes the same again, which is no conflict though nothing is as read.
    assert_eq!(batch::write(&mut *database, &table, &changes[..1]).unwrap(), [Ok(())]);
    // Another answer is one, unless we say that the first was ours.
    let mut other = of(1, "\"a\"", "\"other\"");
    assert!(batch::write(&mut *database, &table, std::slice::from_ref(&other)).unwrap()[0].is_err());
    other.last = Some(changes[0].new.clone());
    assert_eq!(batch::write(&mut *database, &table, &[other]).unwrap(), [Ok(())]);
    assert_eq!(bed.rows("guarded")[0], format!(r#"1|"a"|"other"|{n}"#));
}

pub(super) fn what_is_too_long_costs_its_row_alone(bed: &Bed) {
    if bed.connect().flavor() == Flavor::Sqlite {
        // It has no lengths.
        return;
    }
    bed.run(&["CREATE TABLE short (id INTEGER PRIMARY KEY, answer VARCHAR(5), n INTEGER)"]);
    let values: Vec<String> = (0..300).map(|id| format!("({id}, NULL, NULL)")).collect();
    bed.run(&[&format!("INSERT INTO short VALUES {}", values.join(", "))]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("short").name, None).unwrap();
    let answer = |id: i64| match id {
        7 => "\"much too long\"".to_owned(),
        8 => "\"中文中文中\"".to_owned(),
        _ => "\"fine\"".to_owned(),
    };
    let number = |id: i64| if id == 9 { "\"no number\"".to_owned() } else { id.to_string() };
    let of = |id: i64| change(&table, id, &[(1, "null")], vec![(1, answer(id)), (2, number(id))]);
    let changes: Vec<Change> = (0..300).map(of).collect();
    let ends = batch::write(&mut *database, &table, &changes).unwrap();
    let failed: Vec<usize> = ends.iter().enumerate().filter(|(_, end)| end.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [7, 9]);
    let rows = bed.rows("short");
    assert_eq!((rows[7].as_str(), rows[8].as_str()), ("7|null|null", "8|\"中文中文中\"|8"));
    assert_eq!(rows.iter().filter(|row| row.contains("fine")).count(), 297);
}

pub(super) fn values_of_any_kind_go_in_one_batch(bed: &Bed) {
    bed.run(&[
        "CREATE TABLE mixed (id INTEGER PRIMARY KEY, t {text}, d DECIMAL(20,10), f DOUBLE PRECISION, j {json}, b {binary})",
        "INSERT INTO mixed (id) VALUES (1), (2), (3)",
    ]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("mixed").name, None).unwrap();
    let rows = [
        ["\"中文 😀 ' \\\\ x\"", "1234567890.0123456789", "0.1", "{\"a\":1.50}", "\"AP8=\""],
        ["null", "2", "3", "\"text\"", "null"],
        ["17", "null", "0.30000000000000004", "[1]", "\"AAAA\""],
    ];
    let changes: Vec<Change> = (rows.iter().enumerate())
        .map(|(n, row)| {
            let new = row.iter().enumerate().map(|(n, value)| (n + 1, (*value).to_owned())).collect();
            change(&table, n as i64 + 1, &[], new)
        })
        .collect();
    let ends = batch::write(&mut *database, &table, &changes).unwrap();
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    let read = bed.rows("mixed");
    let is_sqlite = database.flavor() == Flavor::Sqlite;
    assert!(read[0].contains("中文 😀 ' \\\\ x") && read[0].ends_with("|0.1|{\"a\":1.50}|\"AP8=\""), "{read:?}");
    assert!(is_sqlite || read[0].contains("|1234567890.0123456789|"), "{read:?}");
    assert!(read[1].starts_with("2|null|2") && read[1].ends_with("|\"text\"|null"), "{read:?}");
    assert!(read[2].starts_with("3|\"17\"|null|0.30000000000000004|[1]|\"AAAA\""), "{read:?}");
}

pub(super) fn rows_of_keys_of_several_columns_are_written(bed: &Bed) {
    bed.run(&[
        "CREATE TABLE several (a INTEGER, b {text}, answer {text}, j {json}, PRIMARY KEY (a, b))",
        "INSERT INTO several VALUES (1, 'x', NULL, NULL), (1, 'y', NULL, NULL), (2, 'x', NULL, NULL)",
    ]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("several").name, None).unwrap().with_key().unwrap();
    let changes: Vec<Change> = (table.page(&mut *database, &Wanted::default(), None, 10).unwrap().iter())
        .map(|row| {
            let mut line = String::new();
            table.push_object(row, &mut line);
            let text = format!("\"of {}\"", line.len());
            let new = vec![(2, text), (3, "{\"b\": [1, null]}".to_owned())];
            Change { row: table.key_of(&line).unwrap(), ..change(&keyed(&table), 0, &[(2, "null")], new) }
        })
        .collect();
    assert!(batch::write(&mut *database, &table, &changes).unwrap().iter().all(Result::is_ok));
    let rows = bed.rows("several");
    assert!(rows.iter().all(|row| row.contains("\"of ") && row.ends_with("{\"b\":[1,null]}")), "{rows:?}");
}

pub(super) fn rows_get_their_own_answers_by_keys_of_text_and_of_bytes(bed: &Bed) {
    let kinds: &[&str] = match bed.connect().flavor() {
        Flavor::Sqlite => &["TEXT", "TEXT COLLATE NOCASE"],
        Flavor::Postgres => &["VARCHAR(40)", "CHAR(40)", "BYTEA"],
        Flavor::Mysql => &[
            "VARCHAR(40)",
            "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "VARCHAR(40) CHARACTER SET latin1",
            "CHAR(40)",
            "VARBINARY(40)",
            "BINARY(12)",
        ],
    };
    for (n, kind) in kinds.iter().enumerate() {
        let name = format!("keyed{n}");
        bed.run(&[&format!("CREATE TABLE {name} (id {kind} PRIMARY KEY, answer {{text}}, b {{binary}}, j {{json}})")]);
        let ids = (0..2_000).map(|id| format!("('{}{id:04}')", ["a", "B", "ä", "o''", "x "][id % 5]));
        bed.run(&[&format!("INSERT INTO {name} (id) VALUES {}", ids.collect::<Vec<_>>().join(", "))]);
        let mut database = bed.connect();
        let flavor = database.flavor();
        let table = Table::look(&mut *database, &bed.table(&name).name, None).unwrap();
        let of = |n: usize, row: &[Cell]| {
            let mut line = String::new();
            table.push_object(row, &mut line);
            let is_too_long = n == 77 && flavor != Flavor::Sqlite;
            let answer = if is_too_long { "x".repeat(200) } else { format!("it's {n}") };
            let bytes = data_encoding::BASE64.encode(&[n as u8, 0xff, 0, b'\'']);
            let new = vec![(1, format!("\"{answer}\"")), (2, format!("\"{bytes}\"")), (3, format!("[{n}]"))];
            Change { row: table.key_of(&line).unwrap(), ..change(&table, 0, &[(1, "null")], new) }
        };
        let rows = table.page(&mut *database, &Wanted::default(), None, 300).unwrap();
        let changes: Vec<Change> = rows.iter().enumerate().map(|(n, row)| of(n, row)).collect();
        let (good, bad) = changes.split_at(77);
        // To ask is work too.
        let [first, before] = [work(&mut *database), work(&mut *database)];
        assert!(batch::write(&mut *database, &table, good).unwrap().iter().all(Result::is_ok));
        let after = work(&mut *database);
        // A statement serves many rows, and none looks at the whole table.
        let scanned = after[1] - before[1] - (before[1] - first[1]);
        assert!(after[0] - before[0] <= 4 && scanned < 1_000, "{kind}: {first:?}, {before:?}, {after:?}");
        let ends = batch::write(&mut *database, &table, bad).unwrap();
        let failed = ends.iter().filter(|end| end.is_err()).count();
        assert_eq!((failed, ends[0].is_err()), (usize::from(flavor != Flavor::Sqlite), flavor != Flavor::Sqlite));
        for (n, row) in bed.rows(&name).iter().enumerate() {
            let bytes = data_encoding::BASE64.encode(&[n as u8, 0xff, 0, b'\'']);
            let is_written = n < 300 && (n != 77 || flavor == Flavor::Sqlite);
            let end =
                if is_written { format!("|\"it's {n}\"|\"{bytes}\"|[{n}]") } else { "|null|null|null".to_owned() };
            assert!(row.ends_with(&end), "{kind}: {n}: {row}");
        }
    }
}

pub(super) fn rows_are_told_apart_by_the_last_digit_of_the_greatest_keys(bed: &Bed) {
    if bed.connect().flavor() != Flavor::Mysql {
        // They have no whole numbers beyond those with a sign.
        return;
    }
    bed.run(&[
        "CREATE TABLE great (id BIGINT UNSIGNED PRIMARY KEY, answer {text}, b {binary})",
        "INSERT INTO great (id) VALUES (1), (9223372036854775807), (18446744073709551613), (18446744073709551614), \
         (18446744073709551615)",
    ]);
    let mut database = bed.connect();
    let table = Table::look(&mut *database, &bed.table("great").name, None).unwrap();
    // With bytes among the answers the statement is another one.
    for columns in [vec![1], vec![1, 2]] {
        let of = |row: &Vec<Cell>| {
            let mut line = String::new();
            table.push_object(row, &mut line);
            let id = cells::to_json(Flavor::Mysql, &table.columns[0], &row[0]);
            let new =
                columns.iter().map(|n| (*n, if *n == 1 { format!("\"{n} of {id}\"") } else { "\"AP8=\"".to_owned() }));
            Change { row: table.key_of(&line).unwrap(), ..change(&table, 0, &[], new.collect()) }
        };
        bed.run(&["UPDATE great SET answer = NULL"]);
        let rows = table.page(&mut *database, &Wanted::default(), None, 10).unwrap();
        let changes: Vec<Change> = rows.iter().map(of).collect();
        let ends = batch::write(&mut *database, &table, &changes).unwrap();
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        let is_own = |row: &String| {
            let (id, rest) = row.split_once('|').unwrap();
            rest.starts_with(&format!("\"1 of {id}\""))
        };
        let rows = bed.rows("great");
        assert!(rows.len() == 5 && rows.iter().all(is_own), "{rows:?}");
    }
}

/// Returns how many updates `MariaDB` ran on this connection, and how many rows it read one behind the other in no order;
/// nothing for others.
fn work(database: &mut dyn Database) -> [u64; 2] {
    if database.flavor() != Flavor::Mysql {
        return [0, 0];
    }
    ["COM_UPDATE", "HANDLER_READ_RND_NEXT"].map(|name| {
        let sql = "SELECT CAST(VARIABLE_VALUE AS CHAR) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = ?";
        match &database.query(sql, &[Value::Text(name.to_owned())]).unwrap()[0][0] {
            Cell::Text(text) => text.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    })
}

fn keyed(table: &Table) -> Table {
    Table { key: vec![0], ..table.clone() }
}
