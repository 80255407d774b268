//! The SQL around a script: transaction, timeouts, history rows. The text that is executed is also the one that is
//! printed.

pub mod foreign_keys;
mod guard;
mod history_row;
mod non_transactional;
mod print;
mod print_error;
pub mod session;
mod sqlite_session;
pub mod trust;

use crate::dialect::Dialect;
use crate::sql::{comment_text, literal, sqlite_literal};
use crate::sql::{is_one_of, operator};
use std::time::Duration;

pub use history_row::{Elapsed, HistoryChange, HistoryRow, RecordedProgress};
pub use print::{Printer, ScriptSummary};
pub use print_error::PrintError;
pub use session::{OWN_PATH, OWN_PATH_SETTING, SessionSettings, SettingScope, own_role, set, synchronous_commit};
pub use sqlite_session::leaves_session_state;

use super::{Checksum, DirectedScript, Direction, Header, TransactionMode};

/// The history table, its name quoted and qualified for the dialect.
#[derive(Clone, Debug)]
pub struct HistoryTable {
    /// The SQL in which its statements are written.
    pub dialect: Dialect,
    /// The name of the table.
    pub table: String,
    /// The name of the host or pod.
    pub applied_by: String,
}

impl HistoryTable {
    /// Returns the statement that creates the table if it does not exist.
    pub fn create(&self) -> String {
        // The state of the catalog before a statement that is recorded as begun; SQLite has no such statements.
        let before = ",\n    catalog_before pg_catalog.text";
        let (text, time, integer, more) = match self.dialect {
            Dialect::Postgres => ("pg_catalog.text", "pg_catalog.timestamptz", "bigint", before),
            Dialect::Sqlite => ("text", "TEXT", "INTEGER", ""),
        };
        let states = ["'applied'", "'partial'", "'undoing'"].map(str::to_owned);
        let state = is_one_of(self.dialect, "state", &states);
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    revision {text} NOT NULL PRIMARY KEY,
    description {text} NOT NULL,
    checksum {text} NOT NULL,
    applied_at {time} NOT NULL,
    duration_ms {integer} NOT NULL,
    state {text} NOT NULL CHECK ({state}),
    statements_done {integer} NOT NULL,
    statements_total {integer} NOT NULL,
    applied_by {text} NOT NULL,
    lockkeeper_version {text} NOT NULL,
    backup {text},
    down_checksum {text}{more}
);\n",
            table = self.table,
        )
    }

    /// Returns the statement that records the progress of a revision, up or down.
    pub fn record(&self, row: &HistoryRow<'_>) -> String {
        match row.direction {
            Direction::Up => self.record_upgrade(row),
            Direction::Down => self.record_downgrade(row),
        }
    }

    /// Returns the statement for a change that does not come from running a script.
    pub fn change(&self, change: &HistoryChange<'_>) -> String {
        let (table, equals, less) = (&self.table, self.operator("="), self.operator("<"));
        match change {
            HistoryChange::Record(row) => self.record(row),
            HistoryChange::Remove(id) => {
                format!("DELETE FROM {table} WHERE revision {equals} {};\n", literal(id.as_str()))
            }
            HistoryChange::Decide { id, done, checksum } => format!(
                "UPDATE {table} SET statements_done = {done}, checksum = '{checksum}' WHERE revision {equals} {} AND statements_done {less} 0;\n",
                literal(id.as_str())
            ),
            HistoryChange::Accept { id, direction, recorded, now } => {
                let column = match direction {
                    Direction::Up => "checksum",
                    Direction::Down => "down_checksum",
                };
                let id = literal(id.as_str());
                // `None` means that the row has no checksum.
                let unchanged = recorded.map_or(String::new(), |sum| format!(" AND {column} {equals} '{sum}'"));
                format!("UPDATE {table} SET {column} = '{now}' WHERE revision {equals} {id}{unchanged};\n")
            }
        }
    }

    /// Inserts the row. Only the row of an unfinished up script is replaced, never any other.
    fn record_upgrade(&self, row: &HistoryRow<'_>) -> String {
        let (state, total) = match row.progress {
            RecordedProgress::Whole { statements } => ("applied", statements),
            RecordedProgress::Part { total, .. } | RecordedProgress::Begun { total, .. } => ("partial", total),
        };
        let mut sql = format!(
            "INSERT INTO {table} AS h (revision, description, checksum, applied_at, duration_ms, state, statements_done, statements_total, applied_by, lockkeeper_version, backup, down_checksum)\nVALUES ({id}, {description}, '{checksum}', {now}, {took}, '{state}', {done}, {total}, {by}, '{version}', {backup}, {down})",
            table = self.table,
            id = literal(row.id.as_str()),
            description = self.literal(row.description),
            checksum = row.checksum,
            now = self.now(),
            took = self.elapsed(row.took),
            done = row.progress.done(),
            by = self.literal(&self.applied_by),
            version = env!("CARGO_PKG_VERSION"),
            backup = row.backup.map_or("NULL".into(), |file| self.literal(file)),
            down = optional(row.down),
        );
        if row.mode == TransactionMode::NoTransaction {
            let (plus, equals) = (self.operator("+"), self.operator("="));
            sql.push_str(&format!("\nON CONFLICT (revision) DO UPDATE SET checksum = excluded.checksum, applied_at = excluded.applied_at, duration_ms = h.duration_ms {plus} excluded.duration_ms, state = excluded.state, statements_done = excluded.statements_done, statements_total = excluded.statements_total, applied_by = excluded.applied_by, lockkeeper_version = excluded.lockkeeper_version, backup = coalesce(excluded.backup, h.backup), down_checksum = excluded.down_checksum\nWHERE h.state {equals} 'partial'"));
        }
        sql.push_str(";\n");
        sql
    }

    /// Removes the row with the last statement; until then, the row has the progress of the down script.
    fn record_downgrade(&self, row: &HistoryRow<'_>) -> String {
        let (table, id) = (&self.table, literal(row.id.as_str()));
        match row.progress {
            RecordedProgress::Whole { .. } => self.change(&HistoryChange::Remove(row.id)),
            RecordedProgress::Part { total, .. } | RecordedProgress::Begun { total, .. } => format!(
                "UPDATE {table} SET checksum = '{checksum}', applied_at = {now}, state = 'undoing', statements_done = {done}, statements_total = {total}, applied_by = {by}, lockkeeper_version = '{version}'{backup}\nWHERE revision {equals} {id};\n",
                equals = self.operator("="),
                checksum = row.checksum,
                done = row.progress.done(),
                now = self.now(),
                by = self.literal(&self.applied_by),
                version = env!("CARGO_PKG_VERSION"),
                backup = row.backup.map_or(String::new(), |file| format!(", backup = {}", self.literal(file))),
            ),
        }
    }

    fn literal(&self, text: &str) -> String {
        match self.dialect {
            Dialect::Postgres => literal(text),
            Dialect::Sqlite => sqlite_literal(text),
        }
    }

    fn operator(&self, symbol: &str) -> String {
        operator(self.dialect, symbol)
    }

    fn now(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "pg_catalog.clock_timestamp()",
            Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        }
    }

    fn elapsed(&self, took: Elapsed) -> String {
        match (took, self.dialect) {
            (Elapsed::Known(duration), _) => duration.as_millis().to_string(),
            (Elapsed::SinceBegin, Dialect::Postgres) => format!(
                "(EXTRACT(epoch FROM pg_catalog.clock_timestamp() {} pg_catalog.transaction_timestamp()) {} 1000)::bigint",
                self.operator("-"),
                self.operator("*")
            ),
            (Elapsed::SinceBegin, Dialect::Sqlite) => "0".into(),
        }
    }
}

