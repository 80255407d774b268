//! The history of a database: the values of its rows, and the format of the table that holds them.
//!
//! All SQL that names a column of the history comes from a [`HistoryFormat`]. The database layer runs that SQL and
//! hands the texts of the rows back to the format.

use std::fmt::Debug;
use std::time::Duration;

use super::journal::{Journal, RecordedProgress};
use super::{Applied, Checksum, Direction, Fingerprint, Migration, TransactionMode, Version};
use crate::dialect::Dialect;

/// The format of a history table: its columns, and the statements that read and write them.
pub trait HistoryFormat: Debug + Send + Sync {
    /// Returns the columns that tables of earlier releases may lack.
    fn later_columns(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the keys of the advisory locks that the tool of the history may take on PostgreSQL: none if it takes none,
    /// or if the history is Lockkeeper's own.
    fn tool_locks(&self, _database: &str, _schema: &str, _table: &str) -> Vec<i64> {
        Vec::new()
    }

    /// Returns the statement that creates the table if it does not exist.
    fn create(&self, table: &HistoryTable) -> String;

    /// Returns the statements that give an existing table the columns that it lacks, for use in a transaction. `name`
    /// is the name of the table without quotes and schema.
    fn extend(&self, _table: &HistoryTable, _name: &str) -> String {
        String::new()
    }

    /// Returns the query for the columns that plans need.
    fn select(&self, table: &ExistingHistory<'_>) -> String;

    /// Reads a row of [`HistoryFormat::select`]; `None` is a NULL. Returns `None` for a row that says nothing of the
    /// revisions.
    ///
    /// # Errors
    /// Fails if Lockkeeper does not write such a row, or if the query has to join the journal.
    fn decode(&self, row: &[Option<&str>]) -> Result<Option<Applied>, HistoryRowError>;

    /// Returns the query for all columns.
    fn select_records(&self, table: &ExistingHistory<'_>) -> String;

    /// Reads a row of [`HistoryFormat::select_records`]; `None` is a NULL.
    ///
    /// # Errors
    /// Fails as [`HistoryFormat::decode`] does.
    fn decode_record(&self, row: &[Option<&str>]) -> Result<Option<HistoryRecord>, HistoryRowError>;

    /// Returns when the history is read together with the journal.
    fn journal_use(&self) -> JournalUse;

    /// Returns the name of the constraint that the table has if its rows refer to the journal; empty if it has none.
    fn journal_constraint(&self) -> &'static str {
        ""
    }

    /// Returns the statements that make an existing table refer to the journal, which exists, and that move to the
    /// journal the progress that an earlier release has recorded in the table. They are for use in a transaction, and do
    /// no harm to a table that refers to the journal already. `name` is the name of the table without quotes and schema,
    /// `lacks` has the columns that it lacks.
    fn refer_to_journal(&self, _table: &HistoryTable, _name: &str, _lacks: &[&'static str]) -> String {
        String::new()
    }

    /// Returns the statement that records the progress of a revision, up or down.
    fn record(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String;

    /// Reports whether the table has the records of repeatable scripts. If it has not, the journal has them.
    fn records_repeatables(&self) -> bool {
        false
    }

    /// Returns the statement for a change that does not come from running a script.
    fn change(&self, table: &HistoryTable, change: &HistoryChange<'_>) -> String;

    /// Returns an expression over all rows: whether exactly these revisions are recorded, the newest of them (`from`)
    /// among them.
    fn has_exactly(&self, table: &HistoryTable, applied: &[Applied], from: &[Version]) -> String;

    /// Returns an expression over all rows: whether each of these versions has a row that spells it so.
    fn has_each(&self, table: &HistoryTable, versions: &[&Version]) -> String;
}

/// When a history is read together with the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalUse {
    /// Once a row refers to it.
    WhenReferred,
    /// Whenever it exists: the history is the table of another tool, whose rows cannot refer to it.
    WhenPresent,
}

/// The reason why a row of a history cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryRowError {
    /// Lockkeeper does not write such a row, as the sentence says.
    Foreign(String),
    /// The journal has the progress of the revision, and the query did not join it.
    InJournal,
}

/// The history table that statements write to, and its journal. The names are quoted and qualified for the dialect.
#[derive(Clone, Debug)]
pub struct HistoryTable {
    /// The format of the table.
    pub(crate) format: &'static dyn HistoryFormat,
    /// The SQL in which its statements are written.
    pub(crate) dialect: Dialect,
    /// The name of the table.
    pub(crate) table: String,
    /// The name of the journal.
    pub(crate) journal: String,
    /// The name of the host or pod.
    pub(crate) applied_by: String,
}

/// A history table as a database was found to have it.
#[derive(Clone, Copy, Debug)]
pub struct ExistingHistory<'a> {
    /// The SQL in which the query is written.
    pub(crate) dialect: Dialect,
    /// The name of the table, quoted and qualified.
    pub(crate) table: &'a str,
    /// Those of [`HistoryFormat::later_columns`] that the table lacks.
    pub(crate) lacks: &'a [&'static str],
    /// The name of the journal, quoted and qualified, if the query is to join it.
    pub(crate) journal: Option<&'a str>,
}

impl HistoryTable {
    /// Returns the statement that creates the table if it does not exist.
    pub(crate) fn create(&self) -> String {
        self.format.create(self)
    }

    /// Returns the journal.
    pub(crate) fn journal(&self) -> Journal<'_> {
        Journal { dialect: self.dialect, table: &self.journal }
    }

