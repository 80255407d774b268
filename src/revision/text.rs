//! Reads the bytes of a script as text: UTF-8 only, without the byte order mark, with LF as line end, in pieces of
//! bounded size.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr_iter, memchr2_iter};

/// The number of bytes that one read asks of the source.
const PIECE: usize = 64 * 1024;

/// The reason why bytes are not the text of a script.
#[derive(Debug)]
pub enum TextError {
    /// The source could not be read.
    Io(io::Error),
    /// The bytes are not UTF-8, or they contain what no SQL text has: a NUL byte, or a CR without LF.
    Unfit {
        /// The line of the problem, counted from 1.
        line: usize,
        /// A sentence that names the problem and, where there is one, the remedy.
        what: &'static str,
    },
}

/// The state of a source after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    /// More bytes may follow.
    More,
    /// All bytes have been read.
    End,
}

/// A reader that decodes and normalises the bytes of a source.
pub(crate) struct Text<R> {
    source: R,
    piece: Vec<u8>,
    /// The number of bytes that are read and not yet returned: the beginning of a character or of a line end.
    carried: usize,
    line: usize,
    begun: bool,
    /// The bytes of the normalised text that are returned, counted from the beginning of the source.
    part: Range<u64>,
    /// The number of bytes of the normalised text that were read so far.
    offset: u64,
}

impl<R: Read> Text<R> {
    /// Creates a reader of the bytes of `source`.
    pub(crate) fn new(source: R) -> Self {
        Text { source, piece: Vec::new(), carried: 0, line: 1, begun: false, part: 0..u64::MAX, offset: 0 }
    }

    /// Reads into the memory of an earlier reader, so that it is not allocated and zeroed for each small file.
    pub(crate) fn with_buffer(self, buffer: Vec<u8>) -> Self {
        Text { piece: buffer, ..self }
    }

    /// Returns the memory for [`Text::with_buffer`] of the next reader.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.piece
    }

    /// Limits the reader to a part of the normalised text, which begins and ends at a line.
    pub(crate) fn with_part(self, part: Range<u64>) -> Self {
        Text { part, ..self }
    }

    /// Appends the next piece of text to `into`. Returns whether more text may follow.
    ///
    /// # Errors
    /// Fails if the source cannot be read, or with [`TextError::Unfit`] if its bytes are not the text of a script.
    pub(crate) fn fill(&mut self, into: &mut String) -> Result<SourceState, TextError> {
        if self.piece.len() < self.carried + PIECE {
            self.piece.resize(self.carried + PIECE, 0);
        }
        let read = self.read_some()?;
        let filled = self.carried + read;
        let supply = if read == 0 { SourceState::End } else { SourceState::More };
        let mut bytes = &self.piece[..filled];
        if !self.begun && filled > 0 {
            self.begun = true;
            if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
                return Err(self.unfit(self.line, "it is UTF-16; save it as UTF-8"));
            }
            bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        }
        let whole =
            complete(bytes, supply).map_err(|at| self.unfit(self.line + newlines(&bytes[..at]), "it is not UTF-8"))?;
        let text = std::str::from_utf8(&bytes[..whole]).expect("complete() has checked it");
        let had = into.len();
        self.line += normalise(text, into)
            .map_err(|(at, what)| self.unfit(self.line + newlines(&text.as_bytes()[..at]), what))?;
        let rest = filled - (bytes.len() - whole);
        self.carried = bytes.len() - whole;
        self.piece.copy_within(rest..filled, 0);
        self.cut(into, had);
        Ok(if self.offset >= self.part.end { SourceState::End } else { supply })
    }

    /// Removes what does not belong to the part from the text that was appended behind the first `had` bytes.
    fn cut(&mut self, into: &mut String, had: usize) {
        let from = self.offset;
        self.offset += (into.len() - had) as u64;
        let at = |offset: u64| had + usize::try_from(offset.saturating_sub(from)).unwrap_or(usize::MAX);
        into.truncate(at(self.part.end).min(into.len()));
        into.drain(had..at(self.part.start).min(into.len()));
    }

    /// Reads until at least four bytes are there (a byte order mark, a character) or the source ends. Returns the
    /// number of bytes.
    fn read_some(&mut self) -> Result<usize, TextError> {
        let mut read = 0;
        while read < 4 {
            match self.source.read(&mut self.piece[self.carried + read..self.carried + PIECE]) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TextError::Io(error)),
            }
        }
        Ok(read)
    }

    fn unfit(&self, line: usize, what: &'static str) -> TextError {
        TextError::Unfit { line, what }
    }
}

