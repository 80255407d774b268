//! Formats answers for people as tables: aligned columns with titles, coloured on a terminal.

use unicode_width::UnicodeWidthStr;

use crate::escape::escape;
use crate::report::Colour;

/// The meaning of a cell, which is shown by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CellTone {
    /// No special meaning.
    #[default]
    Plain,
    /// Done or valid (green).
    Good,
    /// Not done yet (yellow).
    Open,
    /// Wrong (red).
    Bad,
}

impl CellTone {
    /// Returns the escape sequence of the colour; empty for no colour.
    fn code(self) -> &'static str {
        match self {
            CellTone::Plain => "",
            CellTone::Good => "\x1b[32m",
            CellTone::Open => "\x1b[33m",
            CellTone::Bad => "\x1b[31m",
        }
    }
}

/// A table that grows row by row.
pub(crate) struct TextTable {
    /// The titles of the columns.
    titles: Vec<&'static str>,
    /// The widths of the columns in terminal cells.
    widths: Vec<usize>,
    /// The rows without the titles.
    rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
pub(crate) struct Cell {
    /// The escaped text.
    text: String,
    /// The width of the text in terminal cells.
    width: usize,
    /// The meaning of the cell.
    tone: CellTone,
}

impl Cell {
    /// Makes a cell, and escapes control characters of its text.
    pub(crate) fn new(text: &str, tone: CellTone) -> Cell {
        let text = escape(text).into_owned();
        Cell { width: text.width(), text, tone }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, CellTone::Plain)
    }
}

impl TextTable {
    /// Makes a table without rows.
    pub(crate) fn new(titles: Vec<&'static str>) -> TextTable {
        TextTable { widths: titles.iter().map(|title| title.width()).collect(), titles, rows: Vec::new() }
    }

    /// Adds a row, which has one cell for each title.
    pub(crate) fn add(&mut self, row: Vec<Cell>) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = cell.width.max(*width);
        }
        self.rows.push(row);
    }

    /// Returns the lines of the table, without spaces at their ends.
    pub(crate) fn text(&self, colour: Colour) -> String {
        let titles: Vec<Cell> = self.titles.iter().map(|title| Cell::from(*title)).collect();
        let mut text = String::new();
        for row in [&titles].into_iter().chain(&self.rows) {
            let mut blanks = 0;
            for (cell, width) in row.iter().zip(&self.widths) {
                if !cell.text.is_empty() {
                    text.extend(std::iter::repeat_n(' ', blanks));
                    blanks = 0;
                    match (colour, cell.tone.code()) {
                        (Colour::Plain, _) | (_, "") => text.push_str(&cell.text),
                        (Colour::Ansi, code) => text.extend([code, &cell.text, "\x1b[0m"]),
                    }
                }
                blanks += width - cell.width + 2;
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TextTable {
        let mut table = TextTable::new(vec!["A", "LONG", "C"]);
        table.add(vec![Cell::new("good", CellTone::Good), "".into(), "x".into()]);
        table.add(vec!["加".into(), "\x1b[2J\u{9b}\u{202e}\n".into(), "".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let lines =
            "A     LONG                     C\ngood                           x\n加    \\u001b[2J\\u009b\\u202e\\n\n";
        assert_eq!(table().text(Colour::Plain), lines);
    }

    #[test]
    fn colours_take_no_room() {
        let coloured = table().text(Colour::Ansi);
        assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[0m", ""), table().text(Colour::Plain));
        assert_eq!(coloured.matches('\x1b').count(), 2);
    }
}
