//! The journal: a table beside the history that records how far scripts without a transaction have come.
//!
//! The journal is Lockkeeper's own in every layout, so that a history has the columns of its layout and nothing else. It
//! has a row for each script that has begun and is not done. The row is written and removed in the transaction that
//! writes the history, and is of no meaning without the row of the history that refers to it.
//!
//! It also has a row for each repeatable script: the fingerprint of the text that was applied last. No row of the history
//! refers to it, so that a release that knows no repeatable scripts does not see it.

use super::plan::StatementOutcome;
use super::{Direction, Fingerprint, Version};
use crate::dialect::Dialect;
use crate::sql::{identifier, is_one_of, literal, operator, sqlite_literal};

/// The columns that a query of a history joins as `j`, in the order in which [`JournalEntry::decode`] reads them.
pub(crate) const JOINED_COLUMNS: [&str; 4] = ["j.direction", "j.statements_done", "j.statement_begun", "j.fingerprint"];

/// Returns the name of the journal of a history table. Both names are without quotes.
pub(crate) fn name(dialect: Dialect, history: &str) -> String {
    const SUFFIX: &str = "_journal";
    let longest = match dialect {
        // PostgreSQL cuts names after 63 bytes (manual, 4.1.1), which may leave nothing but the name of the history.
        Dialect::Postgres => 63 - SUFFIX.len(),
        Dialect::Sqlite => usize::MAX,
    };
    let end = (0..=history.len().min(longest)).rev().find(|&end| history.is_char_boundary(end)).unwrap_or(0);
    format!("{}{SUFFIX}", &history[..end])
}

/// Returns the name of the journal of a history table with quotes, and with the schema if there is one.
pub(crate) fn quoted_name(dialect: Dialect, schema: Option<&str>, history: &str) -> String {
    let table = identifier(&name(dialect, history));
    match schema {
        Some(schema) => format!("{}.{table}", identifier(schema)),
        None => table,
    }
}

/// The part of a script that is recorded as executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordedProgress {
    /// The whole script.
    Whole {
        /// The number of its statements.
        statements: usize,
    },
    /// The first statements.
    Part {
        /// The number of statements that were executed.
        done: usize,
        /// The number of statements in the script.
        total: usize,
    },
    /// Like `Part`, and the next statement begins now. If the run ends before it does, a rerun must not just repeat it.
    Begun {
        /// The number of statements that were executed.
        done: usize,
        /// The number of statements in the script.
        total: usize,
    },
}

/// A journal that statements write to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal<'a> {
    /// The SQL in which its statements are written.
    pub(crate) dialect: Dialect,
    /// The name of the table, quoted and qualified.
    pub(crate) table: &'a str,
}

/// The row of a script that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    /// The direction of the script.
    pub(crate) direction: Direction,
    /// The number of statements that were executed.
    pub(crate) done: usize,
    /// The outcome of the statement behind them.
    pub(crate) outcome: StatementOutcome,
    /// The fingerprint of the text of the statements that were executed; `None` if it cannot be read.
    pub(crate) executed: Option<Fingerprint>,
}

impl JournalEntry {
    /// Reads the values of [`JOINED_COLUMNS`]. Returns `None` if the journal has no row, or one that Lockkeeper does
    /// not write.
    pub(crate) fn decode(columns: &[Option<&str>]) -> Option<JournalEntry> {
        let &[Some(direction), Some(done), Some(begun), Some(executed)] = columns else {
            return None;
        };
        Some(JournalEntry {
            direction: match direction {
                "up" => Direction::Up,
                "down" => Direction::Down,
                _ => return None,
            },
            done: done.parse().ok()?,
            outcome: match begun {
                "t" | "1" => StatementOutcome::Open,
                "f" | "0" => StatementOutcome::Known,
                _ => return None,
            },
            executed: Fingerprint::parse(executed),
        })
    }
}

