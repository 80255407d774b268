//! Keeps a rehearsal on a copy of the database away from other files: its writes there would stay, and the real run
//! would repeat them.

use super::Sqlite;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::revision::lexer::{Lexer, Token};

impl Sqlite {
    /// Notes that this file is a copy on which a plan is rehearsed.
    pub(crate) fn begin_rehearsal(&mut self) {
        self.is_rehearsal = true;
    }

    /// Refuses a statement of a rehearsal that reaches another file.
    ///
    /// # Errors
    /// The statement attaches a file or writes a copy of the database.
    pub(super) fn keep_within(&self, statement: &str) -> Result<(), DatabaseError> {
        if !self.is_rehearsal || !leads_to_another_file(statement) {
            return Ok(());
        }
        let message = "this cannot be rehearsed, run it without a rehearsal: it reaches another file";
        Err(DatabaseError::new(DatabaseErrorKind::Statement, message))
    }
}

/// Reports whether a statement attaches a file, or writes a copy of the database to one.
fn leads_to_another_file(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Sqlite);
    lexer.next();
    if lexer.is("ATTACH") {
        lexer.next();
        if lexer.is("DATABASE") {
            lexer.next();
        }
        // These two names are temporary databases, which end with the connection.
        return !matches!(lexer.token(), "''" | "':memory:'");
    }
    if !lexer.is("VACUUM") {
        return false;
    }
    loop {
        match lexer.next() {
            Token::End | Token::Unterminated(_) => return false,
            Token::Word if lexer.is("INTO") => return true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_lead_to_another_file_are_known() {
        for (statement, expected) in [
            ("attach 'other.db' as o", true),
            ("/* c */ ATTACH DATABASE \"other.db\" AS o;", true),
            ("attach 'file::memory:?cache=shared' as o", true),
            ("attach 'a' || 'b' as o", true),
            ("attach ':memory:' as o", false),
            ("attach database '' as o", false),
            ("vacuum into 'copy.db'", true),
            ("VACUUM main INTO 'copy.db';", true),
            ("vacuum", false),
            ("insert into attach values ('vacuum into')", false),
        ] {
            assert_eq!(leads_to_another_file(statement), expected, "{statement}");
        }
    }
}
