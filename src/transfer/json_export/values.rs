//! The values of a row: strings with their escapes, words without quotes, and nested values.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::input::{FilePosition, ReadError};
use super::number::word;
use super::read::{Datum, Reader};
use super::{BASE64, NUMBER, TEXT_BASE64};
use crate::transfer::json::{DEPTH, JsonScanner, JsonToken, hexadecimal, unescape};

/// The maximum length of a value in SQLite, in bytes (SQLITE_MAX_LENGTH).
const LONGEST: usize = 1_000_000_000;

impl<R: Read> Reader<R> {
    /// Reads the next value.
    pub(super) fn value(&mut self) -> Result<Datum, ReadError> {
        self.scratch.clear();
        match self.input.solid()? {
            None => Err(self.input.ends()),
            Some(b'"') => {
                self.input.pass();
                self.text()?;
                Ok(Datum::Text(std::mem::take(&mut self.scratch)))
            }
            Some(b'{' | b'[') => self.nested(),
            Some(_) => {
                let place = self.input.place;
                while let Some(byte) = self.input.peek()?
                    && (byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
                {
                    self.push(byte)?;
                }
                word(&self.scratch).ok_or_else(|| place.error("no value begins so"))
            }
        }
    }

    /// Consumes a byte and appends `byte` to the value, whose length is limited.
    fn push(&mut self, byte: u8) -> Result<(), ReadError> {
        self.scratch.push(byte);
        self.input.pass();
        match self.scratch.len() <= LONGEST {
            true => Ok(()),
            false => Err(self.input.place.error("a value is longer than SQLite's 1,000,000,000 bytes")),
        }
    }

    /// Reads the rest of a string after its opening quote.
    pub(super) fn text(&mut self) -> Result<(), ReadError> {
        let place = self.input.place;
        loop {
            self.input.plain(&mut self.scratch);
            match self.input.peek()? {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => {
                    return Err(self.input.place.error("a control character in a text is not escaped"));
                }
                // A byte after the buffer's end: `peek` has filled the buffer again.
                Some(byte) => self.push(byte)?,
                None => return Err(self.input.ends()),
            }
        }
        self.input.pass();
        match std::str::from_utf8(&self.scratch) {
            Ok(_) => Ok(()),
            Err(error) => Err(place.behind(&self.scratch[..error.valid_up_to()]).error("this is not UTF-8")),
        }
    }

    fn escape(&mut self) -> Result<(), ReadError> {
        let place = self.input.place;
        self.input.pass();
        let simple = match self.input.peek()? {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.wide(place),
            _ => return Err(place.error("no such escape")),
        };
        self.push(simple)
    }

    /// Reads `\uXXXX`, or a surrogate pair of two such escapes. `\u0000` is accepted, since a text of SQLite may
    /// contain it.
    fn wide(&mut self, place: FilePosition) -> Result<(), ReadError> {
        let half = || place.error("half of a surrogate pair: no text has it");
        let unit = self.unit(place)?;
        let code = match unit {
            0xdc00..=0xdfff => return Err(half()),
            0xd800..=0xdbff => {
                if self.input.peek()? != Some(b'\\') {
                    return Err(half());
                }
                self.input.pass();
                let low = self.unit(place)?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(half());
                }
                0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff)
            }
            unit => unit,
        };
        let character = char::from_u32(code).ok_or_else(half)?;
        self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Reads `uXXXX` and returns the code unit of UTF-16.
    fn unit(&mut self, place: FilePosition) -> Result<u32, ReadError> {
        let mut digits = [0; 5];
        for digit in &mut digits {
            *digit = self.input.peek()?.ok_or_else(|| self.input.ends())?;
            self.input.pass();
        }
        let unit = if digits[0] == b'u' { hexadecimal(&digits[1..]) } else { None };
        unit.ok_or_else(|| place.error("four hexadecimal digits are missing behind \\u"))
    }

    /// Reads a list or an object as text, or as the value that it represents when JSON cannot express this value.
    fn nested(&mut self) -> Result<Datum, ReadError> {
        let place = self.input.place;
        let mut depth = 0;
        loop {
            let byte = self.input.peek()?.ok_or_else(|| self.input.ends())?;
            match byte {
                b'{' | b'[' if depth == DEPTH => {
                    return Err(self.input.place.error(format!("it is nested more than {DEPTH} levels deep")));
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.skipped()?,
                _ => {}
            }
            self.push(byte)?;
            if depth == 0 {
                break;
            }
        }
        let raw = std::mem::take(&mut self.scratch);
        if let Err(error) = std::str::from_utf8(&raw) {
            return Err(place.behind(&raw[..error.valid_up_to()]).error("this is not UTF-8"));
        }
        marked(&raw).map_err(|(at, what)| place.behind(&raw[..at]).error(what))?.map_or(Ok(Datum::Text(raw)), Ok)
    }

    /// Reads a string within a nested value, up to its closing quote.
    fn skipped(&mut self) -> Result<(), ReadError> {
        self.push(b'"')?;
        loop {
            self.input.plain(&mut self.scratch);
            match self.input.peek()? {
                Some(b'"') => return Ok(()),
                Some(b'\\') => {
                    self.push(b'\\')?;
                    let escaped = self.input.peek()?.ok_or_else(|| self.input.ends())?;
                    self.push(escaped)?;
                }
                Some(byte) => self.push(byte)?,
                None => return Err(self.input.ends()),
            }
        }
    }
}

/// Checks that a nested value is JSON. Returns the value that it represents when it is an object with one of the
/// special keys, and otherwise `None`. The parts of an error are the byte offset and the reason.
fn marked(raw: &[u8]) -> Result<Option<Datum>, (usize, &'static str)> {
    let mut scanner = JsonScanner::new(raw);
    let mut tokens = Vec::new();
    while let Some(token) = scanner.token().map_err(|broken| (broken.at, broken.what))? {
        // Four tokens identify such an object, and a fifth one shows that more follows.
        if tokens.len() < 5 {
            tokens.push(token);
        }
    }
    let [JsonToken::OpenObject, JsonToken::Key(key), JsonToken::Text(text), JsonToken::CloseObject] = tokens[..] else {
        return Ok(None);
    };
    let mut inside = Vec::new();
    unescape(text, &mut inside);
    let decoded = || STANDARD.decode(&inside).map_err(|_| (0, "this is no Base64"));
    Ok(Some(if key == BASE64.as_bytes() {
        Datum::Blob(decoded()?)
    } else if key == TEXT_BASE64.as_bytes() {
        Datum::Text(decoded()?)
    } else if key == NUMBER.as_bytes() {
        // `null`, `true` and `false` are words, too, but not numbers.
        let is_number = !inside.iter().all(u8::is_ascii_lowercase);
        word(&inside).filter(|_| is_number).ok_or((0, "this is no number"))?
    } else {
        return Ok(None);
    }))
}
