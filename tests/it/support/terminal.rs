//! The screen that a program's output makes: as much of an xterm as the program needs.

/// The screen of a terminal, with the lines that have scrolled out of it.
pub struct TerminalScreen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    /// The column of the cursor. It is `columns` after the last character of a line: then the next
    /// one wraps.
    column: usize,
}

impl TerminalScreen {
    /// Returns the screen of a terminal that is higher than the text.
    pub fn showing(columns: u16, output: &str) -> Self {
        let columns = usize::from(columns);
        let mut screen = Self { columns, lines: vec![Vec::new()], row: 0, column: 0 };
        let mut rest = output;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '\r' => screen.column = 0,
                '\n' => screen.down(1),
                '\u{1b}' if rest.starts_with('[') => {
                    let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
                    let (parameter, command) = (&rest[1..end], rest[end..].chars().next());
                    screen.command(command.unwrap_or(' '), parameter);
                    rest = rest.get(end + 1..).unwrap_or_default();
                }
                other => screen.print(other),
            }
        }
        screen
    }

    /// Returns the lines, without the blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>());
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    fn command(&mut self, command: char, parameter: &str) {
        let number: usize = parameter.parse().unwrap_or(1);
        match command {
            'A' => self.row = self.row.saturating_sub(number),
            'B' => self.down(number),
            'C' => self.column = (self.column + number).min(self.columns - 1),
            'D' => self.column = self.column.saturating_sub(number),
            'K' if parameter == "2" => self.lines[self.row].clear(),
            'K' => self.lines[self.row].truncate(self.column),
            // Colors, and whether the cursor is visible.
            _ => {}
        }
    }

    fn down(&mut self, rows: usize) {
        self.row += rows;
        self.column = self.column.min(self.columns - 1);
        while self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
    }

    fn print(&mut self, character: char) {
        if self.column == self.columns {
            self.column = 0;
            self.down(1);
        }
        let line = &mut self.lines[self.row];
        while line.len() <= self.column {
            line.push(' ');
        }
        line[self.column] = character;
        self.column += 1;
    }
}

#[test]
fn a_screen_wraps_a_line_only_when_the_next_character_comes() {
    let lines = |text: &str| TerminalScreen::showing(4, text).lines();
    assert_eq!(lines("abcd"), ["abcd"]);
    assert_eq!(lines("abcde"), ["abcd", "e"]);
    assert_eq!(lines("abcd\r^C"), ["^Ccd"]);
    assert_eq!(lines("abcd^C\u{1b}[1A\r\u{1b}[2Kx"), ["x", "^C"]);
    assert_eq!(lines("a\r\n\u{1b}[31mb\u{1b}[0m"), ["a", "b"]);
}
