//! A revision as `current` and `history` show it.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::database::HistoryRecord;
use crate::revision::RecordedState;
use crate::table::CellTone;

/// How a revision stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionState {
    /// Recorded, and the file is what was applied.
    Applied,
    /// In the folder, not recorded.
    #[default]
    Pending,
    /// Stopped part way, statements of it are done.
    Partial,
    /// Its down migration stopped part way.
    Undoing,
    /// Recorded, but the file is another than what was applied.
    Edited,
    /// Recorded, but the folder has no file of it, though it has newer ones.
    Missing,
    /// Recorded, and newer than everything in the folder.
    Ahead,
}

impl RevisionState {
    pub(super) fn tone(self) -> CellTone {
        match self {
            RevisionState::Applied => CellTone::Good,
            RevisionState::Pending | RevisionState::Ahead => CellTone::Open,
            RevisionState::Partial | RevisionState::Undoing | RevisionState::Edited | RevisionState::Missing => {
                CellTone::Bad
            }
        }
    }

    /// Wholly applied, as far as the history knows.
    pub(super) fn is_applied(self) -> bool {
        matches!(self, RevisionState::Applied | RevisionState::Edited)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            RevisionState::Applied => "applied",
            RevisionState::Pending => "pending",
            RevisionState::Partial => "partial",
            RevisionState::Undoing => "undoing",
            RevisionState::Edited => "edited",
            RevisionState::Missing => "missing",
            RevisionState::Ahead => "ahead",
        }
    }
}

impl Serialize for RevisionState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The document that `current --json` and `history --json` print. Every key is always there.
#[derive(Serialize)]
pub struct StatusDocument<'a> {
    /// The database's name; for SQLite the file's.
    pub database: &'a str,
    /// `postgresql` or `sqlite`.
    pub dialect: &'static str,
    /// `history`: all of them, oldest first in the order in which they are applied. `current`: those where the
    /// database is; none when it is at base.
    pub revisions: &'a [RevisionEntry<'a>],
}

/// A revision in the documents of `current --json` and `history --json`. What is not known is null: all that comes
/// from the history table as long as the revision is not recorded there, all that comes from the folder when it has
/// no such file.
#[derive(Default, Serialize)]
pub struct RevisionEntry<'a> {
    /// The number as the file's name spells it; without a file, as the history does.
    pub revision: &'a str,
    /// Words of the file's name; without a file, of the history.
    pub description: &'a str,
    /// `applied`, `pending`, `partial` (stopped part way), `undoing` (its down migration stopped part way), `edited` (applied,
    /// but the file has changed), `missing` (applied, but the file is gone) or `ahead` (newer than the whole folder).
    pub state: RevisionState,
    /// What it rests on: the stated parents, or the previous revision.
    pub parents: Option<Vec<&'a str>>,
    /// The name of the file that applies it.
    pub file: Option<&'a str>,
    /// Whether it is a head of the folder: nothing in the folder rests on it.
    pub head: bool,
    /// RFC 3339, in UTC.
    pub applied_at: Option<&'a str>,
    pub duration_ms: Option<i64>,
    /// Host or pod.
    pub applied_by: Option<&'a str>,
    pub statements_done: Option<i64>,
    pub statements_total: Option<i64>,
    /// As it was recorded; of what is done, when that is a part.
    pub checksum: Option<&'a str>,
    /// The file name of the backup that was taken before.
    pub backup: Option<&'a str>,
    /// The version that has applied it.
    pub lockkeeper_version: Option<&'a str>,
    /// Position in the folder.
    #[serde(skip)]
    pub(super) at: Option<usize>,
}

impl<'a> RevisionEntry<'a> {
    /// With what its row says; one that is unfinished stands so whatever its file is.
    pub(super) fn recorded(self, record: &'a HistoryRecord, whole: RevisionState) -> RevisionEntry<'a> {
        let state = match record.row.state {
            RecordedState::Applied => whole,
            RecordedState::Partial { .. } => RevisionState::Partial,
            RecordedState::Undoing { .. } => RevisionState::Undoing,
        };
        RevisionEntry {
            state,
            applied_at: Some(&record.applied_at),
            duration_ms: Some(record.duration_ms),
            applied_by: Some(&record.applied_by),
            statements_done: Some(record.statements_done),
            statements_total: Some(record.statements_total),
            checksum: Some(&record.checksum),
            backup: record.backup.as_deref(),
            lockkeeper_version: Some(&record.lockkeeper_version),
            ..self
        }
    }

    pub(super) fn stands(&self) -> String {
        match (self.state, self.statements_done, self.statements_total) {
            (RevisionState::Partial | RevisionState::Undoing, Some(done), Some(total)) => {
                format!("{} ({done} of {total})", self.state.word())
            }
            _ => self.state.word().to_owned(),
        }
    }
}

/// `2026-01-12 09:30:00Z`; anything that is no time as it is.
pub(super) fn seconds(time: &str) -> String {
    match OffsetDateTime::parse(time, &Rfc3339) {
        Ok(_) => format!("{} {}Z", &time[..10], &time[11..19]),
        Err(_) => time.to_owned(),
    }
}

/// `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 2 min`
pub(super) fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (3499, "3.4 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (125_900, "2 min 5 s"),
            (3_720_000, "1 h 2 min"),
        ] {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(seconds("2026-01-12T09:30:01.123Z"), "2026-01-12 09:30:01Z");
        assert_eq!(seconds("yesterday"), "yesterday");
    }
}
