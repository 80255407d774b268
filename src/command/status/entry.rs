//! A revision as `current` and `history` show it.

use serde::{Serialize, Serializer};

use crate::revision::RecordedState;
use crate::revision::history::HistoryRecord;
use crate::table::CellTone;

/// The state of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RevisionState {
    /// The revision is recorded, and the file is unchanged.
    Applied,
    /// The revision is in the directory and not recorded.
    #[default]
    Pending,
    /// The up migration stopped part way; some of its statements are done.
    Partial,
    /// The down migration stopped part way.
    Undoing,
    /// The tool of the history has recorded that the revision failed.
    Failed,
    /// The revision is recorded, but its file has another checksum than the applied one.
    Edited,
    /// The revision is recorded, but the directory has no file of it, though the directory has newer revisions.
    Missing,
    /// The revision is recorded, and newer than all revisions of the directory.
    Ahead,
}

impl RevisionState {
    /// Returns the colour tone of the state in a table.
    pub(super) fn tone(self) -> CellTone {
        match self {
            RevisionState::Applied => CellTone::Good,
            RevisionState::Pending | RevisionState::Ahead => CellTone::Open,
            RevisionState::Partial
            | RevisionState::Undoing
            | RevisionState::Failed
            | RevisionState::Edited
            | RevisionState::Missing => CellTone::Bad,
        }
    }

    /// Reports whether the revision is applied as a whole, as far as the history knows.
    pub(super) fn is_applied(self) -> bool {
        matches!(self, RevisionState::Applied | RevisionState::Edited)
    }

    /// Returns the name of the state in tables and in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            RevisionState::Applied => "applied",
            RevisionState::Pending => "pending",
            RevisionState::Partial => "partial",
            RevisionState::Undoing => "undoing",
            RevisionState::Failed => "failed",
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

/// The document that `current --json` and `history --json` print. Every key is always present.
#[derive(Serialize)]
pub(crate) struct StatusDocument<'a> {
    /// The database's name; for SQLite, the file's name.
    pub(crate) database: &'a str,
    /// The dialect: `postgresql` or `sqlite`.
    pub(crate) dialect: &'static str,
    /// For `history`: all revisions, oldest first in the order in which they are applied. For `current`: the revisions
    /// at which the database is; empty at base.
    pub(crate) revisions: &'a [RevisionEntry<'a>],
}

/// A revision in the documents of `current --json` and `history --json`. Unknown values are null: everything that comes
/// from the history table if the revision is not recorded there, and everything that comes from the directory if it has
/// no such file.
#[derive(Default, Serialize)]
pub(crate) struct RevisionEntry<'a> {
    /// The number as the file name spells it; without a file, as the history spells it.
    pub(crate) revision: &'a str,
    /// The description from the file name; without a file, from the history.
    pub(crate) description: &'a str,
    /// The state: `applied`, `pending`, `partial` (stopped part way), `undoing` (its down migration stopped part way),
    /// `failed` (the tool of the history has recorded that),
    /// `edited` (applied, but the file has changed), `missing` (applied, but the file is gone) or `ahead` (newer than
    /// the whole directory).
    pub(crate) state: RevisionState,
    /// The revisions on which it depends: the stated parents, or else the previous revision.
    pub(crate) parents: Option<Vec<&'a str>>,
    /// The name of the up file.
    pub(crate) file: Option<&'a str>,
    /// True for a head of the directory: no other revision of the directory depends on it.
    pub(crate) head: bool,
    /// The time at which a run last wrote the row, as RFC 3339 in UTC.
    pub(crate) applied_at: Option<&'a str>,
    /// The duration in milliseconds.
    pub(crate) duration_ms: Option<i64>,
    /// The host or pod that has applied the revision.
    pub(crate) applied_by: Option<&'a str>,
    /// The number of statements that are done.
    pub(crate) statements_done: Option<i64>,
    /// The number of statements of the script.
    pub(crate) statements_total: Option<i64>,
    /// The recorded checksum: of the whole file, or, of a partly applied one, of the part that is done.
    pub(crate) checksum: Option<&'a str>,
    /// The file name of the backup that was taken before.
    pub(crate) backup: Option<&'a str>,
    /// The version of Lockkeeper that has applied the revision.
    pub(crate) lockkeeper_version: Option<&'a str>,
    /// The position among the directory's scripts; `None` without a file.
    #[serde(skip)]
    pub(super) at: Option<usize>,
}

impl<'a> RevisionEntry<'a> {
    /// Adds the content of the revision's row. A row of an unfinished revision determines the state; `whole` is the
    /// state of a finished one.
    pub(super) fn recorded(self, record: &'a HistoryRecord, whole: RevisionState) -> RevisionEntry<'a> {
        let state = match record.row.state {
            RecordedState::Applied => whole,
            RecordedState::Partial { .. } => RevisionState::Partial,
            RecordedState::Undoing { .. } => RevisionState::Undoing,
            RecordedState::Failed => RevisionState::Failed,
        };
        RevisionEntry {
            state,
            applied_at: record.applied_at.as_deref(),
            duration_ms: record.duration_ms,
            applied_by: record.applied_by.as_deref(),
            statements_done: record.statements_done,
            statements_total: record.statements_total,
            checksum: record.checksum.as_deref(),
            backup: record.backup.as_deref(),
            lockkeeper_version: record.lockkeeper_version.as_deref(),
            ..self
        }
    }

    /// Returns the text of the state, with the number of done statements for an unfinished revision.
    pub(super) fn describe_state(&self) -> String {
        match (self.state, self.statements_done, self.statements_total) {
            (RevisionState::Partial | RevisionState::Undoing, Some(done), Some(total)) => {
                format!("{} ({done} of {total})", self.state.word())
            }
            _ => self.state.word().to_owned(),
        }
    }
}
