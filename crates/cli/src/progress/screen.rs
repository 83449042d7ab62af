//! Drawing a few lines again and again where the terminal scrolls, without a library.
//!
//! After a frame the cursor stands at the beginning of the frame's first line, and whatever is below belongs to the
//! frame. So taking it away is: erase from here to the end of the screen. However often the window was resized in
//! between, and however the terminal wrapped the old lines when it was (some do, some cut), nothing of them is left
//! and nothing above them is touched: there is no number of rows to get wrong. While lines are drawn, wrapping is off, so
//! that a window that becomes narrower at that moment does not move them.
//!
//! The cursor is hidden within a frame only: a process that is killed leaves a terminal that can be typed in.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

/// Takes a frame away, and is nothing where there is none.
pub(crate) const ERASE: &str = "\r\x1b[J";

/// How a piece of text looks, where colour is welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    /// What is done.
    Good,
    /// What failed.
    Bad,
    /// What is waited for.
    Wait,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Wait => Some("33"),
        }
    }
}

/// A line of a frame. It is no wider than the screen, and has no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(String, Style)>);

impl Line {
    /// Adds text.
    pub(crate) fn push(&mut self, text: &str, style: Style) {
        if !text.is_empty() {
            self.0.push((text.to_owned(), style));
        }
    }

    /// Returns how many columns it takes.
    pub(crate) fn columns(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    /// Returns the text without its looks.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Returns what draws a frame, from the beginning of a line on.
pub(crate) fn frame(lines: &[Line], is_coloured: bool) -> String {
    // The cursor out of sight, and no wrapping.
    let mut drawn = String::from("\x1b[?25l\x1b[?7l");
    for (n, Line(pieces)) in lines.iter().enumerate() {
        if n > 0 {
            drawn.push_str("\r\n");
        }
        for (text, style) in pieces {
            // Writing into a string cannot fail; so for the next one.
            let _ = match style.code().filter(|_| is_coloured) {
                Some(code) => write!(drawn, "\x1b[{code}m{text}\x1b[0m"),
                None => write!(drawn, "{text}"),
            };
        }
    }
    drawn.push('\r');
    if lines.len() > 1 {
        let _ = write!(drawn, "\x1b[{}A", lines.len() - 1);
    }
    drawn.push_str("\x1b[?7h\x1b[?25h");
    drawn
}

/// A terminal's width and height, in columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Returns the size of the terminal at standard error.
pub(crate) fn size() -> Size {
    let or = |n: u16, usual: usize| if n == 0 { usual } else { usize::from(n) };
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) => Size { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24) },
        Err(_) => Size { columns: 80, rows: 24 },
    }
}

/// Returns whether the terminal is ours to draw on: a process in the background (`tidemill run … &`) has no right to it.
pub(crate) fn is_in_foreground() -> bool {
    match rustix::termios::tcgetpgrp(std::io::stderr()) {
        Ok(group) => group == rustix::process::getpgrp(),
        // No job control here, so nobody else is in front.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use testkit::Terminal;

    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.push(text, Style::Bad);
        line
    }

    #[test]
    fn a_frame_leaves_the_screen_as_it_was_and_the_cursor_to_be_seen() {
        let mut terminal = Terminal::new(20);
        terminal.write("before\n");
        for n in 1..=3 {
            terminal.write(ERASE);
            terminal.write(&frame(&vec![line("0123456789"); n], n == 2));
            assert_eq!(terminal.lines().len(), 1 + n);
            assert!(terminal.is_as_usual());
        }
        terminal.write(&format!("{ERASE}a message\n"));
        terminal.write(&frame(&[line("x")], false));
        assert_eq!(terminal.lines(), ["before", "a message", "x"]);
        terminal.write(ERASE);
        assert_eq!(terminal.lines(), ["before", "a message", ""]);
    }

    #[test]
    fn a_window_that_becomes_narrower_at_any_moment_leaves_no_garbage() {
        let mut terminal = Terminal::new(40);
        terminal.write("before\n");
        terminal.write(&frame(&[line(&"a".repeat(39)), line(&"b".repeat(39)), line("c")], false));
        // Now the old lines take five rows; the next frame was laid out for 40 columns still.
        terminal.resize(16);
        terminal.write(ERASE);
        terminal.write(&frame(&[line(&"d".repeat(39)), line(&"e".repeat(39)), line("f")], false));
        assert_eq!(terminal.lines(), ["before".to_owned(), "d".repeat(16), "e".repeat(16), "f".to_owned()]);
        terminal.resize(200);
        terminal.write(ERASE);
        terminal.write(&frame(&[line(&"g".repeat(199))], false));
        assert_eq!(terminal.lines(), ["before".to_owned(), "g".repeat(199)]);
    }

    #[test]
    fn without_colour_there_is_none() {
        let lines = [line("3 failed")];
        assert!(!frame(&lines, false).contains("\x1b[31m") && frame(&lines, true).contains("\x1b[31m3 failed\x1b[0m"));
    }
}
