//! What is said to people is in the catalogue, and the catalogue says it well.

mod coverage;
mod scan;
mod wording;

use super::{CHINESE, catalogue, words::Words};

/// All pairs of the catalogue.
fn pairs() -> Vec<(String, String)> {
    CHINESE.iter().flat_map(|(_, text)| catalogue::pairs(text)).collect()
}

fn words(pairs: &[(&str, &str)]) -> Words {
    Words::new(pairs.iter().copied())
}
