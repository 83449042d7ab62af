//! Rows that have more cells than there are columns, and how many columns there are where no header says so.

use domain::{
    Read, SkipReason,
    ports::{Sink as _, Source as _},
};
use serde_json::json;

use crate::{
    InPlace, SinkPlaces, Taken,
    tests::{Job, place, skipped, succeeded},
};

fn all(content: impl AsRef<[u8]>) -> Job {
    Job::of("csv", "in.csv").file("in.csv", content).into("csv", json!({"path": "out.csv", "rows": "all"}))
}

/// What stands in the way of the output before anything is asked.
fn refused(job: &Job) -> Option<String> {
    job.source().fingerprint().unwrap();
    job.sink().check().err().map(|error| error.message)
}

#[test]
fn no_new_column_comes_to_stand_over_cells_that_a_row_has_behind_the_header() {
    let advice = "put a cell that holds the delimiter in quotes, give those cells columns of their own, or write to another \
                  file, without `rows: all` and `status`";
    let what = format!(
        "in.csv row 4: the row has more cells than the header has (2), and the new column `x` would stand over them, so that a \
         later run would take them for answers; {advice}"
    );
    let job = all("a,b\n1,2\n\n1,2,mine\n1,2,3,4\n");
    assert_eq!(refused(&job), Some(what.clone()));
    assert_eq!(job.sink().prepare().map_err(|error| error.message), Err(what.clone()), "nor does a run begin");
    let job = job.into("csv", json!({"path": "out.csv", "status": "how"}));
    assert_eq!(refused(&job), Some(what), "a row that is no record stands in it as well");
    let job = all("1,2\n1,2,3\n4,5\n").with("header", false);
    let what = refused(&job).unwrap();
    assert!(what.starts_with("in.csv row 2: the row has more cells than most of the first rows have (2)"), "{what}");
}

#[test]
fn a_row_with_more_cells_is_in_nobodys_way_where_nothing_stands_over_them() {
    // It is not in the output; nothing stands in its further cells; the answers have columns already.
    let job = all("a,b\n1,2,mine\n3,4\n").into("csv", json!({"path": "out.csv"}));
    assert_eq!(refused(&job), None);
    let job = all("a,b\n1,2,,\n3\n");
    assert_eq!(refused(&job), None);
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.text("out.csv"), "a,b,x\n1,2,,\n3,,9\n");
    let job = all("a,x\n1,2,mine\n3\n").into("csv", json!({"path": "out.csv", "rows": "all", "overwrite": true}));
    assert_eq!(refused(&job), None);
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.text("out.csv"), "a,x\n1,2,mine\n3,9\n", "what it is stays what it was");
}

#[test]
fn such_a_row_is_found_wherever_it_is_and_quotes_are_no_ends_of_cells() {
    let long = "x".repeat(300_000);
    for (rows, row) in [
        (format!("{long},1\n1,\"{long}\"\n1,2,3\n"), Some(4)),
        (format!("1,2\n{long},{long},{long}\n"), Some(3)),
        (format!("1,\"{long},,\n,,\"\n{long},\n"), None),
        (format!("1,2,{}\n", ",".repeat(300_000)), None),
        (format!("1,2,{}\"\"\n", ",".repeat(300_000)), Some(2)),
        ("1,2\r\n\r\n1,\"a\r\n,b\"\r\n1,2,3\r\n".to_owned(), Some(5)),
        ("1,2,\r\n1,2,\r3,4,\r".to_owned(), None),
    ] {
        let found = refused(&all(format!("a,b\n{rows}")));
        let begin = row.map(|row| format!("in.csv row {row}: "));
        assert_eq!(found.is_some(), begin.is_some(), "{found:?}");
        assert!(found.zip(begin).is_none_or(|(found, begin)| found.starts_with(&begin)), "{row:?}");
    }
    let job = all("a\tb\n1\t\"2\n").with("quote", "none").with("delimiter", "tab");
    assert_eq!(refused(&job), None);
    job.write("in.csv", "a\tb\n1\t\"2\t3\n");
    assert!(refused(&job).unwrap().starts_with("in.csv row 2: "), "where nothing quotes, cells are counted as well");
}

