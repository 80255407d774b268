//! Masks literals in SQL text, and in texts of servers and tools that quote SQL.
//!
//! A scanner that loses count of the quotes would show what should be masked. Where a text can be read in two ways,
//! everything from there on is masked.

use super::login::{MatchStrictness, login_answers};
use super::{HiddenSpan, render};
use crate::dialect::Dialect;
use crate::revision::lexer::{Lexer, Token};

/// The text that is printed instead of a literal.
const LITERAL_MASK: &str = "'***'";
/// The text that is printed instead of a comment.
const COMMENT_MASK: &str = "/***/";

/// Words, in lower case, which mark a text whose literals may be secret.
const SECRET_WORDS: [&str; 27] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "private key",
    "private_key",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "access-key",
    "bearer",
    "://",
    "connection",
    "dblink",
    "conninfo",
    "options",
    "user mapping",
    "crypt",
    "hmac",
    "host=",
    "hostaddr=",
    "dbname=",
    "u&'",
];

/// The form of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TextForm {
    /// SQL from its beginning; its end may be cut off.
    Statement,
    /// A message that may quote SQL, for example between quotation marks.
    Message,
}

/// Reports whether the literals of a text may be secret.
pub(super) fn mentions_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // A code can hide a word: E'\x70assword' contains "password".
    SECRET_WORDS.iter().any(|word| lower.contains(word)) || has_code(&lower)
}

/// Reports whether a text contains the code of a character, such as `\x70`.
pub(super) fn has_code(text: &str) -> bool {
    let is_code = |pair: &[u8]| pair[0] == b'\\' && matches!(pair[1] | 0x20, b'x' | b'u' | b'0'..=b'7');
    text.as_bytes().windows(2).any(is_code)
}

/// Returns a message of a server or a tool. The literals of the SQL that it quotes are masked if they may be secret.
pub fn mask_message(text: &str) -> String {
    let mut hidden = login_answers(text, MatchStrictness::Marked);
    if mentions_secret(text) {
        hidden.extend(literals(text, TextForm::Message));
    }
    render(text, hidden, text.len())
}

/// Returns the beginning of another session's statement with all literals masked, because its unknown rest may mark
/// them as secret. A comment at the end that names a migration is kept: our own sessions' statements begin with one.
pub fn mask_query(text: &str) -> String {
    let is_migration = |name: &str| name.ends_with(".sql") && !name.contains(char::is_whitespace);
    let (query, name) = match text.rfind("-- ") {
        Some(at) if is_migration(&text[at + "-- ".len()..]) => text.split_at(at),
        _ => (text, ""),
    };
    render(query, literals(query, TextForm::Message), query.len()) + &render(name, Vec::new(), name.len())
}

/// Returns the positions of the literals and comments of a text, and of other tokens that follow the word PASSWORD.
pub(super) fn literals(text: &str, form: TextForm) -> Vec<HiddenSpan> {
    match form {
        TextForm::Statement => MaskingScan::run(text).hidden,
        // A message quotes SQL between quotation marks: SQL statement "ALTER ROLE ...". No byte changes its position.
        TextForm::Message => MaskingScan::run(&text.replace('"', " ")).hidden,
    }
}

/// A scan of a text, token by token.
pub(super) struct MaskingScan<'t> {
    /// The whole text.
    text: &'t str,
    /// The lexer.
    lexer: Lexer<'t>,
    /// The previous token.
    previous_word: &'t str,
    /// The position of the previous token's end, in bytes.
    end: usize,
    /// True after the word PASSWORD, until another token than `=`, `:`, `(` or `>` follows.
    follows_password: bool,
    /// True if CREATE or ALTER was followed by ROLE, USER or GROUP in this statement.
    is_about_role: bool,
    /// The parts to hide that were found.
    pub(super) hidden: Vec<HiddenSpan>,
    /// The position of a literal or comment that has no end in the text; the text's length if the position is not
    /// certain.
    pub(super) open: Option<usize>,
}

