//! Cuts SQL text into tokens, for each dialect by the lexical rules of its database.

use memchr::memchr;

use crate::dialect::Dialect;
impl Dialect {
    /// Returns the first byte of a command of the database's own client.
    pub(super) fn meta(self) -> u8 {
        match self {
            Dialect::Postgres => b'\\',
            Dialect::Sqlite => b'.',
        }
    }
}

/// White space for SQLite wherever a token may begin (tokenize.c, `CC_BOM`), and not only at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One token of a script, in the detail that the search for the ends of statements needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Name,
    /// A string or a number.
    Literal,
    /// Any other single byte. The digits behind a dollar sign, as in `$1`, are part of the token.
    Symbol(u8),
    /// A construct, named by the text, that opens at the start of the token and does not close.
    Unterminated(&'static str),
    End,
}

/// A reader of the tokens of a script; white space and comments lie between them.
#[derive(Clone)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    pub(super) dialect: Dialect,
    /// The byte at which the latest token begins.
    pub(crate) start: usize,
    /// The byte at which the search for the next token begins.
    pub(crate) at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, dialect: Dialect) -> Self {
        Lexer { text, dialect, start: 0, at: 0 }
    }

    pub(crate) fn next(&mut self) -> Token {
        if !self.skip_blanks() {
            return Token::Unterminated("comment");
        }
        let Some(byte) = self.peek() else {
            return Token::End;
        };
        self.at += 1;
        match (byte, self.dialect) {
            (byte, _) if is_letter(byte) => self.word(),
            (b'0'..=b'9', _) => self.number(),
            (b'\'', _) => self.quoted(byte, "string", Token::Literal),
            (b'"', _) | (b'`', Dialect::Sqlite) => self.quoted(byte, "quoted identifier", Token::Name),
            (b'[', Dialect::Sqlite) => match self.skip_past(b']') {
                true => Token::Name,
                false => Token::Unterminated("quoted identifier"),
            },
            (b'$', Dialect::Postgres) => self.dollar(),
            _ => Token::Symbol(byte),
        }
    }

    /// Returns the text of the latest token.
    pub(crate) fn token(&self) -> &'t str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    /// Returns whether the latest token is this text, in upper or lower case.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.token().eq_ignore_ascii_case(token)
    }

    /// Returns the bytes that are not read yet.
    #[inline]
    fn rest(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    #[inline]
    fn skip_while(&mut self, belongs: impl Fn(u8) -> bool) {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while at < bytes.len() && belongs(bytes[at]) {
            at += 1;
        }
        self.at = at;
    }

    /// Moves behind the next such byte. Returns false if there is none.
    fn skip_past(&mut self, byte: u8) -> bool {
        let found = memchr(byte, &self.text.as_bytes()[self.at..]);
        self.at = found.map_or(self.text.len(), |behind| self.at + behind + 1);
        found.is_some()
    }

    /// Moves to the end of the line. For PostgreSQL, a lone carriage return ends a line as well (scan.l).
    pub(super) fn skip_line(&mut self) {
        match self.dialect {
            Dialect::Postgres => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
            Dialect::Sqlite => self.skip_while(|byte| byte != b'\n'),
        }
    }

    /// Moves behind the next line comment and returns where that comment begins. Returns `None` if there is none, or if
    /// a token or comment before it does not close.
    pub(super) fn next_line_comment(&mut self) -> Option<usize> {
        loop {
            self.skip_white_space();
            self.start = self.at;
            match self.rest() {
                [b'-', b'-', ..] => {
                    self.skip_line();
                    return Some(self.start);
                }
                [b'/', b'*', ..] if self.skip_comment() => {}
                [b'/', b'*', ..] => return None,
                _ if matches!(self.next(), Token::End | Token::Unterminated(_)) => return None,
                _ => {}
            }
        }
    }

    /// Moves behind white space, as the lexer of the database defines it.
    fn skip_white_space(&mut self) {
        let is_space = |byte| matches!(byte, b' ' | b'\t'..=b'\r');
        match self.dialect {
            // The vertical tab is white space since PostgreSQL 16 (scan.l). Older servers refuse a statement that has
            // one outside of quotes, however it is read.
            Dialect::Postgres => self.skip_while(is_space),
            // White space may have vertical tabs in it, but does not begin with one (tokenize.c, CC_SPACE).
            Dialect::Sqlite => loop {
                match self.rest() {
                    [b' ' | b'\t' | b'\n' | b'\x0c' | b'\r', ..] => self.skip_while(is_space),
                    rest if rest.starts_with(BYTE_ORDER_MARK) => self.at += BYTE_ORDER_MARK.len(),
                    _ => return,
                }
            },
        }
    }

    /// Moves `start` to the next token. Returns false if `start` is then at a comment that does not close.
    fn skip_blanks(&mut self) -> bool {
        loop {
            self.skip_white_space();
            self.start = self.at;
            match self.rest() {
                [b'-', b'-', ..] => self.skip_line(),
                [b'/', b'*', ..] if self.skip_comment() => {}
                [b'/', b'*', ..] => return false,
                _ => return true,
            }
        }
    }

    /// Moves behind a comment. Returns false if it does not close. In PostgreSQL, comments nest (manual, section
    /// 4.1.5); in SQLite they do not, and the end of the text closes them (SQLite, "SQL Comment Syntax").
    fn skip_comment(&mut self) -> bool {
        let mut depth = 0;
        loop {
            match self.rest() {
                [b'/', b'*', ..] if depth == 0 || self.dialect == Dialect::Postgres => depth += 1,
                [b'*', b'/', ..] => depth -= 1,
                [] => return self.dialect == Dialect::Sqlite,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return true;
            }
        }
    }

    /// Reads a number with the letters that follow directly: servers refuse these, or read them as a name.
    fn number(&mut self) -> Token {
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.peek().is_some_and(is_letter) {
            self.skip_while(is_word);
        }
        Token::Literal
    }

    fn word(&mut self) -> Token {
        self.skip_while(is_word);
        if self.dialect == Dialect::Postgres && self.peek() == Some(b'\'') && self.is("E") {
            self.at += 1;
            return self.escaped();
        }
        Token::Word
    }

    /// Reads from behind an opening quote to behind the closing one. A doubled quote does not close.
    fn quoted(&mut self, quote: u8, what: &'static str, token: Token) -> Token {
        while self.skip_past(quote) {
            if self.peek() != Some(quote) {
                return token;
            }
            self.at += 1;
        }
        Token::Unterminated(what)
    }

    /// Reads as `quoted` does, for a string in which a backslash escapes the next byte (manual, section 4.1.2.2).
    fn escaped(&mut self) -> Token {
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' if self.peek().is_some() => self.at += 1,
                b'\'' if self.peek() == Some(b'\'') => self.at += 1,
                b'\'' if !self.continues() => return Token::Literal,
                _ => {}
            }
        }
        Token::Unterminated("string")
    }

    /// Returns whether the string continues, with its escapes, behind white space that has a line end (manual, section
    /// 4.1.2.1), and moves behind the next quote if so. Line comments count as white space there, block comments do not
    /// (scan.l, `quotecontinue`).
    fn continues(&mut self) -> bool {
        let mut ahead = self.clone();
        ahead.skip_white_space();
        while ahead.rest().starts_with(b"--") {
            ahead.skip_line();
            ahead.skip_white_space();
        }
        let mut between = self.rest()[..ahead.at - self.at].iter();
        let line_ends = between.any(|byte| matches!(byte, b'\n' | b'\r'));
        let continues = line_ends && ahead.peek() == Some(b'\'');
        if continues {
            self.at = ahead.at + 1;
        }
        continues
    }

    /// Reads a dollar-quoted string (manual, section 4.1.2.4), or a dollar sign as in `$1`.
    fn dollar(&mut self) -> Token {
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_while(|byte| byte.is_ascii_digit());
            return Token::Symbol(b'$');
        }
        self.skip_while(|byte| byte != b'$' && is_word(byte));
        if self.peek() != Some(b'$') {
            self.at = self.start + 1;
            return Token::Symbol(b'$');
        }
        self.at += 1;
        let tag = self.token().as_bytes();
        while self.skip_past(b'$') {
            if self.rest().starts_with(&tag[1..]) {
                self.at += tag.len() - 1;
                return Token::Literal;
            }
        }
        Token::Unterminated("dollar-quoted string")
    }
}

