//! Finds out whether a script has a statement that refuses transactions, for layouts whose files do not say so.

use std::io::Cursor;

use super::script_problem::switches_foreign_keys;
use super::{BatchLimit, Batches, TransactionMode};
use crate::dialect::Dialect;

/// The size of the largest script that is examined, in bytes. A larger one runs in a transaction.
const LARGEST: usize = 1024 * 1024;

/// Words of which each statement that refuses transactions has one.
const WORDS: [&str; 11] = [
    "concurrently",
    "vacuum",
    "alter",
    "database",
    "subscription",
    "tablespace",
    "cluster",
    "reindex",
    "discard",
    "pragma",
    "attach",
];

/// The text of a script, which is passed part by part.
pub(crate) struct NeededMode {
    dialect: Dialect,
    text: String,
}

impl NeededMode {
    /// Creates the mode of an empty script.
    pub(crate) fn new(dialect: Dialect) -> NeededMode {
        NeededMode { dialect, text: String::new() }
    }

    /// Reads the next part of the script.
    pub(crate) fn read(&mut self, piece: &str) {
        if self.text.len() <= LARGEST {
            self.text.push_str(piece);
        }
    }

    /// Returns the mode in which the script can run.
    pub(crate) fn finish(self) -> TransactionMode {
        let lower = self.text.to_ascii_lowercase();
        if self.text.len() > LARGEST || !WORDS.iter().any(|word| lower.contains(word)) {
            return TransactionMode::Transaction;
        }
        let mut batches = Batches::new(Box::new(Cursor::new(self.text)), self.dialect, TransactionMode::NoTransaction);
        let mut refuses = false;
        // A script that cannot be read to its end is refused when it is inspected.
        while let Ok(Some(batch)) = batches.next(BatchLimit::Bytes(64 * 1024)) {
            refuses |= (0..batch.starts.len())
                .any(|at| batch.classes[at].refuses_transactions() && !switches_foreign_keys(batch.statement(at)));
        }
        if refuses { TransactionMode::NoTransaction } else { TransactionMode::Transaction }
    }
}
