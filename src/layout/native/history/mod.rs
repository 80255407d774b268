//! The history table of Lockkeeper's own layout: one row for each revision, which also records how far a script without
//! a transaction has come.

mod expected;
mod read;
mod write;

use write::HistoryStatements;

use crate::dialect::Dialect;
use crate::revision::history::{
    ExistingHistory, HistoryChange, HistoryFormat, HistoryRecord, HistoryRow, HistoryTable,
};
use crate::revision::{Applied, Version};

/// The history table of Lockkeeper's own layout.
#[derive(Debug)]
pub(super) struct NativeHistory;

impl HistoryFormat for NativeHistory {
    fn later_columns(&self, dialect: Dialect) -> &'static [&'static str] {
        match dialect {
            Dialect::Postgres => &["down_checksum", "catalog_before"],
            Dialect::Sqlite => &["down_checksum"],
        }
    }

    fn create(&self, table: &HistoryTable) -> String {
        HistoryStatements(table).create()
    }

    fn extend(&self, table: &HistoryTable, name: &str) -> String {
        HistoryStatements(table).extend(name)
    }

    fn select(&self, table: &ExistingHistory<'_>) -> String {
        read::select(table)
    }

    fn decode(&self, row: &[Option<&str>]) -> Result<Applied, String> {
        read::decode(row)
    }

    fn select_records(&self, table: &ExistingHistory<'_>) -> String {
        read::select_records(table)
    }

    fn decode_record(&self, row: &[Option<&str>]) -> Result<HistoryRecord, String> {
        read::decode_record(row)
    }

    fn record(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        HistoryStatements(table).record(row)
    }

    fn change(&self, table: &HistoryTable, change: &HistoryChange<'_>) -> String {
        HistoryStatements(table).change(change)
    }

    fn select_catalog_before(&self, table: &str, version: &Version) -> String {
        read::select_catalog_before(table, version)
    }

    fn has_exactly(&self, dialect: Dialect, applied: &[Applied], from: &[Version]) -> String {
        expected::has_exactly(dialect, applied, from)
    }

    fn has_each(&self, dialect: Dialect, versions: &[&Version]) -> String {
        expected::has_each(dialect, versions)
    }
}

/// Returns the number of statements done from a value of the column `statements_done`. A negative number means that a
/// statement has begun and is not done: that statement is counted in, and the sign is turned.
fn statements_done(written: i64) -> i64 {
    if written < 0 { -1 - written } else { written }
}
