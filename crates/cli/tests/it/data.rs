//! `tidemill data`: tables looked at, and made into other formats.

use serde_json::{Value, json};

use crate::story::{Story, can_mount, json_lines};

const CSV: &str = "id,name,score\n001,\"Li, 李\",1.50\n002,,\n\n003,\"two\nlines\",abc\n";

fn story() -> Story {
    let story = Story::of("");
    story.write("in.csv", CSV);
    story
}

#[test]
fn a_table_goes_through_every_format_and_comes_back_as_it_was() {
    let story = story();
    let chain = ["in.csv", "a.xlsx", "b.jsonl.gz", "c.json", "d.tsv.zst", "e.xlsx", "f.csv"];
    for pair in chain.windows(2) {
        story.tidemill(["data", "convert", pair[0], pair[1]]).says(0, &[&format!("{} (3 records)", pair[1])]);
    }
    assert_eq!(story.text("f.csv"), CSV.replace("\n\n", "\n"));
    let left: Vec<_> = std::fs::read_dir(story.folder()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("failures")), "{left:?}");
    story.tidemill(["data", "convert", "in.csv", "in.csv"]).says(2, &["the output `in.csv` is the input"]);
}

#[test]
fn the_first_records_are_shown_as_what_they_are() {
    let story = story();
    let head = story.tidemill(["data", "head", "in.csv", "-n", "2"]);
    let expected =
        [json!({"id": "001", "name": "Li, 李", "score": "1.50"}), json!({"id": "002", "name": "", "score": ""})];
    assert_eq!((head.status, json_lines(&head.stdout)), (0, expected.to_vec()));
    // How it was read is told beside it.
    story.write("apostrophes.csv", "id;text\n1;'say \"hi\"; it''s me'\n2;'a; b'\n");
    let head = story.tidemill(["data", "head", "apostrophes.csv", "-n", "1"]);
    head.says(0, &["apostrophes.csv: cells are parted by `;` and quoted with `'`"]);
    assert_eq!(json_lines(&head.stdout), [json!({"id": "1", "text": "say \"hi\"; it's me"})]);
    story.tidemill(["data", "head", "nothing.csv"]).says(2, &["there is no such file"]);
    story.tidemill(["data", "head", "pipeline.toml"]).says(2, &["cannot be told from its ending"]);
    story.tidemill(["data", "head", "in.csv", "--sheet", "1"]).says(2, &["`--sheet` is for workbooks"]);
    // A report has its title above the columns.
    story.write("report.csv", "a report,of today\nid,name\n007,x\n");
    story.tidemill(["data", "convert", "report.csv", "report.xlsx"]).says(0, &["report.xlsx"]);
    let head = story.tidemill(["data", "head", "report.xlsx", "--header-row", "2"]);
    assert_eq!(json_lines(&head.stdout), [json!({"id": "007", "name": "x"})]);
    story.tidemill(["data", "head", "in.csv", "--header-row", "2"]).says(2, &["`--header-row` is for workbooks"]);
    story.write("gb.csv", b"\xb1\xe0\xba\xc5,text\n\xd2\xbb,x\n");
    let head = story.tidemill(["data", "head", "gb.csv", "--encoding", "gb18030"]);
    assert_eq!(json_lines(&head.stdout), [json!({"编号": "一", "text": "x"})]);
}

#[test]
fn columns_are_told_of_and_bad_records_cost_only_themselves() {
    let story = story();
    let stats = story.tidemill(["data", "stats", "in.csv", "--json"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["records"], 3);
    let name = json!({"name": "name", "filled": 2, "empty": 1, "texts": 2, "numbers": 0, "others": 0, "longest": 9});
    assert_eq!(stats["columns"][1], name);
    story.tidemill(["data", "stats", "in.csv"]).says(0, &[]);
    story.write("bad.csv", "a,b\n1,2\n1,2,3\n3,4\n");
    story.tidemill(["data", "convert", "bad.csv", "good.jsonl"]).says(1, &["bad.csv row 3: the row has 3 cells"]);
    assert_eq!(json_lines(&story.text("good.jsonl")), [json!({"a": "1", "b": "2"}), json!({"a": "3", "b": "4"})]);
    assert_eq!(json_lines(&story.text("good.failures.jsonl"))[0]["row"], 3);
}

#[test]
fn a_full_disk_is_told_of_in_one_sentence_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let story = Story::of("");
    let line =
        |n: u32| format!("{n},{:x}{:x}{:x}\n", n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503), n ^ 0x5bd1_e995);
    story.write("in.csv", format!("id,text\n{}", (0..60_000).map(line).collect::<String>()));
    let ran = story.sh_with_mounts(
        r#"
        mkdir out
        "$TIDEMILL" data convert in.csv in.xlsx
        mount -t tmpfs -o size=300k tmpfs out
        set +e
        "$TIDEMILL" data convert in.csv out/new.xlsx 2>new.err; echo $? >new.status
        "$TIDEMILL" data convert in.xlsx out/same.xlsx 2>same.err; echo $? >same.status
        ls -A out >left
        "#,
    );
    assert_eq!(ran.status, 0, "{ran:?}");
    for name in ["new", "same"] {
        let said = story.text(&format!("{name}.err"));
        let begin = format!("error: cannot write `out/{name}.xlsx`: the disk is full; ");
        assert!(said.starts_with(&begin) && said.lines().count() == 1, "{said}");
        assert_eq!(story.text(&format!("{name}.status")), "3\n");
    }
    assert_eq!(story.text("left"), "");
}
