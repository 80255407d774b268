//! The history tables of other migration tools. A table keeps the columns and the rows that its tool writes; what
//! Lockkeeper has to know beyond that stands in the journal.

mod decode;
mod expected;
pub(super) mod values;
pub(super) mod version_rows;

use std::fmt::Debug;

use crate::dialect::Dialect;
use crate::revision::history::{
    ExistingHistory, HistoryChange, HistoryFormat, HistoryRecord, HistoryRow, HistoryRowError, HistoryTable, JournalUse,
};
use crate::revision::journal::{JOINED_COLUMNS, RecordedProgress};
use crate::revision::{Applied, Checksum, Coverage, Direction, Version};
use crate::sql::operator;

/// The history table of a tool: its columns, and the statements that read and write them.
pub(super) trait ToolTable: Debug + Send + Sync {
    /// Parses the text of a version. Returns `None` for a text that the tool does not write.
    fn version(&self, text: &str) -> Option<Version>;

    /// Returns a sentence about a row of the tool that stands for no revision, by the text of its version.
    fn explain(&self, _version: &str) -> Option<String> {
        None
    }

    /// Returns the meaning of a row for the earlier revisions of the directory.
    fn coverage(&self) -> Coverage {
        Coverage::OneRevision
    }

    /// Returns the keys of the advisory locks that the tool may take on PostgreSQL; none if it takes none.
    fn locks(&self, _database: &str, _schema: &str, _table: &str) -> Vec<i64> {
        Vec::new()
    }

    /// Parses the checksum of a row as the query [`ToolTable::rows`] has it.
    fn checksum(&self, _text: &str) -> Option<Checksum> {
        None
    }

    /// Returns the statements that create the table, with the rows that it has from the beginning, if it does not
    /// exist.
    fn create(&self, dialect: Dialect, table: &str) -> String;

    /// Returns the query for the rows. Its columns are texts: the `version`, the `checksum`, the `state` (`applied`, or
    /// `failed` for a revision that the tool has not finished,
    /// or `baseline` for one up to which the tool takes everything as applied), the `description`, the time `applied_at` in RFC 3339,
    /// and the `duration_ms` in milliseconds. NULL stands for a value that the table does not have.
    fn rows(&self, dialect: Dialect, table: &str) -> String;

    /// Returns the statement that records a revision as applied. A row that [`ToolTable::begin`] has written may be
    /// there.
    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String;

    /// Reports whether the table has rows of repeatable scripts, with the state `repeatable` in the query
    /// [`ToolTable::rows`], and what identifies them in place of the version.
    fn records_repeatables(&self) -> bool {
        false
    }

    /// Reports whether [`ToolTable::begin`] leaves a row for a script that applies a revision. Without that row, somebody has undone
    /// what the script has done and has removed the row, as the tool advises.
    fn marks_begun(&self) -> bool {
        false
    }

    /// Returns the statement that records that a script without a transaction is not done. It is run more than once.
    fn begin(&self, _table: &HistoryTable, _row: &HistoryRow<'_>) -> String {
        String::new()
    }

    /// Returns the statement that removes the record of a revision, whole or not; `previous` is the revision before it
    /// in the directory.
    fn remove(&self, table: &HistoryTable, id: &Version, previous: Option<&Version>) -> String;

    /// Returns the statement that replaces the checksum of a revision.
    fn accept(&self, _table: &HistoryTable, _id: &Version, _now: Checksum) -> String {
        String::new()
    }
}

/// The format of a tool's history table.
#[derive(Debug)]
pub(super) struct ToolHistory<T>(pub T);

impl<T: ToolTable> HistoryFormat for ToolHistory<T> {
    fn tool_locks(&self, database: &str, schema: &str, table: &str) -> Vec<i64> {
        self.0.locks(database, schema, table)
    }

    fn create(&self, table: &HistoryTable) -> String {
        self.0.create(table.dialect, &table.table)
    }

    fn select(&self, table: &ExistingHistory<'_>) -> String {
        let rows = self.0.rows(table.dialect, table.table);
        match table.journal {
            None => rows,
            // A row of the journal may be all that there is of a revision.
            Some(journal) => format!(
                "SELECT coalesce(h.version, j.revision), h.checksum, h.state, h.description, h.applied_at, h.duration_ms, {} \
                 FROM ({rows}) AS h FULL JOIN {journal} AS j ON j.revision {} h.version",
                JOINED_COLUMNS.join(", "),
                operator(table.dialect, "=")
            ),
        }
    }

    fn decode(&self, row: &[Option<&str>]) -> Result<Option<Applied>, HistoryRowError> {
        decode::applied(&self.0, row)
    }

    fn select_records(&self, table: &ExistingHistory<'_>) -> String {
        self.select(table)
    }

    fn decode_record(&self, row: &[Option<&str>]) -> Result<Option<HistoryRecord>, HistoryRowError> {
        decode::record(&self.0, row)
    }

    fn journal_use(&self) -> JournalUse {
        JournalUse::WhenPresent
    }

    fn record(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        match (row.direction, row.progress) {
            (Direction::Up, RecordedProgress::Whole { .. }) => self.0.apply(table, row),
            (Direction::Down, RecordedProgress::Whole { .. }) => self.0.remove(table, row.id, row.previous),
            (_, RecordedProgress::Part { .. } | RecordedProgress::Begun { .. }) => self.0.begin(table, row),
        }
    }

    fn records_repeatables(&self) -> bool {
        self.0.records_repeatables()
    }

    fn change(&self, table: &HistoryTable, change: &HistoryChange<'_>) -> String {
        match change {
            HistoryChange::Record(row) => self.record(table, row),
            HistoryChange::Remove { id, previous } | HistoryChange::GiveUp { id, previous } => {
                self.0.remove(table, id, *previous)
            }
            HistoryChange::Decide { .. } => String::new(),
            HistoryChange::Accept { id, now, .. } => self.0.accept(table, id, *now),
        }
    }

    fn has_exactly(&self, table: &HistoryTable, applied: &[Applied], from: &[Version]) -> String {
        expected::has_exactly(&self.0, table, applied, from)
    }

    fn has_each(&self, table: &HistoryTable, versions: &[&Version]) -> String {
        expected::has_each(&self.0, table, versions)
    }
}
