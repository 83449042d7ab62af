//! Keys of every type: read over many pages, gone on with after a kill, written in place.

use domain::RecordKey;

use super::Bed;
use crate::{
    Place,
    sql::{
        Cell, Database, Flavor, Value, Wanted,
        batch::{self, Change},
        spool::Spool,
        table::Table,
    },
};

/// Rows of each table: more than the spool's first page.
const ROWS: u64 = 260;

/// Numbers that are spread over everything, in no order.
fn spread(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn uuid(n: u64) -> String {
    let hex = format!("{:016x}{:016x}", spread(n), spread(n ^ 0xffff));
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn bytes(n: u64) -> String {
    uuid(n).replace('-', "")
}

/// Columns of a key, and how its value in a row is written in SQL.
type Kept = (&'static str, &'static str, fn(u64) -> String);

fn pair(n: u64) -> String {
    format!("'tenant {}', '{}'", n % 3, uuid(n))
}

/// Numbers below 0, near 0, and beyond what a floating point number tells apart.
fn sparse(n: u64) -> String {
    let small = i64::try_from(n).unwrap();
    match n % 3 {
        0 => (-9_007_199_254_740_993 - small).to_string(),
        1 => small.to_string(),
        _ => (9_007_199_254_740_992 + small).to_string(),
    }
}

fn date(n: u64) -> String {
    format!("'{:04}-{:02}-{:02}'", 1990 + n / 28 / 12, n / 28 % 12 + 1, n % 28 + 1)
}

fn moment(n: u64) -> String {
    format!("'2026-11-22 08:30:{:02}.{:06}'", n % 60, n / 60 + 1)
}

const SQLITE: &[Kept] = &[
    ("id TEXT", "id", |n| format!("'{}'", uuid(n))),
    ("id UUID", "id", |n| format!("'{}'", uuid(n))),
    ("id BLOB", "id", |n| format!("x'{}'", bytes(n))),
    ("id BINARY(16)", "id", |n| format!("x'{}'", bytes(n))),
    ("id GUID", "id", |n| format!("x'{}'", bytes(n))),
    ("id", "id", |n| format!("x'{}'", bytes(n))),
    ("tenant TEXT, id TEXT", "tenant, id", pair),
    ("tenant TEXT, id BLOB", "tenant, id", |n| format!("'{}', x'{}'", n % 3, bytes(n))),
    ("id INTEGER", "id", sparse),
    ("id DECIMAL(10,2)", "id", |n| format!("{}.{:02}", n / 7, n % 7 * 14)),
    ("id DATE", "id", date),
    ("id DATETIME", "id", moment),
];

const MYSQL: &[Kept] = &[
    ("id CHAR(36)", "id", |n| format!("'{}'", uuid(n))),
    ("id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin", "id", |n| format!("'{}'", uuid(n))),
    ("id BINARY(16)", "id", |n| format!("x'{}'", bytes(n))),
    ("tenant VARCHAR(20), id CHAR(36)", "tenant, id", pair),
    ("tenant VARCHAR(20), id BINARY(16)", "tenant, id", |n| format!("'{}', x'{}'", n % 3, bytes(n))),
    ("id BIGINT", "id", sparse),
    ("id BIGINT UNSIGNED", "id", |n| (u64::MAX - n).to_string()),
    ("id DECIMAL(30,10)", "id", |n| format!("-12345678901234567890.{n:010}")),
    ("id DECIMAL(65,0)", "id", |n| format!("{}{n:03}", "9".repeat(62))),
    ("a DECIMAL(30,10), b BIGINT UNSIGNED", "a, b", |n| {
        format!("12345678901234567890.{:010}, {}", n % 9, u64::MAX - n)
    }),
    ("id DATE", "id", date),
    ("id DATETIME(6)", "id", moment),
    ("id TIMESTAMP(6)", "id", moment),
];

const MARIADB: &[Kept] =
    &[("id UUID", "id", |n| format!("'{}'", uuid(n))), ("tenant VARCHAR(20), id UUID", "tenant, id", pair)];

const POSTGRES: &[Kept] = &[
    ("id uuid", "id", |n| format!("'{}'", uuid(n))),
    ("id bytea", "id", |n| format!("'\\x{}'", bytes(n))),
    ("tenant text, id uuid", "tenant, id", pair),
    ("id bigint", "id", sparse),
    ("id numeric", "id", |n| format!("-12345678901234567890.{n:010}")),
    ("id numeric(30,10)", "id", |n| format!("-12345678901234567890.{n:010}")),
    ("id date", "id", date),
    ("id timestamp", "id", moment),
    ("id timestamptz", "id", moment),
];

pub(super) fn keys_of_any_type_are_read_resumed_and_written(bed: &Bed) {
    let mut database = bed.connect();
    let kept = match database.flavor() {
        Flavor::Sqlite => SQLITE.to_vec(),
        Flavor::Postgres => POSTGRES.to_vec(),
        Flavor::Mysql => {
            let version = database.query("SELECT VERSION()", &[]).unwrap();
            let is_mariadb = matches!(&version[0][0], Cell::Text(text) if text.contains("MariaDB"));
            [MYSQL, if is_mariadb { MARIADB } else { &[] }].concat()
        }
    };
    for (n, (columns, key, value)) in kept.into_iter().enumerate() {
        let table = format!("keyed_{n}");
        bed.run(&[&format!("CREATE TABLE {table} ({columns}, answer VARCHAR(40), PRIMARY KEY ({key}))")]);
        let values: Vec<String> = (0..ROWS).map(|n| format!("({}, NULL)", value(n))).collect();
        bed.run(&[&format!("INSERT INTO {table} VALUES {}", values.join(", "))]);
        followed(bed, &mut *database, &table, columns);
    }
}

fn followed(bed: &Bed, database: &mut dyn Database, name: &str, columns: &str) {
    let access = bed.table(name);
    let table = Table::look(database, &access.name, None).unwrap().with_key().unwrap();
    let all = lines(&table, &table.page(database, &Wanted::default(), None, 1_000).unwrap());
    assert_eq!(all.len() as u64, ROWS);
    for n in [7, 100] {
        let (mut last, mut seen): (Option<Vec<Value>>, Vec<String>) = (None, Vec::new());
        loop {
            let page = lines(&table, &table.page(database, &Wanted::default(), last.as_deref(), n).unwrap());
            last = page.last().and_then(|line| table.key_of(line));
            seen.extend(page.iter().cloned());
            if page.len() < n {
                break;
            }
            assert!(seen.len() <= all.len(), "`{columns}`: pages of {n} go round in a circle");
        }
        same(&seen, &all, &format!("`{columns}` in pages of {n}"));
    }
    // A process takes one page and is killed; the next one goes on behind it.
    let folder = tempfile::tempdir().unwrap();
    let spool = || Spool::new(access.clone(), Wanted::default(), place(&folder), None);
    assert!(spool().grow().unwrap());
    let mut next = spool();
    while next.grow().unwrap() {}
    let spooled = std::fs::read_to_string(folder.path().join("rows")).unwrap();
    let spooled: Vec<String> = spooled.lines().map(str::to_owned).collect();
    same(&spooled, &all, &format!("`{columns}` over two processes"));
    // An answer for each, in batches, and once more, as after a kill behind the commit.
    let answer = table.index("answer").unwrap();
    let changes: Vec<Change> = (all.iter().enumerate())
        .map(|(n, line)| Change {
            key: RecordKey { step: 0, part: 0, sample: 0, position: n as u64 },
            row: table.key_of(line).unwrap(),
            read: vec![(answer, "null".to_owned())],
            new: vec![(answer, format!("\"answer {n}\""))],
            last: None,
            values: String::new(),
        })
        .collect();
    for time in ["first", "second"] {
        let ends = batch::write(database, &table, &changes).unwrap();
        let refused: Vec<_> = ends.iter().filter(|end| end.is_err()).collect();
        assert!(refused.is_empty(), "`{columns}`, the {time} time: {refused:?}");
    }
    let written = lines(&table, &table.page(database, &Wanted::default(), None, 1_000).unwrap());
    let wanted: Vec<String> = (all.iter().enumerate())
        .map(|(n, line)| line.replace("\"answer\":null", &format!("\"answer\":\"answer {n}\"")))
        .collect();
    same(&written, &wanted, &format!("`{columns}`, written"));
}

/// As `assert_eq`, which would show some hundred rows.
fn same(found: &[String], wanted: &[String], what: &str) {
    let first = found.iter().zip(wanted).find(|(found, wanted)| found != wanted);
    assert!(first.is_none() && found.len() == wanted.len(), "{what}: {} of {}, {first:?}", found.len(), wanted.len());
}

fn lines(table: &Table, rows: &[Vec<Cell>]) -> Vec<String> {
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        table.push_object(row, &mut line);
        line
    };
    rows.iter().map(line).collect()
}

fn place(folder: &tempfile::TempDir) -> Place {
    Place { path: folder.path().join("rows"), name: "t".to_owned() }
}

#[test]
fn a_key_that_names_no_row_is_refused_before_anything_is_read_twice_or_not_at_all() {
    let bed = Bed::sqlite();
    let tables = [
        ("unnamed", "(NULL), ('a'), ('b')", "`id` of the key is NULL"),
        ("mixed", "('a'), ('b'), (x'00')", "`id` of the key holds bytes in some rows"),
    ];
    for (name, rows, told) in tables {
        bed.run(&[&format!("CREATE TABLE {name} (id PRIMARY KEY)"), &format!("INSERT INTO {name} VALUES {rows}")]);
        let mut database = bed.connect();
        let table = Table::look(&mut *database, &bed.table(name).name, None).unwrap();
        let error = table.page(&mut *database, &Wanted::default(), None, 10).unwrap_err();
        assert!(error.message.contains(told) && error.message.contains("with `key:`"), "{}", error.message);
    }
}
