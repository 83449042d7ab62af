//! What the fuzzer runs, run by every test: tables that people have, and thousands that were made of them.

use super::{csv, csv_seeds, package, sheet, sheet_seeds, workbook};

/// What messy tables are made of.
const TOKENS: [&str; 32] = [
    ",",
    ";",
    "\t",
    "|",
    "\"",
    "\"\"",
    "'",
    "''",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    " ",
    "\u{feff}",
    "\0",
    "x",
    "9",
    "00",
    "中",
    "\u{a0}",
    "<row>",
    "</row>",
    "<row/>",
    "<c r=\"A2\"/>",
    "<c r=\"XFD1\"><v>1</v></c>",
    "<v>",
    "</c>",
    "<!--",
    "-->",
    "&#x0;",
    "<is><t>",
    "</sheetData>",
];

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    /// Returns a number below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// Changes bytes behind the first `fixed` ones.
    fn mutate(&mut self, bytes: &mut Vec<u8>, fixed: usize, other: &[u8]) {
        let mut place = |bytes: &Vec<u8>| fixed + self.below(bytes.len() - fixed + 1);
        let (a, b) = (place(bytes), place(bytes));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
        match self.below(8) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.truncate(to),
            2 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(a..a, piece);
            }
            3 => {
                let at = self.below(other.len() + 1);
                bytes.splice(from.., other[at..].iter().copied());
            }
            4 if from < bytes.len() => bytes[from] ^= 1 << self.below(8),
            _ => {
                let token = *self.of(&TOKENS);
                bytes.splice(from..from, token.bytes());
            }
        }
    }
}

/// Runs `body` over the seeds, and over `n` mutations of them.
fn all(seeds: &[Vec<u8>], n: usize, fixed: usize, body: fn(&[u8])) {
    seeds.iter().for_each(|seed| body(seed));
    let mut dice = Dice(20_261_122);
    for _ in 0..n {
        let mut bytes = dice.of(seeds).clone();
        let fixed = fixed.min(bytes.len());
        for _ in 0..=dice.below(5) {
            let other = dice.of(seeds).clone();
            dice.mutate(&mut bytes, fixed, &other);
        }
        let held = std::panic::catch_unwind(|| body(&bytes));
        assert!(held.is_ok(), "a promise is broken for {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn whatever_is_in_a_csv_file_what_is_not_an_answer_stays_as_it_is() {
    all(&csv_seeds(), 2_000, 0, csv);
}

#[test]
fn whatever_is_in_a_part_of_a_workbook_what_is_not_an_answer_stays_as_it_is() {
    all(&sheet_seeds(), 2_000, 1, sheet);
}

#[test]
fn whatever_is_called_a_workbook_is_read_or_refused() {
    let seeds = sheet_seeds().iter().map(|seed| package(seed)).collect::<Vec<_>>();
    all(&seeds, 2_000, 0, workbook);
}
