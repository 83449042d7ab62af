//! A terminal that scrolls, as far as lines that are drawn again and again need one.

/// What a terminal shows: lines, and a cursor.
///
/// Lines are kept as they were ended. A line that is longer than the screen is wide takes several rows, and takes fewer or
/// more of them when the window is resized, as on most terminals. The screen is as high as it needs to be.
#[derive(Debug)]
pub struct Terminal {
    columns: usize,
    lines: Vec<String>,
    row: usize,
    column: usize,
    wraps: bool,
    is_cursor_seen: bool,
    /// The beginning of a control sequence whose end has not come yet.
    begun: String,
}

impl Terminal {
    /// Opens an empty screen.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let lines = vec![String::new()];
        Self { columns, lines, row: 0, column: 0, wraps: true, is_cursor_seen: true, begun: String::new() }
    }

    /// Makes the window wider or narrower.
    pub fn resize(&mut self, columns: usize) {
        self.columns = columns;
    }

    /// Returns the lines, the last of which may be empty.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns whether a user can type as usual: the cursor is seen, and long lines wrap.
    #[must_use]
    pub fn is_as_usual(&self) -> bool {
        self.is_cursor_seen && self.wraps
    }

    /// Takes what a program writes; it may be cut anywhere between two characters.
    ///
    /// # Panics
    /// At a control sequence that this terminal does not know.
    pub fn write(&mut self, text: &str) {
        for c in text.chars() {
            if !self.begun.is_empty() {
                self.begun.push(c);
                let is_whole = self.begun.len() > 2 && c.is_ascii_alphabetic();
                if is_whole {
                    let sequence = std::mem::take(&mut self.begun);
                    self.control(&sequence[2..sequence.len() - 1], c);
                }
                continue;
            }
            match c {
                '\x1b' => self.begun.push(c),
                '\r' => self.column = 0,
                '\n' => {
                    (self.row, self.column) = (self.row + 1, 0);
                    if self.row == self.lines.len() {
                        self.lines.push(String::new());
                    }
                }
                c => self.put(c),
            }
        }
    }

    fn put(&mut self, c: char) {
        if self.column >= self.columns && !self.wraps {
            self.column = self.columns - 1;
        }
        let mut line: Vec<char> = self.lines[self.row].chars().collect();
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = c;
        self.lines[self.row] = line.into_iter().collect();
        self.column += 1;
    }

    fn control(&mut self, what: &str, verb: char) {
        match (verb, what) {
            ('J', "") => {
                self.lines.truncate(self.row + 1);
                let kept: String = self.lines[self.row].chars().take(self.column).collect();
                self.lines[self.row] = kept;
            }
            ('A', n) => (0..n.parse::<usize>().unwrap_or(1)).for_each(|_| self.up()),
            ('m', _) => {}
            ('l' | 'h', "?7") => self.wraps = verb == 'h',
            ('l' | 'h', "?25") => self.is_cursor_seen = verb == 'h',
            _ => panic!("this terminal does not know `{what}{verb}`"),
        }
    }

    /// Goes up a row, which may be one of the same line.
    fn up(&mut self) {
        if self.column >= self.columns {
            self.column -= self.columns;
        } else if self.row > 0 {
            self.row -= 1;
            let length = self.lines[self.row].chars().count();
            let last_row = length.saturating_sub(1) / self.columns;
            self.column += last_row * self.columns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_became_too_long_takes_two_rows() {
        let mut terminal = Terminal::new(10);
        terminal.write("0123456789\r\nab\r\x1b[");
        terminal.resize(6);
        terminal.write("1A\x1b[J!");
        assert_eq!(terminal.lines(), ["012345!"]);
        assert!(terminal.is_as_usual());
        terminal.write("\x1b[?7lxxxxxxxxx");
        assert_eq!((terminal.lines()[0].as_str(), terminal.is_as_usual()), ("01234x!", false));
    }
}
