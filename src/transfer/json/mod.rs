//! A JSON scanner that reads token by token, as strictly as PostgreSQL does, and builds no tree.
//!
//! The text is sent to the server unchanged, so the scanner has to agree with the server's own parser
//! (`src/common/jsonapi.c`): RFC 8259 without extensions. The scanner also refuses what jsonb refuses beyond that:
//! `\u0000` and unpaired surrogates.

mod text;

pub(crate) use text::{hexadecimal, plain, unescape};

/// The maximum nesting depth of lists and objects. The server's limit is its stack (`max_stack_depth`). This limit is
/// that of SQLite (JSON_MAX_DEPTH), and a server with the default of 2 MB can read such a text.
pub(crate) const DEPTH: usize = 1000;
const WORD_BITS: usize = u64::BITS as usize;

/// A token. A text or key contains the bytes between the quotes, with escapes as they were written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JsonToken<'a> {
    Null,
    True,
    False,
    Number(&'a [u8]),
    Text(&'a [u8]),
    Key(&'a [u8]),
    OpenList,
    CloseList,
    OpenObject,
    CloseObject,
}

/// The reason why PostgreSQL does not accept a JSON text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The byte offset in the text.
    pub at: usize,
    /// The reason, as a clause for a message.
    pub reason: &'static str,
}

/// The tokens that may come next.
#[derive(Clone, Copy, PartialEq)]
enum ExpectedToken {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    CommaOrClose,
}

/// A scanner over a text that was already checked to be UTF-8.
pub(crate) struct JsonScanner<'a> {
    text: &'a [u8],
    at: usize,
    expected: ExpectedToken,
    depth: usize,
    /// True if the last text or key has an escape.
    has_escape: bool,
    /// One bit for each nesting level: 1 for an object, 0 for a list.
    objects: [u64; DEPTH.div_ceil(WORD_BITS)],
}