    /// Returns the statements that record the progress of a revision, up or down. The history comes last.
    pub(crate) fn record(&self, row: &HistoryRow<'_>) -> String {
        if self.writes_journal_alone(row.id) {
            return self.journal().record_repeatable(row.id, row.progress, row.executed);
        }
        let history = self.format.record(self, row);
        match row.mode {
            TransactionMode::Transaction => history,
            TransactionMode::NoTransaction => {
                self.journal().record((row.id, row.direction), row.progress, row.executed) + &history
            }
        }
    }

    /// Reports whether the record of a script is in the journal alone: that of a repeatable one, in most layouts.
    pub(crate) fn writes_journal_alone(&self, id: &Version) -> bool {
        id.is_repeatable() && !self.format.records_repeatables()
    }

    /// Returns the statements for a change that does not come from running a script.
    pub(crate) fn change(&self, change: &HistoryChange<'_>) -> String {
        let journal = match *change {
            HistoryChange::Record(ref row) => return self.record(row),
            HistoryChange::Remove { .. } | HistoryChange::Accept { .. } => String::new(),
            HistoryChange::GiveUp { id, .. } => self.journal().remove(id),
            HistoryChange::Decide { id, done, executed } => self.journal().decide(id, done, executed),
        };
        journal + &self.format.change(self, change)
    }
}

/// A row of the history table with all its columns.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// The columns that decide which revisions are applied.
    pub(crate) row: Applied,
    /// The description of the revision.
    pub(crate) description: String,
    /// The text of the column `checksum`, which may not be a checksum. For an unfinished script: the fingerprint of the
    /// statements that are done. This and the following values are `None` where the table has no such column.
    pub(crate) checksum: Option<String>,
    /// The time at which the row was written, in UTC, as RFC 3339.
    pub(crate) applied_at: Option<String>,
    /// The duration in milliseconds; the sum over all runs of a script without a transaction.
    pub(crate) duration_ms: Option<i64>,
    /// The number of statements done.
    pub(crate) statements_done: Option<i64>,
    /// The number of statements in the script.
    pub(crate) statements_total: Option<i64>,
    /// The host or pod that applied the revision.
    pub(crate) applied_by: Option<String>,
    /// The version of Lockkeeper that applied the revision.
    pub(crate) lockkeeper_version: Option<String>,
    /// The file name of the backup taken before; `None` if there was none.
    pub(crate) backup: Option<String>,
}

impl HistoryRecord {
    /// Returns the record of a revision of which the history has no further values.
    pub(crate) fn new(row: Applied) -> HistoryRecord {
        HistoryRecord {
            row,
            description: String::new(),
            checksum: None,
            applied_at: None,
            duration_ms: None,
            statements_done: None,
            statements_total: None,
            applied_by: None,
            lockkeeper_version: None,
            backup: None,
        }
    }
}

/// The values of the row of a revision.
#[derive(Clone, Debug)]
pub struct HistoryRow<'a> {
    /// The direction of the script: an upgrade writes the row, a downgrade removes it.
    pub(crate) direction: Direction,
    /// The revision.
    pub(crate) id: &'a Version,
    /// The revision before it in the directory; `None` for the first one.
    pub(crate) previous: Option<&'a Version>,
    /// The migration of the revision.
    pub(crate) migration: &'a Migration,
    /// The checksum of the script; `None` if the layout records none.
    pub(crate) checksum: Option<Checksum>,
    /// The fingerprint of the part of the script that was executed.
    pub(crate) executed: Fingerprint,
    /// For an upgrade: the checksum of the down script.
    pub(crate) down: Option<Checksum>,
    /// The part of the script that was executed.
    pub(crate) progress: RecordedProgress,
    /// A script without a transaction writes its row after each statement; any other inserts it once.
    pub(crate) mode: TransactionMode,
    /// The file name of the backup that was taken before.
    pub(crate) backup: Option<&'a str>,
    /// The duration of the step.
    pub(crate) elapsed: Elapsed,
}

/// A change of the history without a script that runs. The row has the number `id`, spelled as the history spells it.
#[derive(Clone, Debug)]
pub enum HistoryChange<'a> {
    /// Writes this row.
    Record(HistoryRow<'a>),
    /// Removes the row of an applied revision.
    Remove {
        /// The revision.
        id: &'a Version,
        /// The revision before it in the directory; `None` for the first one.
        previous: Option<&'a Version>,
    },
    /// Removes the row of an unfinished revision.
    GiveUp {
        /// The revision.
        id: &'a Version,
        /// The revision before it in the directory; `None` for the first one.
        previous: Option<&'a Version>,
    },
    /// Records statements of a script without a transaction as executed, and the next one as not begun.
    Decide {
        /// The revision.
        id: &'a Version,
        /// The number of statements that were executed.
        done: usize,
        /// The fingerprint of the text of these statements.
        executed: Fingerprint,
    },
    /// Records the checksum of an edited file as that of the applied one.
    Accept {
        /// The revision.
        id: &'a Version,
        /// The direction of the edited script.
        direction: Direction,
        /// The checksum in the history; `None` if the history has none that can be read.
        recorded: Option<Checksum>,
        /// The checksum of the file.
        now: Checksum,
    },
}

impl HistoryChange<'_> {
    /// Reports whether the change needs the journal.
    pub(crate) fn needs_journal(&self) -> bool {
        matches!(self, HistoryChange::GiveUp { .. } | HistoryChange::Decide { .. })
    }
}

/// The duration of a step in the row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elapsed {
    /// A duration that was measured.
    Known(Duration),
    /// The time since the transaction began, which PostgreSQL computes: this saves a message.
    SinceBegin,
}