#[test]
fn a_row_that_somebody_made_wider_meanwhile_is_not_given_a_column_over_its_cells() {
    let job = Job::of("csv", "kept.csv").file("kept.csv", "a,b\n1,2\n3,4\n").into("csv", json!({"path": "in.csv"}));
    let saved = "a,b\n1,2\n3,4,mine\n";
    job.write("in.csv", saved);
    let in_place = Some(InPlace { note: place(job.path(), "note") });
    let mut sink = job.sink_at(SinkPlaces { in_place, ..job.places() });
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    let mut merge = sink.merge().unwrap();
    let done = job.read().iter().try_for_each(|read| merge.write(&read.record, &succeeded(&read.record, r#"{"x":9}"#)));
    let what = done.unwrap_err().message;
    assert!(what.contains("row 3: the row has more cells than the header has (2), and the new column `x`"), "{what}");
    drop(merge);
    assert_eq!(job.text("in.csv"), saved, "the table is what was saved");
}

#[test]
fn without_a_header_most_of_the_first_rows_tell_how_many_columns_there_are() {
    for (content, n_columns, bad) in [
        ("1\n1,2,3\n4,5,6\n", 3, vec![]),
        ("1,2,3,4\n1,2,3\n4,5,6\n", 3, vec![0]),
        ("1,2\n1,2,3\n", 3, vec![]),
        ("\n\n1,2,3\n1,2\n1,2\n\n", 2, vec![2]),
        ("1,2\n", 2, vec![]),
        ("\"1,2\n3,4\n", 1, vec![0]),
        ("1,2,3\n1,2\n4,5\n6,\"never closed,,,,,\n", 2, vec![0, 3]),
    ] {
        let job = all(content).with("header", false);
        assert_eq!(job.source().heading().unwrap().unwrap().names().len(), n_columns, "{content:?}");
        let skips = job.skips().into_iter().filter(|(_, reason, _)| *reason == SkipReason::BadRecord);
        assert_eq!(skips.map(|(position, ..)| position).collect::<Vec<_>>(), bad, "{content:?}");
    }
    let job = all(b"\xff,2,3,4\n1,2\n".as_slice()).with("header", false);
    assert_eq!(job.source().heading().unwrap().unwrap().names().len(), 2, "a row that is no text says nothing");
}

#[test]
fn a_first_row_that_is_bad_has_no_say_in_where_answers_stand() {
    let job = all(b"\xff,2\n1,2\n3\n".as_slice()).with("header", false);
    job.merge(|_| r#"{"x":9}"#.to_owned());
    assert_eq!(job.bytes("out.csv"), b"\xff,2\n1,2,9\n3,,9\n");
    let again = Job::of("csv", "in.csv").file("in.csv", job.bytes("out.csv")).with("header", false);
    assert_eq!(again.texts()[1..], [r#"{"c1":"1","c2":"2","c3":"9"}"#, r#"{"c1":"3","c2":"","c3":"9"}"#]);
}

#[test]
fn a_row_that_is_answered_is_passed_over_as_the_row_that_it_is() {
    let content =
        "a,x,y\n1,one,two\n2,one,\n3,\" \",two\n4,ERROR: no,two\n5,one,two,three\n\"6\",\"o\"\"\",\"\n2\"\n7,one\n";
    let mut job = all(content).forbidding(&["x", "y"]);
    for (errors, answered) in [(false, vec![0, 3, 5]), (true, vec![0, 5])] {
        job.answers.taken = Taken::Pending { errors };
        let skips = job.skips().into_iter().filter(|(_, reason, _)| *reason == SkipReason::Answered);
        assert_eq!(skips.map(|(position, ..)| position).collect::<Vec<_>>(), answered);
        let reads = job.read();
        let Read { record, flaw, .. } = &reads[5];
        assert_eq!(flaw.clone().unwrap().1, "in.csv row 7: it is answered already");
        assert_eq!((&record.bytes, record.row.as_ref()), (&"\"6\",\"o\"\"\",\"\n2\"".into(), Some(&record.bytes)));
        let whole = job.source().whole(record).unwrap();
        assert_eq!(whole.bytes, r#"{"a":"6","x":"o\"","y":"\n2"}"#);
        assert_eq!(whole.row, record.row);
        // What looks into records finds the same.
        assert_eq!(job.source().inspect(&whole).unwrap_err().0, SkipReason::Answered);
        assert!(job.source().inspect(&job.source().whole(&reads[1].record).unwrap()).is_ok());
    }
    job.answers.names.push("z".to_owned());
    assert!(job.read().iter().all(|read| read.flaw.as_ref().is_none_or(|(reason, _)| *reason != SkipReason::Answered)));
}

#[test]
fn a_row_that_is_answered_stands_with_all_its_fields_in_an_output_of_another_format() {
    let mut job = all("a,x\n1,one\n2,\n")
        .fields(&["y"])
        .forbidding(&["x"])
        .into("excel", json!({"path": "o.xlsx", "status": "how"}));
    job.answers.taken = Taken::Pending { errors: false };
    let mut sink = job.sink();
    sink.prepare().unwrap();
    sink.open(true).unwrap();
    let mut merge = sink.merge().unwrap();
    for read in job.read() {
        let outcome = match &read.flaw {
            Some((reason, message)) => skipped(&read.record, *reason, message),
            None => succeeded(&read.record, r#"{"y":"new"}"#),
        };
        merge.write(&read.record, &outcome).unwrap();
    }
    merge.finish().unwrap();
    let written = Job::of("excel", "o.xlsx").file("o.xlsx", job.bytes("o.xlsx"));
    assert_eq!(
        written.texts(),
        [r#"{"a":"1","x":"one","y":null,"how":null}"#, r#"{"a":"2","x":null,"y":"new","how":"succeeded"}"#]
    );
}
