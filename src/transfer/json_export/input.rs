//! The input stream with its position, so that errors name a line and a column.

use std::fmt;
use std::io::{self, Read};

use crate::transfer::json::plain;

/// The number of bytes that are read at a time.
const BUFFER_BYTES: usize = 128 * 1024;

/// The reason why a file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The error of the underlying reader.
    Io(io::Error),
    /// The file is not the file of an export.
    Malformed {
        /// The position of the error.
        place: FilePosition,
        /// The error, as text for a message.
        what: String,
    },
}

/// A position in the file: line and character, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePosition {
    line: u64,
    column: u64,
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl FilePosition {
    /// Returns an error at this position.
    pub(crate) fn error(self, what: impl Into<String>) -> ReadError {
        ReadError::Malformed { place: self, what: what.into() }
    }

    /// Returns the position after these bytes, which begin at this position.
    pub(crate) fn after(mut self, bytes: &[u8]) -> FilePosition {
        for byte in bytes {
            match byte {
                b'\n' => self = FilePosition { line: self.line + 1, column: 1 },
                // Continuation bytes of UTF-8 are not counted.
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self
    }
}

/// A buffered stream of bytes that knows its position.
pub(crate) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// The position of the next byte.
    pub(crate) position: FilePosition,
}

impl<R: Read> Input<R> {
    /// Creates an input at the beginning of a stream.
    pub(crate) fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_BYTES], at: 0, end: 0, position: FilePosition { line: 1, column: 1 } }
    }

    /// Returns the next byte without consuming it, or `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        while self.at == self.end {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => (self.at, self.end) = (0, read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
        Ok(Some(self.buffer[self.at]))
    }

    /// Consumes the byte that `peek` has returned.
    pub(crate) fn advance(&mut self) {
        self.position = self.position.after(&self.buffer[self.at..=self.at]);
        self.at += 1;
    }

    /// Consumes the bytes in the buffer that need no escape in a JSON string, and appends them to `out`.
    pub(crate) fn copy_plain(&mut self, out: &mut Vec<u8>) {
        let remaining = &self.buffer[self.at..self.end];
        let plain_bytes = &remaining[..plain(remaining)];
        out.extend_from_slice(plain_bytes);
        self.position.column += plain_bytes.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count() as u64;
        self.at += plain_bytes.len();
    }

    /// Skips blanks and returns the next byte without consuming it, or `None` at the end.
    pub(crate) fn peek_non_blank(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.advance(),
                other => return Ok(other),
            }
        }
    }

    /// Skips blanks and consumes the byte `expected`. Fails with the text `what` when the next byte is another one.
    pub(crate) fn expect(&mut self, expected: u8, what: &str) -> Result<(), ReadError> {
        match self.peek_non_blank()? {
            Some(byte) if byte == expected => {
                self.advance();
                Ok(())
            }
            Some(_) => Err(self.position.error(what)),
            None => Err(self.end_error()),
        }
    }

    /// Returns the error of a file that ends too early.
    pub(crate) fn end_error(&self) -> ReadError {
        self.position.error("the file ends early: it was cut off")
    }
}
