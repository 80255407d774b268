//! A backup to take: the database, the change that follows, and what is known of both beforehand.

use super::manifest::GuardedChange;
use crate::config::BackupPolicy;
use crate::context::RunContext;
use crate::database::Locked;
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan;
use crate::stage::command_run::LockHold;

/// The revisions between which a backup is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevisionRange {
    /// The newest revision before the change; `None` if no revision is applied.
    pub(crate) from: Option<String>,
    /// The heads that the change leads to; `None` if it leads to none or no change follows.
    pub(crate) to: Option<String>,
    /// The guarded command that makes the change, if there is one: its tool has revisions of its own.
    pub(crate) guarded: Option<GuardedChange>,
}

impl RevisionRange {
    /// Returns the newest revision before the change, of Lockkeeper's own history or of the guarded command's tool.
    pub(super) fn before(&self) -> Option<&str> {
        let guarded = self.guarded.as_ref().and_then(|change| change.from_revision.as_deref());
        self.from.as_deref().or(guarded)
    }

    /// Returns whether a change follows the backup.
    pub(super) fn leads_somewhere(&self) -> bool {
        self.to.is_some() || self.guarded.is_some()
    }

    /// Returns the range that begins at the newest revision of a locked database. The history is read under the lock,
    /// because the previous holder of the lock may have changed it.
    ///
    /// # Errors
    /// Fails when the session is lost, and when the history table is not Lockkeeper's.
    pub(crate) async fn from_newest(locked: &mut Locked, to: Option<String>) -> Result<RevisionRange, Failure> {
        let applied = locked.database().history().await;
        let applied = applied.map_err(|fault| Failure::new(Stage::Backup, Cause::Database(fault)))?;
        let from = plan::newest(&applied).map(ToString::to_string);
        Ok(RevisionRange { from, to, guarded: None })
    }
}

/// The facts that are read from the database before it is backed up.
pub(super) struct BackupSubject {
    /// The number of bytes that the backup may need at most.
    pub(super) size: u64,
    /// The id of the database; `None` if it has none.
    pub(super) database_id: Option<String>,
}

/// A backup to take.
pub(super) struct BackupWork<'a> {
    pub(super) hold: LockHold<'a>,
    pub(super) policy: &'a BackupPolicy,
    pub(super) range: &'a RevisionRange,
    pub(super) subject: &'a BackupSubject,
    pub(super) context: &'a RunContext,
}
