//! The history table of Lockkeeper's own layout: one row for each revision. The row of a revision whose script has
//! stopped part way refers to the journal; in tables of earlier releases it records the progress itself.

mod expected;
mod read;
mod refer;
mod state;
mod write;

use write::HistoryStatements;

use crate::revision::history::{
    ExistingHistory, HistoryChange, HistoryFormat, HistoryRecord, HistoryRow, HistoryRowError, HistoryTable, JournalUse,
};
use crate::revision::{Applied, Version};

/// The history table of Lockkeeper's own layout.
#[derive(Debug)]
pub(super) struct NativeHistory {
    /// When the journal is read: whenever it exists, if the directory has repeatable scripts, whose records it has.
    pub(super) journal: JournalUse,
}

impl HistoryFormat for NativeHistory {
    fn later_columns(&self) -> &'static [&'static str] {
        &["down_checksum"]
    }

    fn create(&self, table: &HistoryTable) -> String {
        HistoryStatements(table).create()
    }

    fn extend(&self, table: &HistoryTable, name: &str) -> String {
        refer::extend(table, name)
    }

    fn select(&self, table: &ExistingHistory<'_>) -> String {
        read::select(table, self.journal)
    }

    fn decode(&self, row: &[Option<&str>]) -> Result<Option<Applied>, HistoryRowError> {
        read::decode(row).map(Some)
    }

    fn select_records(&self, table: &ExistingHistory<'_>) -> String {
        read::select_records(table, self.journal)
    }

    fn decode_record(&self, row: &[Option<&str>]) -> Result<Option<HistoryRecord>, HistoryRowError> {
        read::decode_record(row).map(Some)
    }

    fn record(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        HistoryStatements(table).record(row)
    }

    fn change(&self, table: &HistoryTable, change: &HistoryChange<'_>) -> String {
        HistoryStatements(table).change(change)
    }

    fn journal_use(&self) -> JournalUse {
        self.journal
    }

    fn journal_constraint(&self) -> &'static str {
        state::CONSTRAINT
    }

    fn refer_to_journal(&self, table: &HistoryTable, name: &str, lacks: &[&'static str]) -> String {
        refer::refer_to_journal(table, name, lacks)
    }

    fn has_exactly(&self, table: &HistoryTable, applied: &[Applied], from: &[Version]) -> String {
        expected::has_exactly(table.dialect, applied, from)
    }

    fn has_each(&self, table: &HistoryTable, versions: &[&Version]) -> String {
        expected::has_each(table.dialect, versions)
    }
}
