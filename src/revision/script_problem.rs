//! The reasons why statements of a script cannot run where they are, and the remedies.

use super::Policy;
use super::backslash::EscapeReason;
use super::keywords::pragma;
use super::lexer::Lexer;
use crate::dialect::Dialect;

/// The reason why a statement cannot run where its file has it. Problems are found before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptProblem {
    /// The statement begins or ends a transaction, which the run does itself.
    TransactionControl,
    /// The statement needs a transaction, and the script has none.
    Savepoint,
    /// The statement refuses to run in a transaction.
    NeedsNoTransaction,
    /// The statement is `COPY ... FROM STDIN` or `TO STDOUT`, whose data goes through the client.
    CopyFromStdin,
    /// The line is a command of psql or of the sqlite3 shell.
    MetaCommand,
    /// A string literal has a backslash that may escape what follows it.
    Backslash(EscapeReason),
    /// The statement makes the server read what follows in another encoding.
    ClientEncoding,
    /// The value of a variable begins or ends a statement.
    VariableDividesStatement,
}

/// The mode in which the file runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionMode {
    /// All statements and the history row in one transaction.
    #[default]
    Transaction,
    /// Statement by statement (`-- no-transaction`).
    NoTransaction,
}

impl ScriptProblem {
    /// Returns a sentence for the log that describes the problem of a statement and its remedy.
    pub(crate) fn advice(self, dialect: Dialect, statement: &str, policy: &Policy) -> String {
        let advice = match (self, dialect) {
            (ScriptProblem::TransactionControl, _) => {
                "the runner makes the transaction itself: remove BEGIN, COMMIT and ROLLBACK"
            }
            (ScriptProblem::Savepoint, _) => {
                "SAVEPOINT needs a transaction and the file has none: remove it, or the line `-- no-transaction`"
            }
            (ScriptProblem::NeedsNoTransaction, Dialect::Sqlite) if switches_foreign_keys(statement) => {
                "remove it: foreign keys are switched off while a migration runs and are checked before \
                 it commits"
            }
            (ScriptProblem::NeedsNoTransaction, _) => {
                return format!("this statement cannot run inside a transaction: {}", policy.without_transaction);
            }
            (ScriptProblem::CopyFromStdin, _) => {
                "COPY data blocks cannot be run: use INSERT statements (pg_dump --inserts)"
            }
            (ScriptProblem::MetaCommand, Dialect::Postgres) => {
                "it is a command of psql, not SQL: remove the line (pg_dump's \\restrict and \\unrestrict \
                 lines may be removed too)"
            }
            (ScriptProblem::MetaCommand, Dialect::Sqlite) => {
                "it is a command of the sqlite3 shell, not SQL: remove the line"
            }
            (ScriptProblem::Backslash(reason), _) => return reason.advice(),
            (ScriptProblem::VariableDividesStatement, _) => {
                "the value of a variable here or below begins or ends a statement: give it a value that does not, or \
                 write that statement into the file"
            }
            (ScriptProblem::ClientEncoding, _) => {
                "files are sent as UTF-8, and this statement makes the server read what follows in another \
                 encoding: remove it"
            }
        };
        advice.to_owned()
    }
}

/// Returns whether a statement is SQLite's pragma that switches foreign keys.
pub(super) fn switches_foreign_keys(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Sqlite);
    lexer.next();
    lexer.is("PRAGMA") && pragma(lexer).0.eq_ignore_ascii_case("foreign_keys")
}

#[cfg(test)]
mod tests {
    use super::Dialect::{Postgres, Sqlite};
    use super::*;
    use crate::layout::NATIVE;

    #[test]
    fn advises_in_a_sentence() {
        use ScriptProblem::{CopyFromStdin, MetaCommand, NeedsNoTransaction, TransactionControl};
        for (objection, dialect, statement, part) in [
            (TransactionControl, Postgres, "begin;", "remove BEGIN, COMMIT and ROLLBACK"),
            (NeedsNoTransaction, Postgres, "vacuum;", "`-- no-transaction` at the top of the file"),
            (NeedsNoTransaction, Postgres, "pragma foreign_keys = off", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "pragma journal_mode = wal;", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "vacuum foreign_keys", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "pragma foreign_keys = off;", "remove it: foreign keys"),
            (NeedsNoTransaction, Sqlite, "-- a\nPragma /* b */ Main.Foreign_Keys(0)", "remove it: foreign keys"),
            (CopyFromStdin, Postgres, "copy t from stdin;", "pg_dump --inserts"),
            (MetaCommand, Postgres, "\\connect a", "psql, not SQL: remove the line (pg_dump's \\restrict and"),
            (MetaCommand, Sqlite, ".mode csv", "sqlite3 shell, not SQL: remove the line"),
        ] {
            let advice = objection.advice(dialect, statement, NATIVE.policy());
            assert!(advice.contains(part) && !advice.contains("  "), "{statement}: {advice}");
        }
    }
}
