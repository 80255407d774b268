//! A tokenizer for SQLite's SQL, as far as definitions of tables and indexes need it
//! (<https://sqlite.org/draft/tokenreq.html>).

use crate::dialect::Dialect;
use crate::revision::lexer::Lexer;

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
    pub kind: WordKind,
    /// The word as it was written.
    pub text: &'t str,
    /// The offset of the word in the text, in bytes.
    pub at: usize,
}

impl Word<'_> {
    /// Returns the offset after the word, in bytes.
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Reports whether the word is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == WordKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Reports whether the word is this symbol.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == WordKind::Symbol && self.text == symbol
    }

    /// Returns the name if the word can be one. SQLite also accepts strings as names.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            WordKind::Word => Some(self.text),
            WordKind::Name(name) | WordKind::Text(name) => Some(name),
            _ => None,
        }
    }
}

const SYMBOLS: [&str; 11] = ["->>", "||", "<<", ">>", "<=", ">=", "<>", "!=", "==", "->", "("];

/// Splits a text into words, or returns `None` when a part of the text is not understood.
pub(super) fn tokenize(text: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += blanks(&text[at..]);
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else { return Some(words) };
        let (kind, length) = word(rest, first)?;
        words.push(Word { kind, text: &rest[..length], at });
        at += length;
    }
}

/// Returns the kind of the first word and its length in bytes.
fn word(rest: &str, first: char) -> Option<(WordKind, usize)> {
    let bytes = rest.as_bytes();
    let is_number = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    match first {
        'x' | 'X' if bytes.get(1) == Some(&b'\'') => {
            let (digits, length) = quoted(&rest[1..], '\'')?;
            Some((WordKind::Blob(digits), length + 1))
        }
        '\'' => quoted(rest, '\'').map(|(text, length)| (WordKind::Text(text), length)),
        '"' | '`' => quoted(rest, first).map(|(text, length)| (WordKind::Name(text), length)),
        '[' => {
            let length = rest.find(']')? + 1;
            Some((WordKind::Name(rest[1..length - 1].to_owned()), length))
        }
        '0'..='9' => Some((WordKind::Number, number(bytes))),
        '.' if is_number(bytes.get(1)) => Some((WordKind::Number, number(bytes))),
        _ if is_letter(first) => {
            let length = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
            Some((WordKind::Word, length))
        }
        _ => {
            let known = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            Some((WordKind::Symbol, known.map_or(first.len_utf8(), |symbol| symbol.len())))
        }
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Returns the length of a number in bytes: its digits, decimal point and exponent.
fn number(bytes: &[u8]) -> usize {
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

/// Returns the text between quotes, where a quote is doubled, and the length with the quotes in bytes.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return Some((text, at + 1));
        }
        text.push(letter);
    }
    None
}

/// Returns the length of white space and comments in bytes.
fn blanks(text: &str) -> usize {
    let mut lexer = Lexer::new(text, Dialect::Sqlite);
    lexer.skip_blanks();
    lexer.start
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
