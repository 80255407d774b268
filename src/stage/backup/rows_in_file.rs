//! Counting of the rows in a file of an archive that is a directory: the lines of a COPY before the line `\.`.

use memchr::memchr_iter;
use memchr::memmem::Finder;

/// The end of the rows, after the end of the line before it.
const END_OF_ROWS: &[u8] = b"\n\\.\n";

/// A counter for the rows of a table. A row is a line: COPY writes a line end within a value as `\n`, and a backslash as
/// two, so that no row is the line `\.` (manual, COPY, "Text Format").
pub(super) struct RowCounter {
    finder: Finder<'static>,
    rows: u64,
    /// The last bytes so far, in which the end of the rows may begin. A line end stands before the first byte.
    tail: Vec<u8>,
    has_ended: bool,
}

/// The error of rows that do not end as `pg_dump` ends them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum RowsError {
    #[error("it ends within the rows of the table")]
    CutOff,
    #[error("something follows the rows of the table")]
    Trailing,
}

impl RowCounter {
    pub(super) fn new() -> RowCounter {
        RowCounter { finder: Finder::new(END_OF_ROWS), rows: 0, tail: vec![b'\n'], has_ended: false }
    }

    /// Counts the rows in the next bytes.
    ///
    /// # Errors
    /// Fails when anything but empty lines follows the end of the rows.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), RowsError> {
        if self.has_ended {
            return only_line_ends(bytes);
        }
        // The end may have begun before these bytes.
        let joined = &bytes[..bytes.len().min(END_OF_ROWS.len() - 1)];
        let tail = self.tail.len();
        self.tail.extend_from_slice(joined);
        let end = match self.finder.find(&self.tail) {
            Some(at) => Some((at + END_OF_ROWS.len()).saturating_sub(tail)),
            None => self.finder.find(bytes).map(|at| at + END_OF_ROWS.len()),
        };
        if let Some(end) = end {
            self.has_ended = true;
            // The line of the end is no row.
            let lines = memchr_iter(b'\n', &bytes[..end]).count() as u64;
            self.rows = (self.rows + lines).saturating_sub(1);
            return only_line_ends(&bytes[end..]);
        }
        self.rows += memchr_iter(b'\n', bytes).count() as u64;
        if bytes.len() >= END_OF_ROWS.len() {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - (END_OF_ROWS.len() - 1)..]);
        } else {
            let surplus = self.tail.len().saturating_sub(END_OF_ROWS.len() - 1);
            self.tail.drain(..surplus);
        }
        Ok(())
    }

    /// Returns the number of rows at the end of the file.
    ///
    /// # Errors
    /// Fails when the rows have not ended.
    pub(super) fn finish(self) -> Result<u64, RowsError> {
        if self.has_ended { Ok(self.rows) } else { Err(RowsError::CutOff) }
    }
}

fn only_line_ends(bytes: &[u8]) -> Result<(), RowsError> {
    if bytes.iter().all(|byte| *byte == b'\n') { Ok(()) } else { Err(RowsError::Trailing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8], piece: usize) -> Result<u64, RowsError> {
        let mut counter = RowCounter::new();
        text.chunks(piece).try_for_each(|bytes| counter.add(bytes))?;
        counter.finish()
    }

    #[test]
    fn rows_are_lines_before_the_end_however_they_come() {
        let rows: [(&[u8], Result<u64, RowsError>); 10] = [
            (b"\\.\n\n\n", Ok(0)),
            (b"1\ta\n2\tb\n\\.\n\n\n", Ok(2)),
            // Tables without columns, and values that look like the end.
            (b"\n\n\n\\.\n\n\n", Ok(3)),
            (b"\\\\.\n\\\\.\n\\.\n\n\n", Ok(2)),
            (b"x\\\\.\nx\\n\\\\.\\n\n\\.\n", Ok(2)),
            (b"1\n2\n", Err(RowsError::CutOff)),
            (b"", Err(RowsError::CutOff)),
            (b"1\n\\.", Err(RowsError::CutOff)),
            (b"1\n\\.\n2\n", Err(RowsError::Trailing)),
            (b"1\n\\.\n\n\n2\n\\.\n\n\n", Err(RowsError::Trailing)),
        ];
        for (text, expected) in rows {
            for piece in [1, 2, 3, 4, 5, 6, 1000] {
                let found = count(text, piece);
                assert_eq!(found, expected, "{:?} in pieces of {piece}", String::from_utf8_lossy(text));
            }
        }
    }
}
