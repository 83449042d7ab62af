//! The Rust peers of `cargo xtask bench tables`: calamine's reader of cells and `rust_xlsxwriter` in constant memory.
//!
//! `read FILE`, `new FILE ROWS` and, with a table of shared texts, `new-shared FILE ROWS`. Each prints how many rows it saw.

use std::{error::Error, hint::black_box};

use calamine::{DataRef, Reader as _, Xlsx, open_workbook};
use rust_xlsxwriter::Workbook;

// The allocator of ours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let n = match words[..] {
        ["read", file] => read(file)?,
        ["new", file, n] => new(file, n.parse()?, false)?,
        ["new-shared", file, n] => new(file, n.parse()?, true)?,
        _ => return Err("read FILE | new FILE ROWS | new-shared FILE ROWS".into()),
    };
    println!("{n} rows");
    Ok(())
}

/// Reads every cell, text by text and number by number; returns how many rows there are below the first.
fn read(path: &str) -> Result<u32, Box<dyn Error>> {
    let mut book: Xlsx<_> = open_workbook(path)?;
    let name = book.sheet_names()[0].clone();
    let mut cells = book.worksheet_cells_reader(&name)?;
    let mut last = 0;
    while let Some(cell) = cells.next_cell()? {
        last = cell.get_position().0;
        match cell.get_value() {
            DataRef::String(text) => drop(black_box(text.len())),
            DataRef::SharedString(text) => drop(black_box(text.len())),
            value => drop(black_box(value)),
        }
    }
    Ok(last)
}

/// Writes two numbers, three texts and one of three categories a row.
fn new(path: &str, n: u32, is_shared: bool) -> Result<u32, Box<dyn Error>> {
    let mut book = Workbook::new();
    let sheet =
        if is_shared { book.add_worksheet_with_low_memory()? } else { book.add_worksheet_with_constant_memory()? };
    for (column, name) in ["id", "score", "a", "b", "c", "kind"].iter().enumerate() {
        sheet.write_string(0, column as u16, *name)?;
    }
    for row in 1..=n {
        sheet.write_number(row, 0, row)?;
        sheet.write_number(row, 1, f64::from(row) * 0.37)?;
        for column in 2..5 {
            sheet.write_string(row, column, text(row, column))?;
        }
        sheet.write_string(row, 5, ["news", "question", "complaint"][row as usize % 3])?;
    }
    book.save(path)?;
    Ok(n)
}

/// What stands in a cell of text, about 80 characters; the other programs write the same.
fn text(row: u32, column: u16) -> String {
    let number = (u64::from(row) * 2_654_435_761 + u64::from(column)) % 1_000_000_007;
    format!("row {row} column {column}: words that a person would write & more <of> it, {number}")
}
