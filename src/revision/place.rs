//! Positions in a file, for messages.

use memchr::memchr_iter;

/// A position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The column, counted in characters from 1.
    pub(crate) column: usize,
}

impl SourcePosition {
    /// Returns the position directly behind `text`, where `text` begins at `self`.
    pub(crate) fn after(self, text: &str) -> SourcePosition {
        match text.rfind('\n') {
            None => SourcePosition { column: self.column + text.chars().count(), ..self },
            Some(last) => SourcePosition {
                line: self.line + memchr_iter(b'\n', text.as_bytes()).count(),
                column: text[last + 1..].chars().count() + 1,
            },
        }
    }
}
