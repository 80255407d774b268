//! Finds out whether a script has a statement that refuses transactions, for layouts whose files do not say so, and
//! whether it switches foreign keys of SQLite.

use std::io::Cursor;

use super::place::SourcePosition;
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

/// The needs of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptNeeds {
    /// The mode in which the script can run.
    pub(crate) mode: TransactionMode,
    /// True if the script has a statement that switches foreign keys of SQLite.
    pub(crate) switches_foreign_keys: bool,
    /// The position of the first statement that refuses transactions or switches foreign keys.
    pub(crate) refuses: Option<SourcePosition>,
    /// The position of the first other statement.
    pub(crate) accepts: Option<SourcePosition>,
}

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

    /// Returns the needs of the script.
    pub(crate) fn finish(self) -> ScriptNeeds {
        let mut needs = ScriptNeeds::default();
        let lower = self.text.to_ascii_lowercase();
        if self.text.len() > LARGEST || !WORDS.iter().any(|word| lower.contains(word)) {
            return needs;
        }
        let mut batches = Batches::new(Box::new(Cursor::new(self.text)), self.dialect, TransactionMode::NoTransaction);
        // A script that cannot be read to its end is refused when it is inspected.
        while let Ok(Some(batch)) = batches.next(BatchLimit::Bytes(64 * 1024)) {
            for at in 0..batch.starts.len() {
                let place = batch.place(batch.starts[at]);
                let first = if self.dialect == Dialect::Sqlite && switches_foreign_keys(batch.statement(at)) {
                    needs.switches_foreign_keys = true;
                    &mut needs.refuses
                } else if batch.classes[at].refuses_transactions() {
                    needs.mode = TransactionMode::NoTransaction;
                    &mut needs.refuses
                } else {
                    &mut needs.accepts
                };
                first.get_or_insert(place);
            }
        }
        needs
    }
}