impl Journal<'_> {
    /// Returns the statement that creates the table if it does not exist. `catalog_before` is the state of the catalog
    /// before a statement that is recorded as begun; SQLite has no such statements.
    pub(crate) fn create(&self) -> String {
        let (text, integer, boolean, more) = match self.dialect {
            Dialect::Postgres => ("pg_catalog.text", "bigint", "boolean", ",\n    catalog_before pg_catalog.text"),
            Dialect::Sqlite => ("text", "INTEGER", "INTEGER", ""),
        };
        let directions = ["'up'", "'down'"].map(str::to_owned);
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    revision {text} NOT NULL PRIMARY KEY,
    direction {text} NOT NULL CHECK ({direction}),
    statements_done {integer} NOT NULL,
    statements_total {integer} NOT NULL,
    statement_begun {boolean} NOT NULL,
    fingerprint {text} NOT NULL{more}
);\n",
            table = self.table,
            direction = is_one_of(self.dialect, "direction", &directions),
        )
    }

    /// Returns the statement that records the progress of a script, or that removes its row if the script is done.
    /// `executed` is the fingerprint of the text of the statements that were executed.
    pub(crate) fn record(
        &self,
        (id, direction): (&Version, Direction),
        progress: RecordedProgress,
        executed: Fingerprint,
    ) -> String {
        match progress {
            RecordedProgress::Whole { .. } => self.remove(id),
            RecordedProgress::Part { done, total } => self.insert((id, direction), (done, total, "FALSE"), executed),
            RecordedProgress::Begun { done, total } => self.insert((id, direction), (done, total, "TRUE"), executed),
        }
    }

    /// Returns the statement that records a repeatable script as applied; `executed` is the fingerprint of its text. A
    /// repeatable script has a transaction, so that it is recorded as a whole.
    pub(crate) fn record_repeatable(&self, id: &Version, progress: RecordedProgress, executed: Fingerprint) -> String {
        let (RecordedProgress::Whole { statements: total }
        | RecordedProgress::Part { total, .. }
        | RecordedProgress::Begun { total, .. }) = progress;
        self.insert((id, Direction::Up), (total, total, "FALSE"), executed)
    }

    /// Returns the statement that inserts a row or replaces it: the statements done, those of the script, and whether the
    /// next one has begun.
    fn insert(
        &self,
        (id, direction): (&Version, Direction),
        (done, total, begun): (usize, usize, &str),
        executed: Fingerprint,
    ) -> String {
        let direction = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        format!(
            "INSERT INTO {table} (revision, direction, statements_done, statements_total, statement_begun, fingerprint)\nVALUES ({id}, '{direction}', {done}, {total}, {begun}, '{executed}'){REPLACE};\n",
            table = self.table,
            id = self.literal(id.as_str()),
        )
    }

    /// Returns the statement that removes the row of a script.
    pub(crate) fn remove(&self, id: &Version) -> String {
        format!("DELETE FROM {} WHERE {};\n", self.table, self.is(id))
    }

    /// Returns the statement that records the outcome of the statement that has begun; `executed` is the fingerprint of
    /// the text of the `done` statements.
    pub(crate) fn decide(&self, id: &Version, done: usize, executed: Fingerprint) -> String {
        format!(
            "UPDATE {} SET statements_done = {done}, statement_begun = FALSE, fingerprint = '{executed}' WHERE {} AND statement_begun;\n",
            self.table,
            self.is(id)
        )
    }

    /// Returns the statement that records the state of the catalog before a statement begins (PostgreSQL only).
    pub(crate) fn set_catalog_before(&self, id: &Version, state: Option<&str>) -> String {
        let state = state.map_or("NULL".into(), literal);
        format!("UPDATE {} SET catalog_before = {state} WHERE {};\n", self.table, self.is(id))
    }

    /// Returns the query for the state of the catalog that [`Journal::set_catalog_before`] has recorded.
    pub(crate) fn select_catalog_before(&self, id: &Version) -> String {
        format!("SELECT catalog_before FROM {} WHERE {}", self.table, self.is(id))
    }

    /// Returns the statement that adds rows. `rows` is a query for all columns but `catalog_before`, which is the last
    /// one on PostgreSQL; its last clause is WHERE.
    pub(crate) fn insert_from(&self, rows: &str) -> String {
        let more = match self.dialect {
            Dialect::Postgres => ", catalog_before",
            Dialect::Sqlite => "",
        };
        format!(
            "INSERT INTO {} (revision, direction, statements_done, statements_total, statement_begun, fingerprint{more})\n{rows}{REPLACE};\n",
            self.table
        )
    }

    fn is(&self, id: &Version) -> String {
        format!("revision {} {}", operator(self.dialect, "="), self.literal(id.as_str()))
    }

    fn literal(&self, text: &str) -> String {
        match self.dialect {
            Dialect::Postgres => literal(text),
            Dialect::Sqlite => sqlite_literal(text),
        }
    }
}

/// The clause that replaces the row of a revision. A row may be left from a revision whose row in the history somebody
/// has removed.
const REPLACE: &str = "\nON CONFLICT (revision) DO UPDATE SET direction = excluded.direction, statements_done = excluded.statements_done, statements_total = excluded.statements_total, statement_begun = excluded.statement_begun, fingerprint = excluded.fingerprint";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_never_that_of_the_history() {
        assert_eq!(name(Dialect::Postgres, "lockkeeper_history"), "lockkeeper_history_journal");
        let long = "h".repeat(63);
        assert_eq!(name(Dialect::Postgres, &long), format!("{}_journal", "h".repeat(55)));
        assert_eq!(name(Dialect::Sqlite, &long), format!("{long}_journal"));
        let accents = "é".repeat(31);
        assert_eq!(name(Dialect::Postgres, &accents), format!("{}_journal", "é".repeat(27)));
    }

    #[test]
    fn only_rows_that_lockkeeper_writes_are_read() {
        let sum = "0".repeat(64);
        let decode = |columns: [&str; 4]| JournalEntry::decode(&columns.map(Some));
        let expected = JournalEntry {
            direction: Direction::Down,
            done: 2,
            outcome: StatementOutcome::Open,
            executed: Some(Fingerprint([0; 32])),
        };
        assert_eq!(decode(["down", "2", "t", &sum]), Some(expected));
        assert_eq!(decode(["down", "2", "1", &sum]), Some(expected));
        for columns in [["left", "2", "t", &sum], ["up", "-1", "t", &sum], ["up", "2", "x", &sum]] {
            assert_eq!(decode(columns), None, "{columns:?}");
        }
        assert_eq!(JournalEntry::decode(&[None; 4]), None);
    }
}
