//! A row of the history table, as far as it is asked for.

use super::{DatabaseError, DatabaseErrorKind};
use crate::revision::plan::StatementOutcome;
use crate::revision::{Applied, Checksum, Id, RecordedState};

/// A row with all its columns.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    pub row: Applied,
    pub description: String,
    /// As it stands there, whether it is a checksum or not.
    pub checksum: String,
    /// RFC 3339, in UTC.
    pub applied_at: String,
    pub duration_ms: i64,
    pub statements_done: i64,
    pub statements_total: i64,
    pub applied_by: String,
    pub lockkeeper_version: String,
    pub backup: Option<String>,
}

/// All columns, those of [`COLUMNS`] first; the dialect says how the time and the column that may be missing are asked for.
pub(super) fn columns(applied_at: &str, down_checksum: &str) -> String {
    format!(
        "{COLUMNS}, {down_checksum}, description, {applied_at}, duration_ms, statements_total, applied_by, lockkeeper_version, backup"
    )
}

/// The columns of [`applied`], in its order. Tables of before there was a `down_checksum` lack it.
pub(super) const COLUMNS: &str = "revision, checksum, state, statements_done";

/// Reads a history row of either dialect.
///
/// # Errors
/// The table holds something that we have not written.
pub fn applied(
    revision: &str,
    checksum: &str,
    state: &str,
    done: i64,
    down: Option<&str>,
) -> Result<Applied, DatabaseError> {
    let foreign = || {
        DatabaseError::new(
            DatabaseErrorKind::Setting,
            format!("the history table holds a row that is not ours: revision \"{revision}\", state \"{state}\""),
        )
    };
    let (done, outcome) = progress(done).ok_or_else(foreign)?;
    let state = match state {
        "applied" => RecordedState::Applied,
        "partial" => RecordedState::Partial { done },
        "undoing" => RecordedState::Undoing { done },
        _ => return Err(foreign()),
    };
    let id = Id::parse(revision).ok_or_else(foreign)?;
    let (checksum, down) = (Checksum::parse(checksum), down.and_then(Checksum::parse));
    Ok(Applied { id, checksum, down, state, outcome })
}

/// What `statements_done` says: one that has begun and is not done yet is counted in, and the sign is turned.
fn progress(written: i64) -> Option<(usize, StatementOutcome)> {
    let outcome = if written < 0 { StatementOutcome::Open } else { StatementOutcome::Known };
    Some((usize::try_from(statements_done(written)).ok()?, outcome))
}

/// Statements done, by what is written of them.
pub(super) fn statements_done(written: i64) -> i64 {
    if written < 0 { -1 - written } else { written }
}
