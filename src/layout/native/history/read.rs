//! Reads rows of the history table.

use super::statements_done;
use crate::dialect::Dialect;
use crate::layout::native::number;
use crate::revision::history::{ExistingHistory, HistoryRecord};
use crate::revision::plan::StatementOutcome;
use crate::revision::{Applied, Checksum, Fingerprint, RecordedState, Version};
use crate::sql::literal;

/// Returns the query for the columns that plans need. A table of a release before `down_checksum` lacks that column.
pub(super) fn select(table: &ExistingHistory<'_>) -> String {
    let down = down_checksum(table);
    format!("SELECT revision, checksum, state, statements_done, {down} FROM {}", table.table)
}

/// Returns the query for all columns, which begin with those of [`select`].
pub(super) fn select_records(table: &ExistingHistory<'_>) -> String {
    let (down, applied_at) = (down_checksum(table), applied_at(table.dialect));
    format!(
        "SELECT revision, checksum, state, statements_done, {down}, description, {applied_at}, duration_ms, statements_total, applied_by, lockkeeper_version, backup FROM {}",
        table.table
    )
}

/// Returns the query for the state of the catalog before the statement that a row records as begun.
pub(super) fn select_catalog_before(table: &str, version: &Version) -> String {
    format!("SELECT catalog_before FROM {table} WHERE revision = {}", literal(version.as_str()))
}

fn down_checksum(table: &ExistingHistory<'_>) -> &'static str {
    match (table.lacks.contains(&"down_checksum"), table.dialect) {
        (false, _) => "down_checksum",
        (true, Dialect::Postgres) => "NULL::text",
        (true, Dialect::Sqlite) => "NULL",
    }
}

/// Returns the expression for the time of application, in RFC 3339 and UTC.
fn applied_at(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "pg_catalog.to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        Dialect::Sqlite => "applied_at",
    }
}

/// Reads a row of [`select`].
///
/// # Errors
/// Fails if the row has values that Lockkeeper does not write.
pub(super) fn decode(row: &[Option<&str>]) -> Result<Applied, String> {
    let text = |column: usize| row.get(column).copied().flatten();
    let (revision, state) = (text(0).unwrap_or_default(), text(2).unwrap_or_default());
    let foreign =
        || format!("the history table holds a row that is not ours: revision \"{revision}\", state \"{state}\"");
    let (done, outcome) = text(3).and_then(progress).ok_or_else(foreign)?;
    let state = match state {
        "applied" => RecordedState::Applied,
        "partial" => RecordedState::Partial { done },
        "undoing" => RecordedState::Undoing { done },
        _ => return Err(foreign()),
    };
    let id = number::parse(revision).ok_or_else(foreign)?;
    let sum = text(1).ok_or_else(foreign)?;
    // The column has the checksum of an applied script, and the fingerprint of what is done of any other.
    let (checksum, executed) = match state {
        RecordedState::Applied => (Checksum::parse(sum), None),
        RecordedState::Partial { .. } | RecordedState::Undoing { .. } => (None, Fingerprint::parse(sum)),
    };
    Ok(Applied { id, checksum, executed, down: text(4).and_then(Checksum::parse), state, outcome })
}

/// Reads a row of [`select_records`].
///
/// # Errors
/// Fails if the row has values that Lockkeeper does not write.
pub(super) fn decode_record(row: &[Option<&str>]) -> Result<HistoryRecord, String> {
    let applied = decode(row)?;
    let foreign = || format!("the history table holds a row that is not ours: revision \"{}\"", applied.id);
    let text = |column: usize| row.get(column).copied().flatten().map(str::to_owned).ok_or_else(foreign);
    let number = |column: usize| text(column)?.parse::<i64>().map_err(|_| foreign());
    Ok(HistoryRecord {
        checksum: text(1)?,
        statements_done: statements_done(number(3)?),
        description: text(5)?,
        applied_at: text(6).unwrap_or_default(),
        duration_ms: number(7)?,
        statements_total: number(8)?,
        applied_by: text(9)?,
        lockkeeper_version: text(10)?,
        backup: text(11).ok(),
        row: applied.clone(),
    })
}

/// Parses `statements_done`.
fn progress(written: &str) -> Option<(usize, StatementOutcome)> {
    let written = written.parse::<i64>().ok()?;
    let outcome = if written < 0 { StatementOutcome::Open } else { StatementOutcome::Known };
    Some((usize::try_from(statements_done(written)).ok()?, outcome))
}
