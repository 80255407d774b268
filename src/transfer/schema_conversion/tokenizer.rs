//! The words of SQLite's SQL with their values, as far as definitions of tables and indexes need them
//! (<https://sqlite.org/draft/tokenreq.html>). [`Lexer`] finds the words.

use crate::dialect::Dialect;
use crate::revision::lexer::{Lexer, Token};

/// The kind of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes; the value is without them.
    Name(String),
    /// A string; the value is without its quotes.
    Text(String),
    Number,
    /// A blob such as `x'00ff'`; the value is its digits.
    Blob(String),
    Symbol,
}

/// A word with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'t> {
    /// The kind of the word.
    pub(crate) kind: WordKind,
    /// The word as it was written.
    pub(crate) text: &'t str,
    /// The offset of the word in the text, in bytes.
    pub(crate) at: usize,
}

impl Word<'_> {
    /// Returns the offset after the word, in bytes.
    pub(crate) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Reports whether the word is this keyword.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == WordKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Reports whether the word is this symbol.
    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == WordKind::Symbol && self.text == symbol
    }

    /// Returns the name if the word can be one. SQLite also accepts strings as names.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            WordKind::Word => Some(self.text),
            WordKind::Name(name) | WordKind::Text(name) => Some(name),
            _ => None,
        }
    }
}

/// The operators of several characters, the longer ones first.
const OPERATORS: [&str; 10] = ["->>", "||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "->"];

/// Splits a text into words, or returns `None` when a part of the text is not understood.
pub(super) fn tokenize(text: &str) -> Option<Vec<Word<'_>>> {
    let mut lexer = Lexer::new(text, Dialect::Sqlite);
    let mut words = Vec::new();
    loop {
        let token = lexer.next();
        let next_byte = text.as_bytes().get(lexer.at);
        let kind = match token {
            Token::End => return Some(words),
            Token::Unterminated(_) => return None,
            Token::Name => WordKind::Name(unquoted(lexer.token())),
            Token::Word if lexer.is("x") && next_byte == Some(&b'\'') => blob(&mut lexer)?,
            Token::Word => WordKind::Word,
            Token::Literal if lexer.token().starts_with('\'') => WordKind::Text(unquoted(lexer.token())),
            Token::Symbol(byte) if byte != b'.' || !next_byte.is_some_and(u8::is_ascii_digit) => {
                let remaining = &text[lexer.start..];
                let operator = OPERATORS.iter().find(|operator| remaining.starts_with(**operator));
                lexer.at = lexer.start + operator.map_or(1, |operator| operator.len());
                WordKind::Symbol
            }
            // The lexer reads a number only as far as the end of a statement depends on it.
            Token::Literal | Token::Symbol(_) => {
                lexer.at = lexer.start + number_length(&text.as_bytes()[lexer.start..]);
                WordKind::Number
            }
        };
        words.push(Word { kind, text: lexer.token(), at: lexer.start });
    }
}

/// Reads the string after the `x` of a blob.
fn blob(lexer: &mut Lexer<'_>) -> Option<WordKind> {
    let start = lexer.start;
    let is_closed = lexer.next() == Token::Literal;
    let digits = is_closed.then(|| unquoted(lexer.token()))?;
    lexer.start = start;
    Some(WordKind::Blob(digits))
}

/// Returns the text between quotes or brackets; a quote in the text is doubled.
fn unquoted(token: &str) -> String {
    let quote = &token[..1];
    let content = &token[1..token.len() - 1];
    if quote == "[" { content.to_owned() } else { content.replace(&quote.repeat(2), quote) }
}

/// Returns the length of a number in bytes: its digits, decimal point and exponent.
fn number_length(bytes: &[u8]) -> usize {
    if bytes.len() > 2 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x') {
        return 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at += 1 + digits(at + 1);
    }
    if bytes.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits((at + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_cut_into_words() {
        let kinds = |text| -> Option<String> {
            let words = tokenize(text)?;
            let shown = words.iter().map(|word| match &word.kind {
                WordKind::Word => format!("w:{}", word.text),
                WordKind::Name(name) => format!("n:{name}"),
                WordKind::Text(text) => format!("t:{text}"),
                WordKind::Number => format!("d:{}", word.text),
                WordKind::Blob(digits) => format!("x:{digits}"),
                WordKind::Symbol => format!("s:{}", word.text),
            });
            Some(shown.collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("a_1 \"b\"\"c\" [d e] `f``g` 'it''s'", "w:a_1 n:b\"c n:d e n:f`g t:it's"),
            ("1 1.5 .5 1e-3 0xFF 5e x'0aFF'", "d:1 d:1.5 d:.5 d:1e-3 d:0xFF d:5 w:e x:0aFF"),
            ("a<=b||c!=-1 -- d\n/* e\n*/ f", "w:a s:<= w:b s:|| w:c s:!= s:- d:1 w:f"),
            ("größe", "w:größe"),
            ("a \x0b\u{feff}b /*/ c */ d /* e", "w:a w:b w:d"),
        ] {
            assert_eq!(kinds(text).as_deref(), Some(expected), "{text}");
        }
        for open in ["'a", "\"a", "[a"] {
            assert_eq!(kinds(open), None, "{open}");
        }
    }
}
