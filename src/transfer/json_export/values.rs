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
const MAX_VALUE_BYTES: usize = 1_000_000_000;

impl<R: Read> Reader<R> {
    /// Reads the next value.
    pub(super) fn value(&mut self) -> Result<Datum, ReadError> {
        self.buffer.clear();
        match self.input.peek_non_blank()? {
            None => Err(self.input.end_error()),
            Some(b'"') => {
                self.input.advance();
                self.text()?;
                Ok(Datum::Text(std::mem::take(&mut self.buffer)))
            }
            Some(b'{' | b'[') => self.nested(),
            Some(_) => {
                let position = self.input.position;
                while let Some(byte) = self.input.peek()?
                    && (byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
                {
                    self.push(byte)?;
                }
                word(&self.buffer).ok_or_else(|| position.error("no value begins so"))
            }
        }
    }

    /// Consumes a byte and appends `byte` to the value, whose length is limited.
    fn push(&mut self, byte: u8) -> Result<(), ReadError> {
        self.buffer.push(byte);
        self.input.advance();
        match self.buffer.len() <= MAX_VALUE_BYTES {
            true => Ok(()),
            false => Err(self.input.position.error("a value is longer than SQLite's 1,000,000,000 bytes")),
        }
    }

    /// Reads the rest of a string after its opening quote.
    pub(super) fn text(&mut self) -> Result<(), ReadError> {
        let position = self.input.position;
        loop {
            self.input.copy_plain(&mut self.buffer);
            match self.input.peek()? {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => {
                    return Err(self.input.position.error("a control character in a text is not escaped"));
                }
                // A byte after the buffer's end: `peek` has filled the buffer again.
                Some(byte) => self.push(byte)?,
                None => return Err(self.input.end_error()),
            }
        }
        self.input.advance();
        match std::str::from_utf8(&self.buffer) {
            Ok(_) => Ok(()),
            Err(error) => Err(position.after(&self.buffer[..error.valid_up_to()]).error("this is not UTF-8")),
        }
    }

    fn escape(&mut self) -> Result<(), ReadError> {
        let position = self.input.position;
        self.input.advance();
        let character = match self.input.peek()? {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(position),
            _ => return Err(position.error("no such escape")),
        };
        self.push(character)
    }

    /// Reads `\uXXXX`, or a surrogate pair of two such escapes. `\u0000` is accepted, since a text of SQLite may
    /// contain it.
    fn unicode_escape(&mut self, position: FilePosition) -> Result<(), ReadError> {
        let surrogate_error = || position.error("half of a surrogate pair: no text has it");
        let code_unit = self.unit(position)?;
        let code = match code_unit {
            0xdc00..=0xdfff => return Err(surrogate_error()),
            0xd800..=0xdbff => {
                if self.input.peek()? != Some(b'\\') {
                    return Err(surrogate_error());
                }
                self.input.advance();
                let low_surrogate = self.unit(position)?;
                if !(0xdc00..=0xdfff).contains(&low_surrogate) {
                    return Err(surrogate_error());
                }
                0x10000 + ((code_unit & 0x3ff) << 10) + (low_surrogate & 0x3ff)
            }
            code_unit => code_unit,
        };
        let character = char::from_u32(code).ok_or_else(surrogate_error)?;
        self.buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Reads `uXXXX` and returns the code unit of UTF-16.
    fn unit(&mut self, position: FilePosition) -> Result<u32, ReadError> {
        let mut digits = [0; 5];
        for digit in &mut digits {
            *digit = self.input.peek()?.ok_or_else(|| self.input.end_error())?;
            self.input.advance();
        }
        let code_unit = if digits[0] == b'u' { hexadecimal(&digits[1..]) } else { None };
        code_unit.ok_or_else(|| position.error("four hexadecimal digits are missing behind \\u"))
    }

    /// Reads a list or an object as text, or as the value that it represents when JSON cannot express this value.
    fn nested(&mut self) -> Result<Datum, ReadError> {
        let position = self.input.position;
        let mut depth = 0;
        loop {
            let byte = self.input.peek()?.ok_or_else(|| self.input.end_error())?;
            match byte {
                b'{' | b'[' if depth == DEPTH => {
                    return Err(self.input.position.error(format!("it is nested more than {DEPTH} levels deep")));
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.skip_string()?,
                _ => {}
            }
            self.push(byte)?;
            if depth == 0 {
                break;
            }
        }
        let raw = std::mem::take(&mut self.buffer);
        if let Err(error) = std::str::from_utf8(&raw) {
            return Err(position.after(&raw[..error.valid_up_to()]).error("this is not UTF-8"));
        }
        decode_marked(&raw)
            .map_err(|(at, what)| position.after(&raw[..at]).error(what))?
            .map_or(Ok(Datum::Text(raw)), Ok)
    }

    /// Reads a string within a nested value, up to its closing quote.
    fn skip_string(&mut self) -> Result<(), ReadError> {
        self.push(b'"')?;
        loop {
            self.input.copy_plain(&mut self.buffer);
            match self.input.peek()? {
                Some(b'"') => return Ok(()),
                Some(b'\\') => {
                    self.push(b'\\')?;
                    let escaped = self.input.peek()?.ok_or_else(|| self.input.end_error())?;
                    self.push(escaped)?;
                }
                Some(byte) => self.push(byte)?,
                None => return Err(self.input.end_error()),
            }
        }
    }
}

/// Checks that a nested value is JSON. Returns the value that it represents when it is an object with one of the
/// special keys, and otherwise `None`. The parts of an error are the byte offset and the reason.
fn decode_marked(raw: &[u8]) -> Result<Option<Datum>, (usize, &'static str)> {
    let mut scanner = JsonScanner::new(raw);
    let mut tokens = Vec::new();
    while let Some(token) = scanner.token().map_err(|error| (error.at, error.reason))? {
        // Four tokens identify such an object, and a fifth one shows that more follows.
        if tokens.len() < 5 {
            tokens.push(token);
        }
    }
    let [JsonToken::OpenObject, JsonToken::Key(key), JsonToken::Text(text), JsonToken::CloseObject] = tokens[..] else {
        return Ok(None);
    };
    let mut content = Vec::new();
    unescape(text, &mut content);
    let decoded = || STANDARD.decode(&content).map_err(|_| (0, "this is no Base64"));
    Ok(Some(if key == BASE64.as_bytes() {
        Datum::Blob(decoded()?)
    } else if key == TEXT_BASE64.as_bytes() {
        Datum::Text(decoded()?)
    } else if key == NUMBER.as_bytes() {
        // `null`, `true` and `false` are words, too, but not numbers.
        let is_number = !content.iter().all(u8::is_ascii_lowercase);
        word(&content).filter(|_| is_number).ok_or((0, "this is no number"))?
    } else {
        return Ok(None);
    }))
}