impl<'a> JsonScanner<'a> {
    /// Creates a scanner at the beginning of a text.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            expected: ExpectedToken::Value,
            depth: 0,
            has_escape: false,
            objects: [0; DEPTH.div_ceil(WORD_BITS)],
        }
    }

    /// Returns the next token, or `None` after the last one.
    ///
    /// # Errors
    /// Fails when the text is not JSON, or is JSON that PostgreSQL does not store.
    pub(crate) fn token(&mut self) -> Result<Option<JsonToken<'a>>, JsonError> {
        self.skip_blanks();
        if self.expected == ExpectedToken::CommaOrClose {
            if self.depth == 0 {
                return match self.at == self.text.len() {
                    true => Ok(None),
                    false => Err(self.error("something follows the value")),
                };
            }
            if self.peek() != Some(b',') {
                return self.close().map(Some);
            }
            self.at += 1;
            self.expected = if self.in_object() { ExpectedToken::Key } else { ExpectedToken::Value };
            self.skip_blanks();
        }
        match (self.expected, self.peek()) {
            (_, None) => Err(self.error(if self.text.is_empty() { "it is empty" } else { "it ends early" })),
            (ExpectedToken::ValueOrClose, Some(b']')) | (ExpectedToken::KeyOrClose, Some(b'}')) => {
                self.close().map(Some)
            }
            (ExpectedToken::Key | ExpectedToken::KeyOrClose, Some(b'"')) => self.key().map(Some),
            (ExpectedToken::Key | ExpectedToken::KeyOrClose, Some(_)) => {
                Err(self.error("a key in double quotes is missing"))
            }
            (_, Some(byte)) => self.value(byte).map(Some),
        }
    }

    /// Returns the byte offset up to which the text was read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Reports whether the last text or key has an escape.
    pub(crate) fn has_escape(&self) -> bool {
        self.has_escape
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError { at: self.at, reason: what }
    }

    // Inlined: this function is called for nearly every byte, and would be a call in a binary that is optimized for
    // size.
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.objects[level / WORD_BITS] >> (level % WORD_BITS) & 1 == 1
    }

    fn open(&mut self, token: JsonToken<'a>) -> Result<JsonToken<'a>, JsonError> {
        if self.depth == DEPTH {
            return Err(self.error("it is nested more than 1,000 levels deep"));
        }
        let (word, bit) = (self.depth / WORD_BITS, 1 << (self.depth % WORD_BITS));
        match token {
            JsonToken::OpenObject => self.objects[word] |= bit,
            _ => self.objects[word] &= !bit,
        }
        self.expected =
            if token == JsonToken::OpenObject { ExpectedToken::KeyOrClose } else { ExpectedToken::ValueOrClose };
        self.depth += 1;
        self.at += 1;
        Ok(token)
    }

    fn close(&mut self) -> Result<JsonToken<'a>, JsonError> {
        let (bracket, token, what) = match self.in_object() {
            true => (b'}', JsonToken::CloseObject, "a comma or } is missing"),
            false => (b']', JsonToken::CloseList, "a comma or ] is missing"),
        };
        if self.peek() != Some(bracket) {
            return Err(self.error(if self.peek().is_none() { "it ends early" } else { what }));
        }
        self.at += 1;
        self.depth -= 1;
        self.expected = ExpectedToken::CommaOrClose;
        Ok(token)
    }

    fn key(&mut self) -> Result<JsonToken<'a>, JsonError> {
        let key = self.text()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.error("a colon is missing"));
        }
        self.at += 1;
        self.expected = ExpectedToken::Value;
        Ok(JsonToken::Key(key))
    }

    fn value(&mut self, byte: u8) -> Result<JsonToken<'a>, JsonError> {
        let token = match byte {
            b'{' => return self.open(JsonToken::OpenObject),
            b'[' => return self.open(JsonToken::OpenList),
            b'"' => JsonToken::Text(self.text()?),
            b'-' | b'0'..=b'9' => JsonToken::Number(self.number()?),
            b'n' => self.word(b"null", JsonToken::Null)?,
            b't' => self.word(b"true", JsonToken::True)?,
            b'f' => self.word(b"false", JsonToken::False)?,
            b'\'' => return Err(self.error("single quotes are not JSON's")),
            _ => return Err(self.error("no value begins so")),
        };
        self.expected = ExpectedToken::CommaOrClose;
        Ok(token)
    }

    fn word(&mut self, word: &[u8], token: JsonToken<'a>) -> Result<JsonToken<'a>, JsonError> {
        let remaining = &self.text[self.at..];
        // `nullx` is one wrong word, not a value with something after it.
        if !remaining.starts_with(word) || remaining.get(word.len()).is_some_and(u8::is_ascii_alphanumeric) {
            return Err(self.error("no value begins so"));
        }
        self.at += word.len();
        Ok(token)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit is missing")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a [u8], JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.peek() {
            Some(byte) if byte.is_ascii_alphanumeric() => Err(self.error("a number goes on wrongly")),
            _ => Ok(&self.text[start..self.at]),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], JsonError> {
        let start = self.at + 1;
        self.at = start;
        self.has_escape = false;
        loop {
            self.at += plain(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.has_escape = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("a control character in a text is not escaped")),
                None => return Err(self.error("a text has no end")),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let code_unit = hexadecimal(&self.text[self.at + 2..]);
                match code_unit.ok_or_else(|| self.error("four hexadecimal digits are missing behind \\u"))? {
                    0 => return Err(self.error("PostgreSQL cannot store \\u0000")),
                    0xdc00..=0xdfff => return Err(self.error("half of a surrogate pair")),
                    0xd800..=0xdbff => {
                        let remaining = &self.text[self.at + 6..];
                        let low_surrogate = remaining.strip_prefix(b"\\u").and_then(hexadecimal);
                        if !low_surrogate.is_some_and(|low_surrogate| (0xdc00..=0xdfff).contains(&low_surrogate)) {
                            return Err(self.error("half of a surrogate pair"));
                        }
                        self.at += 12;
                    }
                    _ => self.at += 6,
                }
            }
            _ => return Err(self.error("no such escape")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<JsonToken<'_>>, JsonError> {
        let mut scanner = JsonScanner::new(text.as_bytes());
        let mut tokens = Vec::new();
        while let Some(token) = scanner.token()? {
            tokens.push(token);
        }
        Ok(tokens)
    }

    #[test]
    fn documents_are_read_token_by_token() {
        use JsonToken::*;
        assert_eq!(
            read(" {\"a\" : [1, -2.5e+3 ,\"x\\\"y\"],\"b\":{}, \"\":[]}\r\n"),
            Ok(vec![
                OpenObject,
                Key(b"a"),
                OpenList,
                Number(b"1"),
                Number(b"-2.5e+3"),
                Text(b"x\\\"y"),
                CloseList,
                Key(b"b"),
                OpenObject,
                CloseObject,
                Key(b""),
                OpenList,
                CloseList,
                CloseObject
            ])
        );
        for (text, token) in
            [("null", Null), ("true", True), (" false\t", False), ("0", Number(b"0")), ("\"\"", Text(b""))]
        {
            assert_eq!(read(text), Ok(vec![token]), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_broken_at_a_certain_byte() {
        for (text, at, reason) in [
            ("", 0, "it is empty"),
            ("  ", 2, "it ends early"),
            ("[", 1, "it ends early"),
            ("[1", 2, "it ends early"),
            ("[1,", 3, "it ends early"),
            ("{\"a\"", 4, "a colon is missing"),
            ("{\"a\":", 5, "it ends early"),
            ("[1,]", 3, "no value begins so"),
            ("[,1]", 1, "no value begins so"),
            ("[1 2]", 3, "a comma or ] is missing"),
            ("[1}", 2, "a comma or ] is missing"),
            ("{\"a\":1]", 6, "a comma or } is missing"),
            ("{\"a\":1,}", 7, "a key in double quotes is missing"),
            ("{a:1}", 1, "a key in double quotes is missing"),
            ("{1:1}", 1, "a key in double quotes is missing"),
            ("{\"a\" 1}", 5, "a colon is missing"),
            ("{}{}", 2, "something follows the value"),
            ("1 2", 2, "something follows the value"),
            ("]", 0, "no value begins so"),
            ("nul", 0, "no value begins so"),
            ("nullx", 0, "no value begins so"),
            ("True", 0, "no value begins so"),
            ("NaN", 0, "no value begins so"),
            ("-Infinity", 1, "a digit is missing"),
            ("'a'", 0, "single quotes are not JSON's"),
            ("01", 1, "a number goes on wrongly"),
            ("0x10", 1, "a number goes on wrongly"),
            ("1.", 2, "a digit is missing"),
            (".5", 0, "no value begins so"),
            ("+1", 0, "no value begins so"),
            ("1e", 2, "a digit is missing"),
            ("1e+", 3, "a digit is missing"),
            ("// c", 0, "no value begins so"),
            ("\u{feff}1", 0, "no value begins so"),
            ("\u{a0}1", 0, "no value begins so"),
            ("\"a", 2, "a text has no end"),
            ("\"a\nb\"", 2, "a control character in a text is not escaped"),
            ("\"\\x\"", 1, "no such escape"),
            ("\"\\", 1, "no such escape"),
            ("\"\\u12\"", 1, "four hexadecimal digits are missing behind \\u"),
            ("\"\\u+123\"", 1, "four hexadecimal digits are missing behind \\u"),
            ("\"\\u0000\"", 1, "PostgreSQL cannot store \\u0000"),
            ("\"\\ud83d\"", 1, "half of a surrogate pair"),
            ("\"\\ud83d\\u0041\"", 1, "half of a surrogate pair"),
            ("\"\\ude80\\ud83d\"", 1, "half of a surrogate pair"),
        ] {
            assert_eq!(read(text), Err(JsonError { at, reason }), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit_and_each_level_remembers_its_kind() {
        let mixed = "[{\"a\":".repeat(DEPTH / 2) + "1" + &"}]".repeat(DEPTH / 2);
        assert_eq!(read(&mixed).map(|tokens| tokens.len()), Ok(DEPTH * 2 + DEPTH / 2 + 1));
        let deep = "[".repeat(DEPTH + 1);
        assert_eq!(read(&deep).map_err(|broken| broken.at), Err(DEPTH));
    }
}
