//! Creates the history table and writes its rows.

use super::state;
use crate::dialect::Dialect;
use crate::revision::history::{Elapsed, HistoryChange, HistoryRow, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::{Checksum, Direction, TransactionMode};
use crate::sql::{literal, operator, sqlite_literal};

/// The statements that write to a history table.
pub(super) struct HistoryStatements<'a>(pub &'a HistoryTable);

impl HistoryStatements<'_> {
    /// Returns the statement that creates the table if it does not exist.
    pub(crate) fn create(&self) -> String {
        let (text, time, integer) = match self.0.dialect {
            Dialect::Postgres => ("pg_catalog.text", "pg_catalog.timestamptz", "bigint"),
            Dialect::Sqlite => ("text", "TEXT", "INTEGER"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    revision {text} NOT NULL PRIMARY KEY,
    description {text} NOT NULL,
    checksum {text} NOT NULL,
    applied_at {time} NOT NULL,
    duration_ms {integer} NOT NULL,
    state {text} NOT NULL CONSTRAINT {constraint},
    statements_done {integer} NOT NULL,
    statements_total {integer} NOT NULL,
    applied_by {text} NOT NULL,
    lockkeeper_version {text} NOT NULL,
    backup {text},
    down_checksum {text}
);\n",
            table = self.0.table,
            constraint = state::constraint(self.0.dialect),
        )
    }

    /// Returns the statement that records the progress of a revision, up or down.
    pub(crate) fn record(&self, row: &HistoryRow<'_>) -> String {
        match row.direction {
            Direction::Up => self.record_upgrade(row),
            Direction::Down => self.record_downgrade(row),
        }
    }

    /// Returns the statement for a change that does not come from running a script.
    pub(crate) fn change(&self, change: &HistoryChange<'_>) -> String {
        let (table, equals) = (&self.0.table, self.operator("="));
        match change {
            HistoryChange::Record(row) => self.record(row),
            HistoryChange::Remove { id, .. } | HistoryChange::GiveUp { id, .. } => {
                format!("DELETE FROM {table} WHERE revision {equals} {};\n", literal(id.as_str()))
            }
            HistoryChange::Decide { id, done, .. } => format!(
                "UPDATE {table} SET statements_done = {done} WHERE revision {equals} {};\n",
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
            RecordedProgress::Whole { statements } => (state::APPLIED, statements),
            RecordedProgress::Part { total, .. } | RecordedProgress::Begun { total, .. } => (state::PARTIAL, total),
        };
        let mut sql = format!(
            "INSERT INTO {table} AS h (revision, description, checksum, applied_at, duration_ms, state, statements_done, statements_total, applied_by, lockkeeper_version, backup, down_checksum)\nVALUES ({id}, {description}, {checksum}, {now}, {took}, '{state}', {done}, {total}, {by}, '{version}', {backup}, {down})",
            table = self.0.table,
            id = literal(row.id.as_str()),
            description = self.literal(&row.migration.description),
            now = self.now(),
            took = self.elapsed(row.elapsed),
            done = statements(row.progress),
            by = self.literal(&self.0.applied_by),
            version = env!("CARGO_PKG_VERSION"),
            backup = row.backup.map_or("NULL".into(), |file| self.literal(file)),
            down = optional(row.down),
            checksum = optional(row.checksum),
        );
        if row.mode == TransactionMode::NoTransaction {
            let (plus, equals) = (self.operator("+"), self.operator("="));
            sql.push_str(&format!("\nON CONFLICT (revision) DO UPDATE SET checksum = excluded.checksum, applied_at = excluded.applied_at, duration_ms = h.duration_ms {plus} excluded.duration_ms, state = excluded.state, statements_done = excluded.statements_done, statements_total = excluded.statements_total, applied_by = excluded.applied_by, lockkeeper_version = excluded.lockkeeper_version, backup = coalesce(excluded.backup, h.backup), down_checksum = excluded.down_checksum\nWHERE h.state {equals} '{}'", state::PARTIAL));
        }
        sql.push_str(";\n");
        sql
    }

    /// Removes the row with the last statement; until then, the row has the progress of the down script.
    fn record_downgrade(&self, row: &HistoryRow<'_>) -> String {
        let (table, id) = (&self.0.table, literal(row.id.as_str()));
        match row.progress {
            RecordedProgress::Whole { .. } => {
                self.change(&HistoryChange::Remove { id: row.id, previous: row.previous })
            }
            RecordedProgress::Part { total, .. } | RecordedProgress::Begun { total, .. } => format!(
                "UPDATE {table} SET applied_at = {now}, state = '{state}', statements_done = {done}, statements_total = {total}, applied_by = {by}, lockkeeper_version = '{version}'{backup}\nWHERE revision {equals} {id};\n",
                equals = self.operator("="),
                state = state::UNDOING,
                done = statements(row.progress),
                now = self.now(),
                by = self.literal(&self.0.applied_by),
                version = env!("CARGO_PKG_VERSION"),
                backup = row.backup.map_or(String::new(), |file| format!(", backup = {}", self.literal(file))),
            ),
        }
    }

    fn literal(&self, text: &str) -> String {
        match self.0.dialect {
            Dialect::Postgres => literal(text),
            Dialect::Sqlite => sqlite_literal(text),
        }
    }

    fn operator(&self, symbol: &str) -> String {
        operator(self.0.dialect, symbol)
    }

    fn now(&self) -> &'static str {
        match self.0.dialect {
            Dialect::Postgres => "pg_catalog.clock_timestamp()",
            Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        }
    }

    fn elapsed(&self, took: Elapsed) -> String {
        match (took, self.0.dialect) {
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

/// Returns the value of `statements_done`.
fn statements(progress: RecordedProgress) -> usize {
    match progress {
        RecordedProgress::Whole { statements } => statements,
        RecordedProgress::Part { done, .. } | RecordedProgress::Begun { done, .. } => done,
    }
}

fn optional(checksum: Option<Checksum>) -> String {
    checksum.map_or("NULL".into(), |sum| format!("'{sum}'"))
}
