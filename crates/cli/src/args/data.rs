//! `tidemill data`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Print the first records of a file or a table, one JSON object a line.
    Head(Head),
    /// Tell of each column how full it is, what it holds, and how long that is.
    Stats(Stats),
    /// Write the records of a file or a table into a file of another format; what is in a workbook besides them stays in one.
    Convert(Convert),
}

/// A table in a file, whose ending says what it is: .jsonl, .json, .csv, .tsv or .xlsx, also behind .gz and .zst; or a SQLite
/// file, or a pipeline file, for what it reads.
#[derive(Debug, ClapArgs)]
pub(crate) struct TableFile {
    /// The file: .jsonl, .json, .csv, .tsv or .xlsx, packed as .gz or .zst or not; a SQLite file; or a pipeline file (.yaml),
    /// for what its first step reads, such as a table of a database.
    pub(crate) file: PathBuf,
    /// The sheet of a workbook, by its name or its number from 1.
    #[arg(long, value_name = "SHEET")]
    pub(crate) sheet: Option<String>,
    /// The row of a sheet that names the columns, from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) header_row: Option<u32>,
    /// The encoding of a text file, such as gb18030.
    #[arg(long, value_name = "ENCODING")]
    pub(crate) encoding: Option<String>,
    /// The table of a database.
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Head {
    #[command(flatten)]
    pub(crate) table: TableFile,
    /// How many records.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) lines: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) table: TableFile,
    /// Print them as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Convert {
    #[command(flatten)]
    pub(crate) table: TableFile,
    /// The file to write; its ending says what it becomes.
    pub(crate) output: PathBuf,
}
