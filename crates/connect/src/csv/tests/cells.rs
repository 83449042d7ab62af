//! Rows and cells, judged by the `csv` crate, which reads as Python does.

use proptest::prelude::*;

use super::super::{
    Dialect,
    cells::{Cells, push_cell, push_json, text_of},
    rows::Boundaries,
};
use crate::table::Found;

const USUAL: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

/// Cuts `content`, given in blocks, into rows without their line ends.
fn rows(content: &[u8], cuts: &[usize], dialect: Dialect) -> Vec<Vec<u8>> {
    let (mut boundaries, mut rows, mut row) = (Boundaries::new(dialect), Vec::new(), Vec::new());
    let (mut rest, mut cuts) = (content, cuts.iter().cycle());
    while !rest.is_empty() {
        let (mut block, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        while !block.is_empty() {
            match boundaries.find(block) {
                Found::End { end, next } => {
                    row.extend_from_slice(&block[..end]);
                    rows.push(std::mem::take(&mut row));
                    block = &block[next..];
                }
                Found::More | Found::Pass(_) => {
                    row.extend_from_slice(block);
                    break;
                }
            }
        }
        rest = later;
    }
    let is_quoted = boundaries.is_quoted();
    let stripped = |row: Vec<u8>| row.strip_suffix(b"\r").map(<[u8]>::to_vec).unwrap_or(row);
    let mut rows: Vec<_> = rows.into_iter().map(stripped).collect();
    if !row.is_empty() {
        rows.push(if is_quoted { row } else { stripped(row) });
    }
    rows
}

fn texts(row: &[u8], dialect: Dialect) -> Vec<Vec<u8>> {
    Cells::new(row, dialect).map(|cell| text_of(cell, dialect.quote).into_owned()).collect()
}

/// What the referee reads; it passes over empty lines.
fn referee(content: &[u8], dialect: Dialect) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quoting(dialect.quote.is_some())
        .quote(dialect.quote.unwrap_or(b'"'))
        .from_reader(content);
    let rows = reader.byte_records().map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect());
    rows.collect()
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab ,,;\"\"\"\r\n\n\xff\0".to_vec()), 0..120)
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    let delimiter = prop::sample::select(b",;\t|".to_vec());
    (delimiter, prop::sample::select(vec![Some(b'"'), Some(b'\''), None]))
        .prop_map(|(delimiter, quote)| Dialect { delimiter, quote })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any bytes, in blocks of any sizes, are the rows and the cells that the referee finds.
    #[test]
    fn rows_and_cells_are_those_of_the_csv_crate(
        content in any_content(),
        cuts in prop::collection::vec(1_usize..9, 1..20),
        dialect in any_dialect(),
    ) {
        let found: Vec<_> = rows(&content, &cuts, dialect)
            .iter()
            .filter(|row| !row.is_empty())
            .map(|row| texts(row, dialect))
            .collect();
        prop_assert_eq!(found, referee(&content, dialect));
    }

    /// Blocks do not matter, and no byte is lost between rows.
    #[test]
    fn blocks_do_not_matter(content in any_content(), cuts in prop::collection::vec(1_usize..9, 1..20)) {
        prop_assert_eq!(rows(&content, &cuts, USUAL), rows(&content, &[usize::MAX], USUAL));
    }

    /// Whatever is written as a cell is read again as it was.
    #[test]
    fn a_written_cell_is_read_again(
        cells in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 2..5),
        dialect in any_dialect(),
    ) {
        let mut row = Vec::new();
        for (i, cell) in cells.iter().enumerate() {
            if i > 0 {
                row.push(dialect.delimiter);
            }
            let is_plain = !cell.iter().any(|byte| [dialect.delimiter, b'\n', b'\r'].contains(byte));
            let pushed = push_cell(cell, dialect, &mut row);
            prop_assert_eq!(pushed.is_ok(), dialect.quote.is_some() || is_plain);
            prop_assume!(pushed.is_ok());
        }
        row.push(b'\n');
        prop_assert_eq!(referee(&row, dialect), vec![cells.clone()]);
        prop_assert_eq!(rows(&row, &[3], dialect).iter().map(|row| texts(row, dialect)).collect::<Vec<_>>(), vec![cells]);
    }

    /// Any text is the JSON string that serde reads back.
    #[test]
    fn json_strings_are_read_back(text in any::<String>()) {
        let mut quoted = Vec::new();
        push_json(text.as_bytes(), &mut quoted);
        prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
    }
}

#[test]
fn a_quote_within_a_cell_is_a_character_like_others() {
    for (row, expected) in [
        ("a\"b,c", vec!["a\"b", "c"]),
        ("\"a\"\"b\",c", vec!["a\"b", "c"]),
        ("\"a\"b\",c", vec!["ab\"", "c"]),
        ("\"\",\"\"\"\"", vec!["", "\""]),
        (" \"a\",b", vec![" \"a\"", "b"]),
        (",,", vec!["", "", ""]),
        ("\"a,\nb\"", vec!["a,\nb"]),
    ] {
        let found: Vec<_> =
            texts(row.as_bytes(), USUAL).into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect();
        assert_eq!(found, expected, "{row}");
    }
}
