//! Reads the rows of a tool's history, together with those of the journal.

use super::ToolTable;
use crate::revision::history::{HistoryRecord, HistoryRowError};
use crate::revision::journal::JournalEntry;
use crate::revision::{Applied, Coverage, Direction, RecordedState, Version};

/// The number of columns before those of the journal.
const COLUMNS: usize = 6;

/// Reads a row. Returns `None` for a row of the journal that no longer means anything: the tool itself has finished or
/// undone its script since.
///
/// # Errors
/// Fails if the tool does not write such a row.
pub(super) fn applied<T: ToolTable>(tool: &T, row: &[Option<&str>]) -> Result<Option<Applied>, HistoryRowError> {
    let text = |column: usize| row.get(column).copied().flatten();
    let version = text(0).unwrap_or_default();
    let unreadable = || {
        HistoryRowError::Foreign(tool.explain(version).unwrap_or_else(|| {
            format!("the history table has a row that its tool does not write: version \"{version}\"; remove that row if it is a mistake, or set LOCKKEEPER_HISTORY_TABLE to the table of the tool")
        }))
    };
    let id = match text(2) {
        Some("repeatable") => Version::repeatable(version),
        _ => tool.version(version).ok_or_else(unreadable)?,
    };
    let entry = JournalEntry::decode(row.get(COLUMNS..).unwrap_or_default());
    let recorded = text(2).map(|state| state != "failed");
    let coverage = match text(2) {
        Some("baseline") => Coverage::Baseline,
        Some(_) => tool.coverage(),
        None => Coverage::OneRevision,
    };
    let applied = Applied { checksum: text(1).and_then(|sum| tool.checksum(sum)), coverage, ..Applied::new(id) };
    let unfinished = |entry: JournalEntry| {
        let (done, outcome, executed) = (entry.done, entry.outcome, entry.executed);
        let state = match entry.direction {
            Direction::Up => RecordedState::Partial { done },
            Direction::Down => RecordedState::Undoing { done },
        };
        Applied { state, outcome, executed, checksum: None, ..applied.clone() }
    };
    Ok(match (recorded, entry.map(|entry| (entry.direction, entry))) {
        (Some(true), None | Some((Direction::Up, _))) => Some(applied),
        (None, Some((Direction::Up, _))) if tool.marks_begun() => None,
        (Some(false) | None, Some((Direction::Up, entry))) => Some(unfinished(entry)),
        (Some(_), Some((Direction::Down, entry))) => Some(unfinished(entry)),
        (Some(false), None) => Some(Applied { state: RecordedState::Failed, ..applied }),
        (None, _) => None,
    })
}

/// Reads a row with all its columns, as [`applied`] does.
///
/// # Errors
/// Fails as [`applied`] does.
pub(super) fn record<T: ToolTable>(tool: &T, row: &[Option<&str>]) -> Result<Option<HistoryRecord>, HistoryRowError> {
    let Some(applied) = applied(tool, row)? else {
        return Ok(None);
    };
    let text = |column: usize| row.get(column).copied().flatten().map(str::to_owned);
    let statements_done = match applied.state {
        RecordedState::Partial { done } | RecordedState::Undoing { done } => i64::try_from(done).ok(),
        RecordedState::Applied | RecordedState::Failed => None,
    };
    Ok(Some(HistoryRecord {
        checksum: applied.executed.map(|executed| executed.to_string()).or_else(|| text(1)),
        description: text(3).unwrap_or_default(),
        applied_at: text(4),
        duration_ms: text(5).and_then(|duration| duration.parse().ok()),
        statements_done,
        ..HistoryRecord::new(applied)
    }))
}
