//! The report as a sequence of headings, sentences, tables and plots, in one language: what Markdown and HTML have in common.

mod about;
mod answers;
pub(super) mod figures;
mod records;
mod top;

use store::RunState;

use super::{
    facts::{Bin, RateBucket, Report},
    words::{Words, fill},
};
use crate::language::Language;

/// A report, ready to be set.
pub(super) struct Document {
    /// The language, as documents call it.
    pub(super) language_tag: &'static str,
    /// What it is the report of.
    pub(super) title: String,
    /// Where the run stands.
    pub(super) state: (RunState, &'static str),
    /// Sentences below the title.
    pub(super) lead: Vec<String>,
    /// What must not be passed over.
    pub(super) alarms: Vec<Alarm>,
    /// The numbers that are looked for first.
    pub(super) tiles: Vec<Tile>,
    /// The rest.
    pub(super) sections: Vec<Section>,
}

/// Something that must not be passed over.
pub(super) struct Alarm {
    /// What.
    pub(super) text: String,
    /// Where, line by line.
    pub(super) details: Vec<String>,
}

/// A number that is looked for first.
pub(super) struct Tile {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) detail: String,
    pub(super) tone: Tone,
}

/// What a number or a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing in particular.
    Plain,
    /// Records that succeeded.
    Good,
    /// Records that did not.
    Bad,
    /// Records that were not worked on.
    Faint,
    /// Records that wait or were called off.
    Open,
}

/// A heading and what stands below it.
pub(super) struct Section {
    pub(super) heading: String,
    /// What the numbers are of.
    pub(super) note: String,
    pub(super) blocks: Vec<Block>,
}

/// A piece of a section.
pub(super) enum Block {
    /// A sentence.
    Text(String),
    /// A table.
    Table(Table),
    /// Bars side by side over the time.
    Rate(RatePlot),
    /// A distribution in bars.
    Bins(BinPlot),
    /// Records to look at.
    Examples(String, Vec<Shown>),
    /// Text that stands as it is, and what language it is in.
    Code(&'static str, String),
}

/// A table.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column of a table.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) holds: Holds,
}

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Names, times: short, and kept on one line.
    Names,
    /// Numbers.
    Numbers,
    /// Sentences.
    Sentences,
}

/// A cell of a table.
pub(super) enum Cell {
    /// Words or numbers.
    Text(String),
    /// A name in files and flags.
    Code(String),
    /// Parts of a whole, each with its share of it (0 to 1).
    Bar(Vec<(Tone, f64)>),
}

/// Records over time.
pub(super) struct RatePlot {
    pub(super) title: &'static str,
    pub(super) buckets: Vec<RateBucket>,
    /// What the series are, in the order of [`RateBucket`].
    pub(super) series: [(Tone, &'static str); 3],
    /// The greatest number of records in a bucket.
    pub(super) peak: u64,
    /// That number in words.
    pub(super) peak_label: String,
    /// Where processes began, as shares of the width, but for the first one.
    pub(super) began: Vec<f64>,
    pub(super) began_label: &'static str,
    /// Written below the left and the right end.
    pub(super) ends: (String, String),
}

/// A distribution.
pub(super) struct BinPlot {
    pub(super) title: String,
    pub(super) bins: Vec<Bin>,
    /// What each bar is of.
    pub(super) labels: Vec<String>,
    /// The greatest number in a bar, in words.
    pub(super) peak: String,
    /// Written below the left and the right end.
    pub(super) ends: (String, String),
    /// Where half, nine of ten and 99 of a hundred lie, as shares of the width.
    pub(super) marks: Vec<(String, f64)>,
}

/// A record to look at.
pub(super) struct Shown {
    pub(super) place: String,
    pub(super) message: String,
    pub(super) answer: Option<(&'static str, String)>,
}

/// Sets a report in a language.
pub(super) fn of(report: &Report, language: Language) -> Document {
    Setting { report, words: language.words() }.document()
}

struct Setting<'a> {
    report: &'a Report,
    words: &'static Words,
}

impl Setting<'_> {
    fn document(&self) -> Document {
        let words = self.words;
        let run = &self.report.run;
        let state = match run.state {
            RunState::Running => words.running,
            RunState::Interrupted => words.interrupted,
            RunState::Done => words.done,
        };
        let sections = [
            self.records(),
            self.failures(),
            self.skips(),
            self.rate(),
            self.attempts(),
            self.bill(),
            self.dedupe(),
            self.latency(),
            self.answers(),
            self.time(),
            self.outputs(),
            self.pipeline(),
            Some(self.section(words.how_to_read_heading, "", vec![Block::Text(words.how_to_read.to_owned())])),
        ];
        Document {
            language_tag: words.language_tag,
            title: fill(words.title, &[("run", &run.id)]),
            state: (run.state, state),
            lead: self.lead(),
            alarms: self.alarms(),
            tiles: self.tiles(),
            sections: sections.into_iter().flatten().collect(),
        }
    }

    fn section(&self, heading: &str, note: &str, blocks: Vec<Block>) -> Section {
        Section { heading: heading.to_owned(), note: note.to_owned(), blocks }
    }
}

fn text(name: &str) -> Column {
    Column { name: name.to_owned(), holds: Holds::Names }
}

fn number(name: &str) -> Column {
    Column { name: name.to_owned(), holds: Holds::Numbers }
}

fn cell(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn sentence(name: &str) -> Column {
    Column { name: name.to_owned(), holds: Holds::Sentences }
}
