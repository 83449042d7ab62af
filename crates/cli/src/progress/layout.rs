//! Putting parts of a line into the width that there is: the least important ones are left out first.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::screen::{Line, Style};

/// A part of a line.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What stands between it and the part before it.
    glue: &'static str,
    text: String,
    /// Parts of the greatest rank go first; those of rank 0 stay, and are cut where even they do not fit.
    rank: u8,
    style: Style,
}

impl Part {
    pub(super) fn new(rank: u8, text: impl Into<String>) -> Self {
        Self { glue: ", ", text: printable(&crate::lang::phrase(&text.into())), rank, style: Style::Plain }
    }

    pub(super) fn after(mut self, glue: &'static str) -> Self {
        self.glue = glue;
        self
    }

    pub(super) fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    pub(super) fn columns(&self, is_first: bool) -> usize {
        self.text.width() + if is_first { 0 } else { self.glue.width() }
    }
}

/// Makes a line of at most `width` columns.
pub(super) fn fit(mut parts: Vec<Part>, width: usize) -> Line {
    let columns = |parts: &[Part]| parts.iter().enumerate().map(|(n, part)| part.columns(n == 0)).sum::<usize>();
    while columns(&parts) > width {
        // Of equal ones the last.
        let Some((n, part)) = parts.iter().enumerate().max_by_key(|(n, part)| (part.rank, *n)) else { break };
        if part.rank == 0 {
            break;
        }
        parts.remove(n);
    }
    let mut left = width;
    let mut line = Line::default();
    for (n, part) in parts.iter().enumerate() {
        let glue = if n == 0 { "" } else { part.glue };
        for (text, style) in [(glue, Style::Plain), (part.text.as_str(), part.style)] {
            let kept = cut(text, left);
            left -= kept.width().min(left);
            line.push(kept, style);
            if kept.len() < text.len() {
                return line;
            }
        }
    }
    line
}

/// Returns how many columns a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Returns as much of the beginning of `text` as takes at most `columns`. A character of two columns is not halved.
pub(crate) fn cut(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        // Counted one by one, a cluster takes at least what it takes together.
        taken += c.width().unwrap_or(0);
        if taken > columns {
            return &text[..at];
        }
    }
    text
}

/// Messages of vendors stand in lines: an end of line or an escape sequence in them would tear the bar.
pub(crate) fn printable(text: &str) -> String {
    text.split(|c: char| c.is_control()).filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        vec![
            Part::new(0, "12/34"),
            Part::new(1, "5/s"),
            Part::new(3, "first"),
            Part::new(3, "last"),
            Part::new(0, "end"),
        ]
    }

    #[test]
    fn the_least_important_parts_are_left_out_first() {
        for (width, text) in [
            (80, "12/34, 5/s, first, last, end"),
            (28, "12/34, 5/s, first, last, end"),
            (27, "12/34, 5/s, first, end"),
            (20, "12/34, 5/s, end"),
            (10, "12/34, end"),
            (9, "12/34, en"),
            (6, "12/34,"),
            (0, ""),
        ] {
            assert_eq!(fit(parts(), width).text(), text, "{width}");
        }
    }

    #[test]
    fn chinese_characters_take_two_columns_and_are_not_halved() {
        let name = || vec![Part::new(0, "标注工单"), Part::new(0, "1/2")];
        for (width, text) in [(13, "标注工单, 1/2"), (12, "标注工单, 1/"), (7, "标注工"), (6, "标注工"), (1, "")]
        {
            let line = fit(name(), width);
            assert_eq!(line.text(), text, "{width}");
            assert!(columns(&line.text()) <= width);
        }
    }

    #[test]
    fn what_a_vendor_says_cannot_move_the_cursor() {
        assert_eq!(printable("bad\r\n\x1b[2Jgateway\t!"), "bad [2Jgateway !");
    }
}