fn optional(checksum: Option<Checksum>) -> String {
    checksum.map_or("NULL".into(), |sum| format!("'{sum}'"))
}

/// Returns the statements that begin a file's transaction. `pg_stat_activity` shows the first line while the
/// transaction runs; the timeouts of the file hold until its end.
pub fn begin(dialect: Dialect, way: &DirectedScript<'_>) -> Vec<String> {
    if dialect == Dialect::Sqlite {
        return vec!["BEGIN IMMEDIATE;\n".into()];
    }
    let begin = format!("-- {}\nBEGIN;\n", comment_text(way.file));
    [vec![begin], timeouts(way.header, "SET LOCAL")].concat()
}

/// Returns the statements that set the timeouts of the file on PostgreSQL.
fn timeouts(header: &Header, set: &str) -> Vec<String> {
    let named = [("lock_timeout", header.lock_timeout), ("statement_timeout", header.statement_timeout)];
    let statement = |(name, timeout): (&str, Option<Duration>)| {
        timeout.map(|timeout| format!("{set} {name} = {};\n", timeout.as_millis()))
    };
    named.into_iter().filter_map(statement).collect()
}

/// The statement that ends a transaction.
pub const COMMIT: &str = "COMMIT;\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_with_its_name_and_its_timeouts() {
        let header = Header { lock_timeout: Some(Duration::from_secs(2)), ..Header::default() };
        let way = DirectedScript {
            direction: Direction::Up,
            file: "1_a\nb.sql",
            header: &header,
            checksum: Checksum([0; 32]),
            statements: 1,
            down: None,
        };
        let begun = begin(Dialect::Postgres, &way);
        assert_eq!(begun, ["-- 1_a?b.sql\nBEGIN;\n", "SET LOCAL lock_timeout = 2000;\n"]);
        assert_eq!(begin(Dialect::Sqlite, &way), ["BEGIN IMMEDIATE;\n"]);
    }
}
