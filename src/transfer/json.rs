//! Reads JSON token by token, as strictly as PostgreSQL does, without building anything.
//!
//! The text is sent as it stands, so this has to agree with the server's own parser (`src/common/jsonapi.c`): RFC 8259
//! with nothing added. What jsonb refuses beyond that (`\u0000`, halves of surrogate pairs) is refused here too.

/// As deep as lists and objects may be nested. The server's limit is its stack (`max_stack_depth`); this is
/// SQLite's own (JSON_MAX_DEPTH), and within what a server with the default of 2 MB reads.
pub const DEPTH: usize = 1000;
const WORD: usize = u64::BITS as usize;

/// A token; texts are the bytes between the quotes, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
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

/// Why a text is no JSON that PostgreSQL takes, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub at: usize,
    pub what: &'static str,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    CommaOrClose,
}

/// Reads UTF-8 text that has been checked already.
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    next: Next,
    depth: usize,
    /// A bit per level: an object, not a list.
    objects: [u64; DEPTH.div_ceil(WORD)],
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, next: Next::Value, depth: 0, objects: [0; DEPTH.div_ceil(WORD)] }
    }

    /// The next token; nothing behind the last one.
    ///
    /// # Errors
    /// What is no JSON, or none that PostgreSQL stores.
    pub fn token(&mut self) -> Result<Option<Token<'a>>, Broken> {
        self.skip_blanks();
        if self.next == Next::CommaOrClose {
            if self.depth == 0 {
                return match self.at == self.text.len() {
                    true => Ok(None),
                    false => Err(self.broken("something follows the value")),
                };
            }
            if self.peek() != Some(b',') {
                return self.close().map(Some);
            }
            self.at += 1;
            self.next = if self.in_object() { Next::Key } else { Next::Value };
            self.skip_blanks();
        }
        match (self.next, self.peek()) {
            (_, None) => Err(self.broken(if self.text.is_empty() { "it is empty" } else { "it ends early" })),
            (Next::ValueOrClose, Some(b']')) | (Next::KeyOrClose, Some(b'}')) => self.close().map(Some),
            (Next::Key | Next::KeyOrClose, Some(b'"')) => self.key().map(Some),
            (Next::Key | Next::KeyOrClose, Some(_)) => Err(self.broken("a key in double quotes is missing")),
            (_, Some(byte)) => self.value(byte).map(Some),
        }
    }

    /// How far it has read.
    pub fn at(&self) -> usize {
        self.at
    }

    fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.objects[level / WORD] >> (level % WORD) & 1 == 1
    }

    fn open(&mut self, token: Token<'a>) -> Result<Token<'a>, Broken> {
        if self.depth == DEPTH {
            return Err(self.broken("it is nested more than 1,000 levels deep"));
        }
        let (word, bit) = (self.depth / WORD, 1 << (self.depth % WORD));
        match token {
            Token::OpenObject => self.objects[word] |= bit,
            _ => self.objects[word] &= !bit,
        }
        self.next = if token == Token::OpenObject { Next::KeyOrClose } else { Next::ValueOrClose };
        self.depth += 1;
        self.at += 1;
        Ok(token)
    }

    fn close(&mut self) -> Result<Token<'a>, Broken> {
        let (bracket, token, what) = match self.in_object() {
            true => (b'}', Token::CloseObject, "a comma or } is missing"),
            false => (b']', Token::CloseList, "a comma or ] is missing"),
        };
        if self.peek() != Some(bracket) {
            return Err(self.broken(if self.peek().is_none() { "it ends early" } else { what }));
        }
        self.at += 1;
        self.depth -= 1;
        self.next = Next::CommaOrClose;
        Ok(token)
    }

    fn key(&mut self) -> Result<Token<'a>, Broken> {
        let key = self.text()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.broken("a colon is missing"));
        }
        self.at += 1;
        self.next = Next::Value;
        Ok(Token::Key(key))
    }

    fn value(&mut self, byte: u8) -> Result<Token<'a>, Broken> {
        let token = match byte {
            b'{' => return self.open(Token::OpenObject),
            b'[' => return self.open(Token::OpenList),
            b'"' => Token::Text(self.text()?),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            b'n' => self.word(b"null", Token::Null)?,
            b't' => self.word(b"true", Token::True)?,
            b'f' => self.word(b"false", Token::False)?,
            b'\'' => return Err(self.broken("single quotes are not JSON's")),
            _ => return Err(self.broken("no value begins so")),
        };
        self.next = Next::CommaOrClose;
        Ok(token)
    }

    fn word(&mut self, word: &[u8], token: Token<'a>) -> Result<Token<'a>, Broken> {
        let rest = &self.text[self.at..];
        // `nullx` is one wrong word, not a value and something behind it.
        if !rest.starts_with(word) || rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric) {
            return Err(self.broken("no value begins so"));
        }
        self.at += word.len();
        Ok(token)
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.broken("a digit is missing")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a [u8], Broken> {
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
            Some(byte) if byte.is_ascii_alphanumeric() => Err(self.broken("a number goes on wrongly")),
            _ => Ok(&self.text[start..self.at]),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Broken> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.broken("a text has no end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err(self.broken("a control character in a text is not escaped")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = hexadecimal(&self.text[self.at + 2..]);
                match unit.ok_or_else(|| self.broken("four hexadecimal digits are missing behind \\u"))? {
                    0 => return Err(self.broken("PostgreSQL cannot store \\u0000")),
                    0xdc00..=0xdfff => return Err(self.broken("half of a surrogate pair")),
                    0xd800..=0xdbff => {
                        let rest = &self.text[self.at + 6..];
                        let low = rest.strip_prefix(b"\\u").and_then(hexadecimal);
                        if !low.is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) {
                            return Err(self.broken("half of a surrogate pair"));
                        }
                        self.at += 12;
                    }
                    _ => self.at += 6,
                }
            }
            _ => return Err(self.broken("no such escape")),
        }
        Ok(())
    }
}

fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends the characters that the inside of a text stands for, once [`Scanner`] has passed it.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let (character, length) = match rest[at + 1] {
            b'u' => wide(&rest[at + 2..]),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(other), 2),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}

/// The character behind `\u`, and the length of the whole escape.
fn wide(digits: &[u8]) -> (char, usize) {
    let unit = hexadecimal(digits).unwrap_or_default();
    if let Some(character) = char::from_u32(unit) {
        return (character, 6);
    }
    let low = digits.get(6..).and_then(hexadecimal).unwrap_or_default();
    let code = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}
