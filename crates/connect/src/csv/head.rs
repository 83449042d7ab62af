//! The beginning of a table: how its cells are told apart, and what its columns are called.

use std::collections::HashMap;

use domain::ports::SourceError;

use super::{
    Declared, Dialect,
    cells::{Cells, push_json, text_of},
    rows::Boundaries,
    sample::Sample,
};
use crate::{
    file::{Opened, Part, cannot},
    table::Found,
};

/// No header is longer, in bytes.
const LONGEST: usize = 16 << 20;
/// How much is read at once to find it.
const BLOCK: usize = 64 << 10;

/// What the beginning of a part says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(super) dialect: Dialect,
    pub(super) names: Vec<String>,
    /// The names as JSON strings, each with its colon.
    pub(super) quoted: Vec<Vec<u8>>,
    /// The length of all of them.
    pub(super) n_quoted: usize,
    pub(super) has_header: bool,
    /// The first row as it stands.
    first_row: Vec<u8>,
    line_end: &'static [u8],
    has_bom: bool,
    /// Where the first record begins.
    pub(super) start: u64,
}

/// What heads a table, for whoever writes one like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(super) dialect: Dialect,
    pub(super) names: Vec<String>,
    /// The header as it stands, where there is one.
    pub(super) header: Option<Vec<u8>>,
    pub(super) line_end: &'static [u8],
    pub(super) has_bom: bool,
}

impl Head {
    /// Reads the head of a part.
    pub(super) fn of(part: &Part, declared: Declared, has_header: bool) -> Result<Self, SourceError> {
        let name = &part.place.name;
        let wrong = |what: String| SourceError(format!("`{name}`: {what}"));
        let Opened { mut reader, text_start, .. } = part.open(0)?;
        let (mut text, mut is_whole) = (Vec::new(), false);
        let mut dialect = None;
        let (n_blank, end, next) = loop {
            if !is_whole && text.len() <= LONGEST {
                let size = BLOCK.max(text.len());
                let block = reader.block(size).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
                is_whole = block.is_empty();
                text.extend_from_slice(&block);
            }
            // What is in the first block decides, so that it is the same however long the first row is.
            let dialect =
                *dialect.get_or_insert_with(|| declared.detect(&text, is_whole || text.len() < BLOCK, has_header));
            // Without a header empty lines before the first row tell nothing of how many columns there are.
            let n_blank =
                if has_header { 0 } else { text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count() };
            match Boundaries::new(dialect).find(&text[n_blank..]) {
                Found::End { end, next } => break (n_blank, n_blank + end, n_blank + next),
                _ if is_whole => break (n_blank, text.len(), text.len()),
                _ if text.len() > LONGEST => {
                    let what = "its first row is longer than 16 MiB; is a quote in it never closed, or is it no table?";
                    return Err(wrong(what.to_owned()));
                }
                _ => {}
            }
        };
        let dialect = dialect.unwrap_or(declared.detect(&[], true, has_header));
        let line_end: &[u8] = match &text[..next] {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\r'] => b"\r",
            _ => b"\n",
        };
        let first_row = text[n_blank..end].strip_suffix(b"\r").unwrap_or(&text[n_blank..end]).to_vec();
        let names = if text.is_empty() {
            Vec::new()
        } else if has_header {
            names_of(&first_row, dialect, part).map_err(wrong)?
        } else {
            let sample = Sample::of(&text[n_blank..], dialect, is_whole || text.len() < BLOCK);
            (1..=sample.n_columns(dialect, false).max(1)).map(|n| format!("c{n}")).collect()
        };
        let quoted: Vec<Vec<u8>> = names
            .iter()
            .map(|name| {
                let mut quoted = Vec::new();
                push_json(name.as_bytes(), &mut quoted);
                quoted.push(b':');
                quoted
            })
            .collect();
        Ok(Self {
            dialect,
            n_quoted: quoted.iter().map(|name| name.len() + 3).sum(),
            quoted,
            names,
            has_header,
            first_row,
            line_end,
            has_bom: text_start > 0,
            start: text_start + if has_header { next as u64 } else { 0 },
        })
    }

