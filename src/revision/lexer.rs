//! Cuts SQL text into tokens, each dialect by its own lexical rules.

use super::statements::Dialect;

impl Dialect {
    /// What a command of the database's own client begins with.
    pub(super) fn meta(self) -> u8 {
        match self {
            Dialect::Postgres => b'\\',
            Dialect::Sqlite => b'.',
        }
    }
}

/// SQLite takes it for white space wherever a token may begin (tokenize.c, `CC_BOM`), not only at the beginning.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One token of a script, as far as splitting cares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Name,
    /// A string or a number.
    Literal,
    /// Any other single byte; a dollar sign with what it numbers, as in `$1`.
    Symbol(u8),
    /// A construct, named here, that opens at the token's start and does not close.
    Unterminated(&'static str),
    End,
}

/// Cuts a script into tokens; white space and comments lie between them.
#[derive(Clone)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    pub(super) dialect: Dialect,
    /// Where the latest token begins.
    pub(crate) start: usize,
    /// Where the next one is looked for.
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

    /// The latest token.
    pub(crate) fn token(&self) -> &'t str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    /// Whether the latest token is this one, in upper or lower case.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.token().eq_ignore_ascii_case(token)
    }

    /// What is not read yet.
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

    /// Moves behind the next such byte; false if there is none.
    fn skip_past(&mut self, byte: u8) -> bool {
        self.skip_while(|other| other != byte);
        let found = self.peek().is_some();
        self.at += usize::from(found);
        found
    }

    /// Moves to the end of the line. For PostgreSQL a lone carriage return is one, too (scan.l).
    pub(super) fn skip_line(&mut self) {
        match self.dialect {
            Dialect::Postgres => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
            Dialect::Sqlite => self.skip_while(|byte| byte != b'\n'),
        }
    }

    /// Returns where the next line comment begins and moves behind it; `None` if there is none, or if something before
    /// it does not close.
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

    /// Moves behind white space, as the database's own lexer takes it.
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

    /// Moves `start` to the next token; false if it then is at a comment that does not close.
    pub(crate) fn skip_blanks(&mut self) -> bool {
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

    /// Moves behind a comment; false if it does not close. Comments nest in PostgreSQL (manual,
    /// section 4.1.5); in SQLite they do not, and may end with the text (SQLite, "SQL Comment Syntax").
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

    /// A number, with the letters that follow it directly: servers refuse these, or take them for a name.
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

    /// From behind an opening quote to behind the closing one; a doubled quote does not close.
    fn quoted(&mut self, quote: u8, what: &'static str, token: Token) -> Token {
        while self.skip_past(quote) {
            if self.peek() != Some(quote) {
                return token;
            }
            self.at += 1;
        }
        Token::Unterminated(what)
    }

    /// Like `quoted`, for a string in which a backslash escapes (manual, section 4.1.2.2).
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

    /// Whether the string goes on behind white space with a line end (manual, section 4.1.2.1),
    /// then with its escapes; moves behind the quote if so. Line comments count as white space there, others do not
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

    /// A dollar-quoted string (manual, section 4.1.2.4), or a dollar sign as in `$1`.
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

/// Returns whether a text ends within a block comment, which SQLite takes for closed there.
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
    use super::Dialect::{Postgres, Sqlite};
    use super::*;

    /// The tokens of a text, each with a letter for its kind; the last may be what does not close.
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
