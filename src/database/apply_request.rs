//! The script that is about to run: what both databases need to know of it, and how far it has come.

use super::durability::CommitMode;
use super::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::revision::history::{Elapsed, HistoryRow};
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::statements::Window;
use crate::revision::{Batch, Batches, DirectedScript, Fingerprint, Migration, Policy, Version};
use crate::signal::Cancel;

/// A script of a revision that is about to run.
pub struct ApplyRequest<'a> {
    /// Revision of the script.
    pub(crate) migration: &'a Migration,
    /// Revision before it in the directory; `None` for the first one.
    pub(crate) previous: Option<&'a Version>,
    /// Revision identifier as the history spells it, or will spell it.
    pub(crate) id: &'a Version,
    /// Direction and section of the script.
    pub(crate) script: DirectedScript<'a>,
    /// Statements of the script, read in batches.
    pub(crate) batches: Batches,
    /// Progress of a script without a transaction, from an earlier run or from this one; `None` if there is none.
    pub(crate) resume: Option<Resume>,
    /// File name of the backup that was taken before the run.
    pub(crate) backup: Option<&'a str>,
    /// Rules of the layout.
    pub(crate) policy: &'a Policy,
    /// Commit that the script needs.
    pub(crate) commit: CommitMode,
    /// Request to end the run.
    pub(crate) cancel: &'a Cancel,
}

/// The part of a script that an earlier run has done.
#[derive(Default)]
pub(crate) struct ResumePoint {
    /// Number of statements done.
    pub(crate) done: usize,
    /// Statements among them whose effect ended with that run's session (SET, ATTACH, ...), in their order: the
    /// following statements may depend on it.
    pub(crate) settings: Vec<Batch>,
}

impl ApplyRequest<'_> {
    /// Returns the history row of this revision; `executed` is the fingerprint of the text that was executed.
    pub(crate) fn row(&self, executed: Fingerprint, progress: RecordedProgress, took: Elapsed) -> HistoryRow<'_> {
        HistoryRow {
            direction: self.script.direction,
            id: self.id,
            previous: self.previous,
            migration: self.migration,
            checksum: self.script.section.checksum,
            executed,
            down: self.script.down,
            progress,
            mode: self.script.section.options.mode,
            backup: self.backup,
            elapsed: took,
        }
    }

    /// Reads past the statements that an earlier run has done, and compares their fingerprint.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ResumeEdited`] if they were edited. Also fails if the script cannot be read.
    pub(crate) fn skip_done(&mut self) -> Result<ResumePoint, ApplyError> {
        let Some(Resume { done, executed, .. }) = self.resume else {
            return Ok(ResumePoint::default());
        };
        let settings = self.batches.skip(done, executed)?.ok_or(ApplyError::ResumeEdited { done })?;
        Ok(ResumePoint { done, settings })
    }

    /// Checks before each message whether the run is to end: a cancel request that arrives between two statements
    /// cancels nothing on the server.
    ///
    /// # Errors
    /// The run is to end.
    pub(crate) fn unless_stopped(&self) -> Result<(), DatabaseError> {
        match self.cancel.reason() {
            Some(_) => Err(DatabaseError::new(DatabaseErrorKind::Cancelled, "it had not begun")),
            None => Ok(()),
        }
    }

    /// Returns the progress of a script without a transaction after this batch; `done` counts the statements.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ChangedOnDisk`], found after the last batch.
    pub(crate) fn reached(&self, batch: &Batch, done: usize) -> Result<RecordedProgress, ApplyError> {
        match batch.window {
            Window::Partial => Ok(RecordedProgress::Part { done, total: self.script.statements }),
            Window::Last => self.unchanged().map(|()| RecordedProgress::Whole { statements: done }),
        }
    }

    /// Notes that `done` statements are done and recorded, up to where the script was read.
    pub(crate) fn advance(&mut self, done: usize) {
        let executed = self.batches.fingerprint();
        self.resume = Some(Resume { done, executed, outcome: StatementOutcome::Known });
    }

    /// Checks that the script, which has been read to its end, is the one that was checked before the run began.
    ///
    /// # Errors
    /// Fails with [`ApplyError::ChangedOnDisk`] if the fingerprints differ.
    pub(crate) fn unchanged(&self) -> Result<(), ApplyError> {
        match self.batches.fingerprint() == self.script.section.fingerprint {
            true => Ok(()),
            false => Err(ApplyError::ChangedOnDisk),
        }
    }
}