impl<'t> MaskingScan<'t> {
    /// Scans a text to its end.
    pub(super) fn run(text: &'t str) -> MaskingScan<'t> {
        let mut scan = MaskingScan {
            text,
            lexer: Lexer::new(text, Dialect::Postgres),
            previous_word: "",
            end: 0,
            follows_password: false,
            is_about_role: false,
            hidden: Vec::new(),
            open: None,
        };
        while scan.step() {}
        scan
    }

    /// Reads one token, and returns true if there may be another one.
    fn step(&mut self) -> bool {
        let token = self.lexer.next();
        self.hide_comment();
        match token {
            Token::End => return false,
            Token::Unterminated(_) => {
                self.open = Some(self.lexer.start);
                self.hide(self.text.len());
                return false;
            }
            Token::Literal if self.is_ambiguous() => {
                self.open = Some(self.text.len());
                self.hide(self.text.len());
                return false;
            }
            _ if self.is_bare_password(token) => {
                let remaining = &self.text[self.lexer.start..];
                let length = remaining.find(|c: char| c.is_ascii_whitespace() || c == ';').unwrap_or(remaining.len());
                self.lexer.at = self.lexer.at.max(self.lexer.start + length);
                self.hide(self.lexer.at);
            }
            Token::Literal if self.follows_password || !self.is_number() => self.hide(self.lexer.at),
            Token::Name if self.follows_password => self.hide(self.lexer.at),
            _ => {}
        }
        self.update_state(token);
        true
    }

    /// Hides the text from the latest token to `end`.
    fn hide(&mut self, end: usize) {
        self.hidden.push(HiddenSpan { range: self.lexer.start..end, replacement: LITERAL_MASK });
    }

    /// Hides the comments between the previous and the latest token, if there are any.
    fn hide_comment(&mut self) {
        let between = &self.text[self.end..self.lexer.start];
        let comment = between.trim();
        if !comment.is_empty() {
            let start = self.end + between.len() - between.trim_start().len();
            self.hidden.push(HiddenSpan { range: start..start + comment.len(), replacement: COMMENT_MASK });
        }
    }

    /// Reports whether the latest token is a number.
    fn is_number(&self) -> bool {
        self.lexer.token().starts_with(|first: char| first.is_ascii_digit())
    }

    /// Reports whether the latest token may be the text between two strings instead of a string: its first quote may be
    /// an apostrophe within a word, or a quote after a backslash may end it, depending on the server's settings.
    fn is_ambiguous(&self) -> bool {
        let token = self.lexer.token();
        if !token.starts_with('\'') {
            return false;
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let is_prefix = ["b", "x", "n"].iter().any(|prefix| self.previous_word.eq_ignore_ascii_case(prefix));
        let within_word = self.end == self.lexer.start && self.previous_word.bytes().next_back().is_some_and(is_word);
        let before_word = self.text.as_bytes().get(self.lexer.at).is_some_and(|&byte| is_word(byte));
        (within_word && !is_prefix) || before_word || token.contains("\\'")
    }

    /// Reports whether the latest token begins a password that was not quoted by mistake.
    fn is_bare_password(&self, token: Token) -> bool {
        let may_begin_password = match token {
            Token::Word => !self.lexer.is("NULL"),
            Token::Literal => self.is_number(),
            Token::Symbol(byte) => !b";,=:>()".contains(&byte),
            _ => false,
        };
        self.follows_password && self.is_about_role && may_begin_password
    }

    /// Updates the state after a token.
    fn update_state(&mut self, token: Token) {
        let word = self.lexer.token();
        let is_one_of = |word: &str, words: &[&str]| words.iter().any(|it| it.eq_ignore_ascii_case(word));
        match token {
            Token::Symbol(b';') => (self.is_about_role, self.follows_password) = (false, false),
            Token::Symbol(b'=' | b':' | b'(' | b'>') => {}
            _ => {
                let names = ["PASSWORD", "PASSWD", "PWD"];
                let is_suffix = |name: &&str| {
                    let start = word.len().checked_sub(name.len());
                    start.and_then(|start| word.get(start..)).is_some_and(|suffix| is_one_of(suffix, &[name]))
                };
                self.follows_password = token == Token::Word && names.iter().any(is_suffix);
                self.is_about_role |=
                    is_one_of(self.previous_word, &["CREATE", "ALTER"]) && is_one_of(word, &["ROLE", "USER", "GROUP"]);
            }
        }
        (self.previous_word, self.end) = (word, self.lexer.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masks(form: TextForm, text: &str, expected: &str) {
        let hidden = if mentions_secret(text) { literals(text, form) } else { Vec::new() };
        assert_eq!(render(text, hidden, text.len()), expected);
    }

    #[test]
    fn statements_keep_their_words_and_lose_their_literals() {
        for (text, expected) in [
            ("SELECT 'a' FROM t", "SELECT 'a' FROM t"),
            ("CREATE ROLE x PASSWORD 'abc' LOGIN", "CREATE ROLE x PASSWORD '***' LOGIN"),
            ("ALTER ROLE x password\n E'abc", "ALTER ROLE x password\n '***'"),
            ("PASSWORD 'a''b' PASSWORD E'a\\'b\\'' x", "PASSWORD '***' PASSWORD '***' x"),
            ("PASSWORD $$a$$ PASSWORD $x$a$$ $x$ y $1", "PASSWORD '***' PASSWORD '***' y $1"),
            ("SELECT password FROM t WHERE a = 'b' OR n = 5", "SELECT password FROM t WHERE a = '***' OR n = 5"),
            ("PASSWORD U&'d\\0061t' UESCAPE '!' x", "PASSWORD U&'***' UESCAPE '***' x"),
            ("PASSWORD /*c 'old'*/ 'new' -- 'x'\nLOGIN", "PASSWORD /***/ '***' /***/\nLOGIN"),
            ("PASSWORD 'a'\n  'b' LOGIN", "PASSWORD '***'\n  '***' LOGIN"),
            ("PASSWORD E'a'\n  'b\\'c' LOGIN", "PASSWORD '***' LOGIN"),
            ("PASSWORD 12345 x 6", "PASSWORD '***' x 6"),
            ("SELECT password = \"abc\"", "SELECT password = '***'"),
            ("ALTER USER x PASSWORD s3cr!et' LOGIN", "ALTER USER x PASSWORD '***' LOGIN"),
            ("ALTER USER x PASSWORD 12-ab!c LOGIN", "ALTER USER x PASSWORD '***' LOGIN"),
            ("ALTER USER x PASSWORD $ab!c\u{a0}d; SELECT 1", "ALTER USER x PASSWORD '***'; SELECT 1"),
            ("ALTER USER x PASSWORD !#ab LOGIN", "ALTER USER x PASSWORD '***' LOGIN"),
            ("ALTER USER x PASSWORD NULL; PASSWORD x", "ALTER USER x PASSWORD NULL; PASSWORD x"),
            ("CREATE TABLE t (password text)", "CREATE TABLE t (password text)"),
            ("CREATE SUBSCRIPTION s CONNECTION 'host=h pass=x'", "CREATE SUBSCRIPTION s CONNECTION '***'"),
            ("SELECT dblink_exec('a', 'b')", "SELECT dblink_exec('***', '***')"),
            ("SELECT E'\\x68ost'", "SELECT '***'"),
            ("INSERT INTO t VALUES ('https://u:p@h')", "INSERT INTO t VALUES ('***')"),
            ("DO $$ BEGIN EXECUTE 'x PASSWORD ''y'''; END $$", "DO '***'"),
        ] {
            masks(TextForm::Statement, text, expected);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_masked_to_the_end() {
        for (text, expected) in [
            // With standard_conforming_strings off, the string continues after \'.
            ("PASSWORD 'a\\'secret' LOGIN", "PASSWORD '***'"),
            ("PASSWORD'a' LOGIN", "PASSWORD'***'"),
            ("it isn't a password 'secret' x", "it isn'***'"),
            ("password 'secret", "password '***'"),
            ("password $a$secret$b$", "password '***'"),
            ("password /* 'secret'", "password '***'"),
        ] {
            masks(TextForm::Statement, text, expected);
            masks(TextForm::Message, text, expected);
        }
    }

    #[test]
    fn messages_keep_their_names() {
        for (text, expected) in [
            ("password authentication failed for user \"app\"", "password authentication failed for user \"app\""),
            (
                "SQL statement \"ALTER ROLE x PASSWORD 'y'\"\nPL/pgSQL function f()",
                "SQL statement \"ALTER ROLE x PASSWORD '***'\"\nPL/pgSQL function f()",
            ),
            ("check DATABASE_PASSWORD (it's empty)", "check DATABASE_PASSWORD (it'***'"),
        ] {
            masks(TextForm::Message, text, expected);
        }
        assert_eq!(mask_query("UPDATE t SET a = 'b', c = 1"), "UPDATE t SET a = '***', c = 1");
        assert_eq!(mask_query("active: -- 0002_a.sql"), "active: -- 0002_a.sql");
        assert_eq!(mask_query("active: -- a secret.sql"), "active: /***/");
    }
}