/// Returns whether a text ends inside of a block comment, which SQLite closes at the end of the text.
pub(crate) fn ends_in_comment(text: &str, dialect: Dialect) -> bool {
    if dialect != Dialect::Sqlite || !text.contains("/*") {
        return false;
    }
    let text = [text, "\n;"].concat();
    let mut lexer = Lexer::new(&text, dialect);
    let mut last = 0;
    while !matches!(lexer.next(), Token::End | Token::Unterminated(_)) {
        last = lexer.at;
    }
    last < text.len()
}

fn is_letter(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..)
}

fn is_word(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect::{Postgres, Sqlite};

    /// Returns the tokens of a text, each with a letter for its kind. The last one may be a construct that does not
    /// close.
    fn tokens(text: &str, dialect: Dialect) -> String {
        let mut lexer = Lexer::new(text, dialect);
        let mut found = Vec::new();
        loop {
            let kind = match lexer.next() {
                Token::Word => "w",
                Token::Name => "n",
                Token::Literal => "l",
                Token::Symbol(_) => "s",
                Token::Unterminated(what) => {
                    found.push(format!("! {what} at {}", lexer.start));
                    return found.join(" ");
                }
                Token::End => return found.join(" "),
            };
            found.push(format!("{kind}:{}", lexer.token()));
        }
    }

    #[test]
    fn cuts_text_into_tokens() {
        for (dialect, text, expected) in [
            (Postgres, " \t\r\n\x0b\x0c", ""),
            (Postgres, "\x0ba\u{feff}b \u{feff}c \u{a0}", "w:a\u{feff}b w:\u{feff}c w:\u{a0}"),
            (Sqlite, "a\x0bb \x0b\x0bc\u{feff}\x0b", "w:a s:\x0b w:b w:c\u{feff} s:\x0b"),
            (Sqlite, "\u{feff}a 'b'\u{feff}c \u{feff} \u{feff}", "w:a l:'b' w:c"),
            (Sqlite, "/**/\x0b-- a\n\x0bb", "s:\x0b w:b"),
            (Postgres, "select 1a, é_$2", "w:select l:1a s:, w:é_$2"),
            (Postgres, "'a''b' e'\\'' E'\\\\' U&'\\'", "l:'a''b' l:e'\\'' l:E'\\\\' w:U s:& l:'\\'"),
            (Postgres, "E'a' 'b\\' 'c'", "l:E'a' l:'b\\' l:'c'"),
            (Postgres, "E'a'\n'b\\''", "l:E'a'\n'b\\''"),
            (Postgres, "E'a' -- b\n --c\n 'd\\''", "l:E'a' -- b\n --c\n 'd\\''"),
            (Postgres, "E'a' /* b */\n 'c\\' d", "l:E'a' l:'c\\' w:d"),
            (Postgres, "1a$b$ 2$b$;$b$ 3é_", "l:1a$b$ l:2 l:$b$;$b$ l:3é_"),
            (Postgres, "$e'\\'' $1e'\\''", "s:$ l:e'\\'' s:$1 l:e'\\''"),
            (Postgres, "\"a\"\"b\" `c` [d]", "n:\"a\"\"b\" s:` w:c s:` s:[ w:d s:]"),
            (Postgres, "$$a$$ $x$ $$ $x$ $1 $", "l:$$a$$ l:$x$ $$ $x$ s:$1 s:$"),
            (Postgres, "a--b\rc/*d/*e*/*/f", "w:a w:c w:f"),
            (Sqlite, "a--b\rc\nd/*e/*f*/g/*", "w:a w:d w:g"),
            (Sqlite, "E'\\' $a [b;'] `c``d` \"e\"", "w:E l:'\\' s:$ w:a n:[b;'] n:`c``d` n:\"e\""),
            (Postgres, "a 'b", "w:a ! string at 2"),
            (Postgres, "E'\\'", "! string at 0"),
            (Postgres, "a\"", "w:a ! quoted identifier at 1"),
            (Postgres, "$a$ $$", "! dollar-quoted string at 0"),
            (Postgres, "a /*/**/", "w:a ! comment at 2"),
            (Sqlite, "[a", "! quoted identifier at 0"),
        ] {
            assert_eq!(tokens(text, dialect), expected, "{dialect:?} {text}");
        }
    }

    #[test]
    fn knows_the_clients_commands() {
        let is_meta = |text, dialect: Dialect| Lexer::new(text, dialect).next() == Token::Symbol(dialect.meta());
        assert!(is_meta("\\connect a", Postgres) && is_meta(" .mode csv", Sqlite));
        assert!(!is_meta(".mode csv", Postgres) && !is_meta("\\connect a", Sqlite));
    }
}
