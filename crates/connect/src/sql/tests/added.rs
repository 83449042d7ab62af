//! Rows that are added to another table.

use domain::{FailureKind, RecordKey};

use super::Bed;
use crate::sql::{
    Flavor,
    insert::{self, Addition},
    table::Table,
};

fn addition(position: u64, row: &[(&str, String)]) -> Addition {
    Addition {
        key: RecordKey { step: 0, part: 0, sample: 0, position },
        row: row.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        values: String::new(),
        is_again: false,
    }
}

pub(super) fn rows_are_added_once_whatever_stands_beside_them(bed: &Bed) {
    let mut database = bed.connect();
    let long = if database.flavor() == Flavor::Mysql { "LONGTEXT" } else { "TEXT" };
    bed.run(&[&format!(
        "CREATE TABLE added (id INTEGER PRIMARY KEY, body {long}, answer VARCHAR(5) CHECK (answer <> 'bad'), n DECIMAL(10,2))"
    )]);
    insert::prepare(&mut *database).unwrap();
    let mut table = Table::look(&mut *database, &bed.table("added").name, None).unwrap();
    // Its rows are added, and written over by no key.
    table.key.clear();
    let rows: Vec<Addition> = (0..600)
        .map(|id| match id {
            // One is not taken, and some have other columns than their neighbours.
            300 => addition(id, &[("id", id.to_string()), ("answer", "\"bad\"".to_owned())]),
            _ if id % 7 == 0 => addition(id, &[("n", "1.5".to_owned()), ("id", id.to_string())]),
            _ => addition(id, &[("id", id.to_string()), ("answer", "\"good\"".to_owned())]),
        })
        .collect();
    for _ in 0..2 {
        let ends = insert::write(&mut *database, &table, "run/s", &rows).unwrap();
        let bad: Vec<usize> = (0..600).filter(|n| ends[*n].is_err()).collect();
        assert_eq!(bad, [300]);
        assert_eq!(ends[300].as_ref().unwrap_err().kind, FailureKind::WriteRejected);
        assert_eq!(bed.rows("added").len(), 599);
    }
    // More together than a server takes in one packet.
    let text = serde_json::Value::from("x".repeat(1 << 20)).to_string();
    let great: Vec<Addition> =
        (1_000..1_020).map(|id| addition(id, &[("id", id.to_string()), ("body", text.clone())])).collect();
    let ends = insert::write(&mut *database, &table, "run/s", &great).unwrap();
    assert_eq!(ends.iter().find(|end| end.is_err()), None);
    assert_eq!(bed.rows("added").len(), 619);
}
