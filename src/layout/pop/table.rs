//! The table `schema_migration`, as popx makes it. pop makes it with one column, and works with this one as well.

use super::version;
use crate::dialect::Dialect;
use crate::layout::tool_history::ToolTable;
use crate::layout::tool_history::values::{as_text, no_text};
use crate::layout::tool_history::version_rows::{delete_version, insert_version};
use crate::revision::Version;
use crate::revision::history::{HistoryRow, HistoryTable};
use crate::sql::operator;

/// The table `schema_migration`.
#[derive(Debug)]
pub(super) struct PopTable;

impl ToolTable for PopTable {
    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    /// The index of popx on the second column is left out: the statement has to be valid for a table of pop, too.
    fn create(&self, dialect: Dialect, table: &str) -> String {
        let (text, integer) = match dialect {
            Dialect::Postgres => ("pg_catalog.varchar(48)", "integer"),
            Dialect::Sqlite => ("VARCHAR (48)", "INT"),
        };
        // A name in the settings has no period.
        let name = table.rsplit('.').next().unwrap_or(table).trim_end_matches('"');
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (version {text} NOT NULL, version_self {integer} NOT NULL DEFAULT 0);\n\
             CREATE UNIQUE INDEX IF NOT EXISTS {name}_version_idx\" ON {table} (version);\n"
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let none = no_text(dialect);
        let (equals, more, length, start) = match dialect {
            Dialect::Postgres => {
                (operator(dialect, "="), operator(dialect, ">"), "pg_catalog.length", "pg_catalog.substr")
            }
            Dialect::Sqlite => ("=".into(), ">".into(), "length", "substr"),
        };
        let (short, long) = (as_text(dialect, "m.version"), as_text(dialect, "later.version"));
        // popx has longer versions than pop. It keeps the row of pop beside its own, and counts either.
        format!(
            "SELECT {short} AS version, {none} AS checksum, 'applied' AS state, {none} AS description, \
             {none} AS applied_at, {none} AS duration_ms FROM {table} AS m WHERE NOT EXISTS (SELECT 1 FROM {table} AS later \
             WHERE {length}({short}) {equals} 14 AND {length}({long}) {more} 14 AND {start}({long}, 1, 14) {equals} {short})"
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        insert_version(table, row.id)
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        delete_version(table, id)
    }
}
