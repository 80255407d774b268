//! Bytes with their place: what is wrong is named by line and column.

use std::fmt;
use std::io::{self, Read};

use crate::transfer::json::plain;

/// Bytes read at a time.
const BUFFER: usize = 128 * 1024;

/// Why a file cannot be read on.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// It is no file of an export.
    Malformed {
        place: FilePosition,
        what: String,
    },
}

/// A place in the file, in lines and characters from 1.
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
    pub fn is(self, what: impl Into<String>) -> ReadError {
        ReadError::Malformed { place: self, what: what.into() }
    }

    /// The place behind these bytes.
    pub fn behind(mut self, bytes: &[u8]) -> FilePosition {
        for byte in bytes {
            match byte {
                b'\n' => self = FilePosition { line: self.line + 1, column: 1 },
                // The bytes of a character but its first.
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self
    }
}

/// A stream of bytes.
pub struct Input<R> {
    from: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    pub place: FilePosition,
}

impl<R: Read> Input<R> {
    pub fn new(from: R) -> Self {
        Self { from, buffer: vec![0; BUFFER], at: 0, end: 0, place: FilePosition { line: 1, column: 1 } }
    }

    /// The next byte; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        while self.at == self.end {
            match self.from.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => (self.at, self.end) = (0, read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
        Ok(Some(self.buffer[self.at]))
    }

    /// Passes the byte that was peeked at.
    pub fn pass(&mut self) {
        self.place = self.place.behind(&self.buffer[self.at..=self.at]);
        self.at += 1;
    }

    /// Appends what means itself inside of a text, as far as it has been read.
    pub fn plain(&mut self, out: &mut Vec<u8>) {
        let rest = &self.buffer[self.at..self.end];
        let run = &rest[..plain(rest)];
        out.extend_from_slice(run);
        self.place.column += run.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count() as u64;
        self.at += run.len();
    }

    /// The next byte that is no blank.
    pub fn solid(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pass(),
                other => return Ok(other),
            }
        }
    }

    /// Passes this byte behind blanks.
    pub fn expect(&mut self, wanted: u8, what: &str) -> Result<(), ReadError> {
        match self.solid()? {
            Some(byte) if byte == wanted => {
                self.pass();
                Ok(())
            }
            Some(_) => Err(self.place.is(what)),
            None => Err(self.ends()),
        }
    }

    pub fn ends(&self) -> ReadError {
        self.place.is("the file ends early: it was cut off")
    }
}
