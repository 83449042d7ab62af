//! The cells of a row, as they stand.

use super::text::{Kind, Tag};

/// More columns than a sheet can have.
pub(super) const N_COLUMNS: u32 = 16_384;

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    /// From 0.
    pub(super) column: u32,
    pub(super) sort: Sort,
    /// The number of its look.
    pub(super) style: usize,
    /// What stands in its `v`, or in its `is`.
    pub(super) value: Option<&'a [u8]>,
    pub(super) has_formula: bool,
    /// Where it stands in the row.
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Number,
    /// The number of a shared text.
    Shared,
    /// A text of its own, perhaps in pieces.
    Inline,
    /// What a formula made, or something else that is text.
    Text,
    Truth,
    Error,
    Date,
}

/// The cells of a row, in order.
#[derive(Clone, Debug)]
pub(super) struct Cells<'a> {
    row: &'a [u8],
    at: usize,
    next_column: u32,
}

impl<'a> Cells<'a> {
    /// `row` begins with its own tag.
    pub(super) fn new(row: &'a [u8]) -> Self {
        let at = Tag::at(row, 0).map_or(row.len(), |tag| tag.end);
        Self { row, at, next_column: 0 }
    }
}

impl<'a> Cells<'a> {
    /// Reads what stands in a cell, to its end: what it holds, and whether a formula made it.
    fn inside(&mut self) -> Option<(Option<&'a [u8]>, bool)> {
        let (mut value, mut has_formula) = (None, false);
        loop {
            let (_, tag) = self.tag()?;
            match (tag.name, tag.kind) {
                (b"c", Kind::Close) => return Some((value, has_formula)),
                (b"f", _) => has_formula = true,
                (b"v", Kind::Open) => {
                    let n = memchr::memchr(b'<', &self.row[self.at..])?;
                    value = Some(&self.row[self.at..self.at + n]);
                    self.at += n;
                }
                (b"is", Kind::Open) => {
                    let from = self.at;
                    loop {
                        let (at, tag) = self.tag()?;
                        if tag.name == b"is" {
                            value = Some(&self.row[from..at]);
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Goes to the next tag, and returns where it begins.
    fn tag(&mut self) -> Option<(usize, Tag<'a>)> {
        let begin = self.at + memchr::memchr(b'<', &self.row[self.at..])?;
        let tag = Tag::at(self.row, begin)?;
        self.at = tag.end;
        Some((begin, tag))
    }
}

/// Returns the number of a row from its tag, before which a comment may stand.
pub(super) fn number_of(row: &[u8]) -> Option<u64> {
    let mut tags = Cells { row, at: 0, next_column: 0 };
    loop {
        let (_, tag) = tags.tag()?;
        if tag.name == b"row" {
            return str::from_utf8(tag.attribute(b"r")?).ok()?.parse().ok();
        }
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        let (begin, tag) = loop {
            let (begin, tag) = self.tag()?;
            if tag.name == b"c" && tag.kind != Kind::Close {
                break (begin, tag);
            }
        };
        let column = tag.attribute(b"r").and_then(column_of).unwrap_or(self.next_column);
        self.next_column = column + 1;
        let number = |text: &[u8]| str::from_utf8(text).ok()?.parse().ok();
        let style = tag.attribute(b"s").and_then(number).unwrap_or(0);
        let sort = match tag.attribute(b"t") {
            Some(b"s") => Sort::Shared,
            Some(b"inlineStr") => Sort::Inline,
            Some(b"str") => Sort::Text,
            Some(b"b") => Sort::Truth,
            Some(b"e") => Sort::Error,
            Some(b"d") => Sort::Date,
            _ => Sort::Number,
        };
        let (value, has_formula) = if tag.kind == Kind::Open { self.inside()? } else { (None, false) };
        Some(Cell { column, sort, style, value, has_formula, begin, end: self.at })
    }
}

/// Returns the column of a row's last cell, where it says that itself.
pub(super) fn last_column(row: &[u8]) -> Option<u32> {
    let mut end = row.len();
    loop {
        let at = memchr::memrchr(b'<', &row[..end])?;
        let tag = Tag::at(row, at)?;
        if tag.name == b"c" && tag.kind != Kind::Close {
            return column_of(tag.attribute(b"r")?);
        }
        end = at;
    }
}

/// Returns the column, from 0, that a reference such as `AB12` names.
pub(super) fn column_of(reference: &[u8]) -> Option<u32> {
    let mut column = 0_u32;
    for byte in reference.iter().take_while(|byte| byte.is_ascii_alphabetic()).take(4) {
        column = column * 26 + u32::from(byte.to_ascii_uppercase() - b'A') + 1;
    }
    (1..=N_COLUMNS).contains(&column).then(|| column - 1)
}

/// Appends the letters of a column, from 0.
pub(super) fn push_column(column: u32, out: &mut Vec<u8>) {
    let (mut letters, mut n, mut rest) = ([0; 7], 7, column + 1);
    while rest > 0 {
        n -= 1;
        letters[n] = b'A' + u8::try_from((rest - 1) % 26).unwrap_or(0);
        rest = (rest - 1) / 26;
    }
    out.extend_from_slice(&letters[n..]);
}

/// Returns the letters of a column, for people.
pub(super) fn letters(column: u32) -> String {
    let mut out = Vec::new();
    push_column(column, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_with_and_without_references() {
        let row = br#"<row r="7" spans="1:3"><c r="A7" s="3" t="s"><v>12</v></c><c t="inlineStr"><is><t>x</t></is></c>
            <c r="AA7"><f>A1+1</f><v>2.5</v></c><c r="AB7" s="4"/><x:c t="str"><x:v/></x:c></row>"#;
        assert_eq!(number_of(row), Some(7));
        assert_eq!(number_of(b"<!-- <a> --><x:row r=\"12\"><c r=\"A12\"/></x:row>"), Some(12));
        let cells: Vec<_> = Cells::new(row).collect();
        let shown: Vec<_> = cells.iter().map(|cell| (cell.column, cell.sort, cell.value, cell.has_formula)).collect();
        assert_eq!(
            shown,
            [
                (0, Sort::Shared, Some(&b"12"[..]), false),
                (1, Sort::Inline, Some(&b"<t>x</t>"[..]), false),
                (26, Sort::Number, Some(&b"2.5"[..]), true),
                (27, Sort::Number, None, false),
                (28, Sort::Text, None, false),
            ]
        );
        assert_eq!((cells[0].style, cells[3].style), (3, 4));
        assert_eq!(&row[cells[3].begin..cells[3].end], br#"<c r="AB7" s="4"/>"#);
        assert_eq!(Cells::new(b"<row/>").count() + Cells::new(b"<row r=\"1\"><c r=\"A1\"><v>1").count(), 0);
    }

    #[test]
    fn columns_have_letters() {
        for (column, name) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")] {
            assert_eq!((letters(column), column_of(format!("{name}12").as_bytes())), (name.to_owned(), Some(column)));
        }
        assert_eq!((column_of(b"12"), column_of(b"XFE1"), column_of(b"AAAAAAAA1")), (None, None, None));
    }
}