    /// Returns whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn into_heading(self) -> Heading {
        let Self { dialect, names, has_header, first_row, line_end, has_bom, .. } = self;
        Heading { dialect, names, header: has_header.then_some(first_row), line_end, has_bom }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Heading {
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }
}

impl Heading {
    /// Says how cells are told apart.
    pub(crate) fn dialect_in_words(&self) -> String {
        let Dialect { delimiter, quote } = self.dialect;
        let delimiter = if delimiter == b'\t' { "tab".to_owned() } else { char::from(delimiter).to_string() };
        match quote {
            Some(quote) => format!("cells are parted by `{delimiter}` and quoted with `{}`", char::from(quote)),
            None => format!("cells are parted by `{delimiter}`, and nothing quotes"),
        }
    }

    /// Returns what heads all the parts, whose rows are to stand in one table.
    pub(super) fn of(parts: &[Part], declared: Declared, has_header: bool) -> Result<Self, SourceError> {
        let mut heads = Vec::new();
        for part in parts {
            let head = Head::of(part, declared, has_header)?;
            // A part without anything in it contradicts nobody.
            if !head.is_empty() || parts.len() == 1 {
                heads.push((&part.place.name, head));
            }
        }
        let mut heads = heads.into_iter();
        let Some((first_name, first)) = heads.next() else {
            let dialect = declared.detect(&[], true, has_header);
            let names = Vec::new();
            return Ok(Self { dialect, names, header: None, line_end: b"\n", has_bom: false });
        };
        for (name, head) in heads {
            if let Some(how) = difference(&first, &head) {
                return Err(SourceError(format!(
                    "the rows of `{name}` cannot stand in one table with those of `{first_name}`: {how}; write to \
                     `jsonl`, or read them in steps of their own"
                )));
            }
        }
        let has_nothing = first.is_empty();
        let heading = first.into_heading();
        Ok(if has_nothing { Self { header: None, ..heading } } else { heading })
    }
}

/// Says how two tables differ.
fn difference(a: &Head, b: &Head) -> Option<String> {
    if a.dialect.delimiter != b.dialect.delimiter {
        let shown = |byte: u8| char::from(byte).escape_default().to_string();
        let (a, b) = (shown(a.dialect.delimiter), shown(b.dialect.delimiter));
        return Some(format!("its delimiter is `{b}`, and there it is `{a}`"));
    }
    if a.dialect.quote != b.dialect.quote {
        return Some("another character quotes".to_owned());
    }
    if a.names.len() != b.names.len() {
        return Some(format!("it has {} columns, and there are {}", b.names.len(), a.names.len()));
    }
    let column = a.names.iter().zip(&b.names).position(|(a, b)| a != b)?;
    Some(format!("its column {} is `{}`, and there it is `{}`", column + 1, b.names[column], a.names[column]))
}

/// Returns the names in a header, or what is wrong with them.
fn names_of(row: &[u8], dialect: Dialect, part: &Part) -> Result<Vec<String>, String> {
    const ADVICE: &str = "every column needs a name of its own, unless the first row is no header (`header: false`)";
    let mut names = Vec::new();
    let mut columns = HashMap::new();
    for (i, cell) in Cells::new(row, dialect).enumerate() {
        let column = i + 1;
        let text = text_of(cell, dialect.quote);
        let Ok(name) = str::from_utf8(&text) else {
            let declared = part.stored.encoding.map_or("UTF-8", |encoding| encoding.name());
            return Err(format!(
                "the name of column {column} is not valid {declared}; say what the file is in with `encoding:`, such as \
                 `encoding: gb18030`"
            ));
        };
        if name.trim().is_empty() {
            return Err(match row.is_empty() {
                true => "the first line is empty, and should name the columns".to_owned(),
                false => format!("column {column} has no name in the header; {ADVICE}"),
            });
        }
        if let Some(earlier) = columns.insert(name.to_owned(), column) {
            return Err(format!("columns {earlier} and {column} are both called `{name}`; {ADVICE}"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