fn newlines(bytes: &[u8]) -> usize {
    memchr_iter(b'\n', bytes).count()
}

/// Returns the number of bytes that can be returned now: without the first part of a character, and without a CR whose
/// LF may follow. The error is the offset of the first byte that is not UTF-8.
fn complete(bytes: &[u8], supply: SourceState) -> Result<usize, usize> {
    let whole = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) if error.error_len().is_none() && supply == SourceState::More => error.valid_up_to(),
        Err(error) => return Err(error.valid_up_to()),
    };
    let waits = supply == SourceState::More && bytes[..whole].last() == Some(&b'\r');
    Ok(whole - usize::from(waits))
}

/// Appends text with each CRLF as LF. Returns the number of line feeds; the error is the offset of the first character
/// that a script must not have, and the sentence that says so.
fn normalise(text: &str, into: &mut String) -> Result<usize, (usize, &'static str)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    for at in memchr2_iter(b'\r', 0, bytes) {
        match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {
                into.push_str(&text[from..at]);
                from = at + 1;
            }
            b'\r' => {
                return Err((at, "it has a carriage return without a line feed; save it with LF line ends"));
            }
            _ => return Err((at, "it has a NUL byte")),
        }
    }
    into.push_str(&text[from..]);
    Ok(newlines(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that returns only a few bytes for each read, as a pipe may.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(bytes: &[u8], step: usize) -> Result<String, TextError> {
        let mut text = Text::new(Drip(bytes, step));
        let mut all = String::new();
        while text.fill(&mut all)? == SourceState::More {}
        Ok(all)
    }

    #[test]
    fn line_ends_and_mark_are_normalised_at_any_cut() {
        let bytes = "\u{feff}a\r\nbä€𝄞\r\n\nc".as_bytes();
        for step in 1..bytes.len() + 1 {
            assert_eq!(read(bytes, step).unwrap(), "a\nbä€𝄞\n\nc", "step {step}");
        }
        assert_eq!(read(b"", 1).unwrap(), "");
    }

    #[test]
    fn a_part_is_returned_whatever_the_pieces_are() {
        let bytes = "\u{feff}up\r\nä\r\ndown\n".as_bytes();
        for (part, expected) in
            [(0..u64::MAX, "up\nä\ndown\n"), (0..3, "up\n"), (3..6, "ä\n"), (6..11, "down\n"), (11..11, "")]
        {
            for step in 1..bytes.len() + 1 {
                let mut text = Text::new(Drip(bytes, step)).with_part(part.clone());
                let mut all = String::new();
                while text.fill(&mut all).unwrap() == SourceState::More {}
                assert_eq!(all, expected, "{part:?}, step {step}");
            }
        }
    }

    #[test]
    fn unfit_bytes_name_their_line() {
        for (bytes, line) in [
            (&b"a\nb\xff"[..], 2),
            (b"a\nb\xc3", 2),
            (b"\xff\xfea\0", 1),
            (b"a\rb\n", 1),
            (b"a\n\nb\r", 3),
            (b"a\n\0", 2),
        ] {
            for step in 1..6 {
                match read(bytes, step) {
                    Err(TextError::Unfit { line: found, .. }) => assert_eq!(found, line, "{bytes:?}"),
                    other => panic!("{bytes:?}: {other:?}"),
                }
            }
        }
    }
}
