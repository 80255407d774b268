//! Rows of history tables that have nothing but the text of a version, and columns with defaults.

use super::values::{is_version, text};
use crate::revision::Version;
use crate::revision::history::HistoryTable;

/// Returns the statement that inserts the row of a version.
pub(in crate::layout) fn insert_version(table: &HistoryTable, id: &Version) -> String {
    format!("INSERT INTO {} (version) VALUES ({});\n", table.table, text(table.dialect, id.as_str()))
}

/// Returns the statement that deletes the row of a version.
pub(in crate::layout) fn delete_version(table: &HistoryTable, id: &Version) -> String {
    format!("DELETE FROM {} WHERE {};\n", table.table, is_version(table.dialect, "version", id))
}
