//! A row of the history table as read from a database.

use super::{DatabaseError, DatabaseErrorKind};
use crate::layout::NATIVE;
use crate::revision::plan::StatementOutcome;
use crate::revision::{Applied, Checksum, RecordedState};

/// A row of the history table with all its columns.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// Columns that decide which revisions are applied.
    pub row: Applied,
    /// Description of the revision.
    pub description: String,
    /// Text of the column `checksum`, which may not be a checksum.
    pub checksum: String,
    /// Time at which the row was written, in UTC, as RFC 3339.
    pub applied_at: String,
    /// Duration in milliseconds; the sum over all runs of a script without a transaction.
    pub duration_ms: i64,
    /// Number of statements done.
    pub statements_done: i64,
    /// Number of statements in the script.
    pub statements_total: i64,
    /// Host or pod that applied the revision.
    pub applied_by: String,
    /// Version of Lockkeeper that applied the revision.
    pub lockkeeper_version: String,
    /// File name of the backup taken before; `None` if there was none.
    pub backup: Option<String>,
}

/// Returns the list of all columns, which begins with [`COLUMNS`]. The arguments are the SQL of the dialect for the
/// time and for the down checksum, whose column may be missing.
pub(super) fn columns(applied_at: &str, down_checksum: &str) -> String {
    format!(
        "{COLUMNS}, {down_checksum}, description, {applied_at}, duration_ms, statements_total, applied_by, lockkeeper_version, backup"
    )
}

/// The first columns that [`applied`] reads, in their order. Tables of releases before `down_checksum` lack that
/// column, so it is not listed here.
pub(super) const COLUMNS: &str = "revision, checksum, state, statements_done";

/// Parses the columns of a history row of either dialect.
///
/// # Errors
/// The row has values that Lockkeeper does not write.
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
    let id = NATIVE.version(revision).ok_or_else(foreign)?;
    let (checksum, down) = (Checksum::parse(checksum), down.and_then(Checksum::parse));
    Ok(Applied { id, checksum, down, state, outcome })
}

/// Parses `statements_done`: a negative number means that a statement has begun and is not done. That statement is
/// counted in, and the sign is turned.
fn progress(written: i64) -> Option<(usize, StatementOutcome)> {
    let outcome = if written < 0 { StatementOutcome::Open } else { StatementOutcome::Known };
    Some((usize::try_from(statements_done(written)).ok()?, outcome))
}

/// Returns the number of statements done from a value of the column `statements_done`.
pub(super) fn statements_done(written: i64) -> i64 {
    if written < 0 { -1 - written } else { written }
}
