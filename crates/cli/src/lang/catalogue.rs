//! The catalogue: sentences in English, each with its translation below it.
//!
//! A line that begins at the margin is English, as the code says it; the indented line below it is the translation.
//! `#` begins a comment, `\n` stands for the end of a line within a sentence. Holes are those of `template`.

/// Returns the pairs of a file.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut english: Option<String> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let is_translation = line.starts_with(' ');
        let unescaped = line.trim().replace("\\n", "\n");
        match (is_translation, english.take()) {
            (true, Some(from)) => pairs.push((from, unescaped)),
            (true, None) => {}
            (false, _) => english = Some(unescaped),
        }
    }
    pairs
}
