//! Reads the words of a statement.

use super::lexer::{Lexer, Token};

/// A reader of the words of a statement: keywords and unquoted names, and `"` for each name in quotes. Literals and
/// symbols between them are left out.
pub(super) struct Keywords<'t>(Lexer<'t>);

impl<'t> Keywords<'t> {
    /// Begins behind the latest token.
    pub(crate) fn after(lexer: &Lexer<'t>) -> Keywords<'t> {
        Keywords(lexer.clone())
    }

    /// Returns the next word; an empty text at the end.
    pub(crate) fn next(&mut self) -> &'t str {
        loop {
            match self.0.next() {
                Token::Word => return self.0.token(),
                Token::Name => return "\"",
                Token::Unterminated(_) | Token::End => return "",
                Token::Literal | Token::Symbol(_) => {}
            }
        }
    }

    /// Returns whether the next word is this one, in upper or lower case.
    pub(crate) fn next_is(&mut self, word: &str) -> bool {
        self.next().eq_ignore_ascii_case(word)
    }

    /// Returns the next few words.
    pub(crate) fn collect(mut self) -> Vec<&'t str> {
        const ENOUGH: usize = 16;
        let mut words = Vec::with_capacity(ENOUGH);
        while words.len() < ENOUGH {
            match self.next() {
                "" => break,
                word => words.push(word),
            }
        }
        words
    }
}

/// Returns whether the two words of a phrase follow each other somewhere.
pub(super) fn has_phrase(words: &[&str], phrase: [&str; 2]) -> bool {
    words.windows(2).any(|pair| pair.iter().zip(phrase).all(|(word, other)| word.eq_ignore_ascii_case(other)))
}

/// Returns the name of a pragma, without its schema, and the token behind it; `lexer` is behind the verb.
pub(super) fn pragma(mut lexer: Lexer<'_>) -> (&str, Token) {
    lexer.next();
    let mut name = lexer.token();
    let mut token = lexer.next();
    if token == Token::Symbol(b'.') {
        lexer.next();
        name = lexer.token();
        token = lexer.next();
    }
    (name, token)
}
