//! Reads rows of the history table.

use super::state;
use crate::dialect::Dialect;
use crate::layout::native::file_name::REPEATABLE;
use crate::layout::native::number;
use crate::revision::history::{ExistingHistory, HistoryRecord, HistoryRowError, JournalUse};
use crate::revision::journal::{JOINED_COLUMNS, JournalEntry};
use crate::revision::plan::StatementOutcome;
use crate::revision::{Applied, Checksum, Coverage, Direction, Fingerprint, RecordedState, Version};
use crate::sql::operator;

/// The number of columns of [`select`] before those of the journal.
const COLUMNS: usize = 5;
/// The number of columns of [`select_records`] before those of the journal.
const RECORD_COLUMNS: usize = 12;
/// The value in place of a state for the record of a repeatable script.
const REPEATABLE_STATE: &str = "repeatable";

/// Returns the query for the columns that plans need. A table of a release before `down_checksum` lacks that column.
pub(super) fn select(table: &ExistingHistory<'_>, journal: JournalUse) -> String {
    from(table, "") + &repeatable_rows(table, journal, "")
}

/// Returns the query for all columns, which begin with those of [`select`].
pub(super) fn select_records(table: &ExistingHistory<'_>, journal: JournalUse) -> String {
    let of = qualifier(table);
    let applied_at = applied_at(table.dialect, of);
    let more = format!(
        ", {of}description, {applied_at}, {of}duration_ms, {of}statements_total, {of}applied_by, {of}lockkeeper_version, {of}backup"
    );
    let none = ", NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    from(table, &more) + &repeatable_rows(table, journal, none)
}

/// Returns the query for the columns that plans need and more, joined with the journal if the table is read with it.
fn from(table: &ExistingHistory<'_>, more: &str) -> String {
    let (history, of, down) = (table.table, qualifier(table), down_checksum(table, qualifier(table)));
    let columns = format!("{of}revision, {of}checksum, {of}state, {of}statements_done, {down}{more}");
    match table.journal {
        None => format!("SELECT {columns} FROM {history}"),
        Some(journal) => format!(
            "SELECT {columns}, {} FROM {history} AS h LEFT JOIN {journal} AS j ON j.revision {} h.revision",
            JOINED_COLUMNS.join(", "),
            operator(table.dialect, "=")
        ),
    }
}

/// Returns the part of a query that adds the records of repeatable scripts, which the journal has; `more` are the values
/// of the further columns.
fn repeatable_rows(table: &ExistingHistory<'_>, journal: JournalUse, more: &str) -> String {
    let (Some(journal), JournalUse::WhenPresent) = (table.journal, journal) else {
        return String::new();
    };
    let start = match table.dialect {
        Dialect::Postgres => "pg_catalog.substr(j.revision, 1, 3)",
        Dialect::Sqlite => "substr(j.revision, 1, 3)",
    };
    format!(
        " UNION ALL SELECT j.revision, j.fingerprint, '{REPEATABLE_STATE}', j.statements_done, NULL{more}, {} FROM {journal} AS j WHERE {start} {} '{REPEATABLE}'",
        JOINED_COLUMNS.join(", "),
        operator(table.dialect, "=")
    )
}

/// Returns the text before the name of a column of the history.
fn qualifier(table: &ExistingHistory<'_>) -> &'static str {
    if table.journal.is_some() { "h." } else { "" }
}

fn down_checksum(table: &ExistingHistory<'_>, of: &str) -> String {
    match (table.lacks.contains(&"down_checksum"), table.dialect) {
        (false, _) => format!("{of}down_checksum"),
        (true, Dialect::Postgres) => "NULL::text".into(),
        (true, Dialect::Sqlite) => "NULL".into(),
    }
}

/// Returns the expression for the time of application, in RFC 3339 and UTC.
fn applied_at(dialect: Dialect, of: &str) -> String {
    match dialect {
        Dialect::Postgres => {
            format!("pg_catalog.to_char({of}applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        }
        Dialect::Sqlite => format!("{of}applied_at"),
    }
}

/// Reads a row of [`select`].
///
/// # Errors
/// Fails if the row has values that Lockkeeper does not write, or if it refers to the journal and the query has not
/// joined it.
pub(super) fn decode(row: &[Option<&str>]) -> Result<Applied, HistoryRowError> {
    decode_with(row, row.get(COLUMNS..).unwrap_or_default())
}

/// Reads a row that begins with the columns of [`select`]; `journal` has the columns of the journal, if they were asked
/// for.
fn decode_with(row: &[Option<&str>], journal: &[Option<&str>]) -> Result<Applied, HistoryRowError> {
    let text = |column: usize| row.get(column).copied().flatten();
    let (revision, state) = (text(0).unwrap_or_default(), text(2).unwrap_or_default());
    let foreign = || {
        let sentence =
            format!("the history table holds a row that is not ours: revision \"{revision}\", state \"{state}\"");
        HistoryRowError::Foreign(sentence)
    };
    let sum = text(1).ok_or_else(foreign)?;
    if state == REPEATABLE_STATE && !journal.is_empty() {
        return Ok(Applied { checksum: Checksum::parse::<32>(sum), ..Applied::new(Version::repeatable(revision)) });
    }
    let id = number::parse(revision).ok_or_else(foreign)?;
    let written: i64 = text(3).and_then(|written| written.parse().ok()).ok_or_else(foreign)?;
    let progress = match state {
        state::APPLIED => None,
        state::EARLIER_PARTIAL => Some(earlier_entry(Direction::Up, written, sum).ok_or_else(foreign)?),
        state::EARLIER_UNDOING => Some(earlier_entry(Direction::Down, written, sum).ok_or_else(foreign)?),
        state::PARTIAL | state::UNDOING if journal.is_empty() => return Err(HistoryRowError::InJournal),
        state::PARTIAL => Some(entry(Direction::Up, &id, journal)?),
        state::UNDOING => Some(entry(Direction::Down, &id, journal)?),
        _ => return Err(foreign()),
    };
    let down = text(4).and_then(Checksum::parse::<32>);
    Ok(match progress {
        None => Applied { checksum: Checksum::parse::<32>(sum), down, ..Applied::new(id) },
        Some(Progress { direction, done, outcome, executed }) => {
            let state = match direction {
                Direction::Up => RecordedState::Partial { done },
                Direction::Down => RecordedState::Undoing { done },
            };
            Applied { id, checksum: None, executed, down, state, outcome, coverage: Coverage::OneRevision }
        }
    })
}

/// The progress of a script that is not done.
struct Progress {
    direction: Direction,
    done: usize,
    outcome: StatementOutcome,
    /// `None` if the recorded one cannot be read.
    executed: Option<Fingerprint>,
}

/// Reads the progress from the journal.
fn entry(direction: Direction, id: &Version, journal: &[Option<&str>]) -> Result<Progress, HistoryRowError> {
    let found = JournalEntry::decode(journal).filter(|entry| entry.direction == direction);
    let JournalEntry { done, outcome, executed, .. } = found.ok_or_else(|| {
        HistoryRowError::Foreign(format!(
            "the history says that the journal has the progress of revision {id}, and the journal has no such row"
        ))
    })?;
    Ok(Progress { direction, done, outcome, executed })
}

/// Reads the progress from a row of an earlier release. A negative number means that a statement has begun and is not
/// done: that statement is counted in, and the sign is turned.
fn earlier_entry(direction: Direction, written: i64, sum: &str) -> Option<Progress> {
    let outcome = if written < 0 { StatementOutcome::Open } else { StatementOutcome::Known };
    let done = if written < 0 { -1 - written } else { written };
    Some(Progress { direction, done: usize::try_from(done).ok()?, outcome, executed: Fingerprint::parse(sum) })
}

/// Reads a row of [`select_records`].
///
/// # Errors
/// Fails as [`decode`] does.
pub(super) fn decode_record(row: &[Option<&str>]) -> Result<HistoryRecord, HistoryRowError> {
    let applied = decode_with(row, row.get(RECORD_COLUMNS..).unwrap_or_default())?;
    let foreign = || {
        HistoryRowError::Foreign(format!("the history table holds a row that is not ours: revision \"{}\"", applied.id))
    };
    if applied.id.is_repeatable() {
        let checksum = applied.checksum.map(|sum| sum.to_string());
        return Ok(HistoryRecord { checksum, ..HistoryRecord::new(applied) });
    }
    let text = |column: usize| row.get(column).copied().flatten().map(str::to_owned).ok_or_else(foreign);
    let number = |column: usize| text(column)?.parse::<i64>().map_err(|_| foreign());
    let statements_done = match applied.state {
        RecordedState::Applied | RecordedState::Failed => number(3)?,
        RecordedState::Partial { done } | RecordedState::Undoing { done } => i64::try_from(done).unwrap_or(i64::MAX),
    };
    Ok(HistoryRecord {
        checksum: Some(applied.executed.map_or_else(|| text(1), |executed| Ok(executed.to_string()))?),
        statements_done: Some(statements_done),
        description: text(5)?,
        applied_at: Some(text(6).unwrap_or_default()),
        duration_ms: Some(number(7)?),
        statements_total: Some(number(8)?),
        applied_by: Some(text(9)?),
        lockkeeper_version: Some(text(10)?),
        backup: text(11).ok(),
        row: applied.clone(),
    })
}
