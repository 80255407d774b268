//! The state in which a failure has left the database, and the advice for it.

use std::path::Path;

use super::{BackupDisposition, Cause, Failure, RestoreError, Stage, TransferError};
use crate::database::{ApplyError, DatabaseErrorKind};
use crate::revision::Direction;

/// The state after a script that could not be read to its end.
const UNREADABLE: &str = "a transaction was rolled back, statements outside of one stay and are in the history";

impl Failure {
    /// Returns a sentence that says in which state the run has left the database.
    pub(crate) fn state(&self) -> String {
        match &self.backup_disposition {
            BackupDisposition::PutBack { backup, kept: failed_database } => {
                let note =
                    failed_database.iter().map(|path| format!("; the file before is kept as {}", path.display()));
                format!(
                    "the backup {} was put back: the database is as it was before this run{}",
                    backup.display(),
                    note.collect::<String>()
                )
            }
            BackupDisposition::NotPutBack { backup, why: error } => {
                format!("{}; the backup {} could not be put back: {error}", self.describe_state(), backup.display())
            }
            BackupDisposition::Nothing | BackupDisposition::Kept(_) | BackupDisposition::External(_) => {
                self.describe_state()
            }
        }
    }

    /// Returns a sentence that says which changes of this run remain, without regard to the backup.
    fn describe_state(&self) -> String {
        if let Some(state) = self.whole_state() {
            return state;
        }
        let revisions = self.done.revisions.as_slice();
        let step_state = self.step_state();
        let done = self.done.direction.done();
        let revision_state = match (revisions, self.done.direction) {
            ([], _) if self.done.unproven > 0 => format!("no revision is known to be {done}"),
            ([], _) if step_state.is_empty() => "nothing was changed".into(),
            ([], _) => format!("no revision was {done} before it"),
            ([revision], Direction::Up) if self.done.repeatables > 0 => format!("{revision} was applied and kept"),
            ([revision], Direction::Up) => format!("revision {revision} was applied and kept"),
            ([.., last], Direction::Up) => {
                format!("{} were applied and kept, the last is {last}", self.done.count())
            }
            ([revision], Direction::Down) => format!("revision {revision} was undone before"),
            ([.., last], Direction::Down) => {
                format!("{} revisions were undone before, the last is {last}", self.done.revisions.len())
            }
        };
        let unproven_state = self.unproven_state();
        let separator = if step_state.is_empty() { "" } else { "; " };
        format!("{step_state}{separator}{revision_state}{unproven_state}")
    }

    /// Returns the state of the step that failed; empty if nothing is to be said about it.
    fn step_state(&self) -> String {
        match &self.cause {
            // Printing a script runs nothing.
            Cause::Step { .. } if self.stage == Stage::Plan => String::new(),
            Cause::Step { error: broken, .. } => match broken {
                ApplyError::Partial { done, .. }
                | ApplyError::Unrecorded { done, .. }
                | ApplyError::Yielded { done, .. }
                | ApplyError::Open { done, .. }
                | ApplyError::Unfinished { done, .. }
                | ApplyError::PartialViolations { done, .. } => {
                    let verb = if *done == 1 { "is" } else { "are" };
                    format!("{done} of its statements {verb} already committed")
                }
                ApplyError::NotBegun(_) => String::new(),
                ApplyError::ResumeEdited { .. } => "nothing was changed, what an earlier run did stays".into(),
                ApplyError::Unknown(_) => "whether its transaction was committed is not known".into(),
                ApplyError::ChangedOnDisk | ApplyError::Text(_) => UNREADABLE.into(),
                _ => "it was rolled back".into(),
            },
            Cause::Halted { .. } => "none of its statements is recorded as done".into(),
            Cause::Stopped(_) if self.stage == Stage::Migrate => "the running revision was rolled back".into(),
            _ if self.stage == Stage::Transfer && !self.done.revisions.is_empty() => "no row was transferred".into(),
            _ => String::new(),
        }
    }

    /// Returns a part of a sentence about the revisions that were committed and are not known to be durable.
    fn unproven_state(&self) -> String {
        match (self.done.unproven, self.done.revisions.as_slice()) {
            (0, _) => String::new(),
            (1, []) => "; one was committed, and may be lost if the server has crashed".into(),
            (1, _) => "; one more was committed, and may be lost if the server has crashed".into(),
            (count, []) => format!("; {count} were committed, and may be lost if the server has crashed"),
            (count, _) => format!("; {count} more were committed, and may be lost if the server has crashed"),
        }
    }

    /// Returns the state if it does not depend on the revisions that were done before; `None` otherwise.
    fn whole_state(&self) -> Option<String> {
        let state = match &self.cause {
            Cause::Pending { .. } => "nothing was changed",
            Cause::Exec { .. } => "the schema is up to date",
            Cause::Panic(_) => "the history says how far it got",
            Cause::Overdue { .. } => {
                "what ran was abandoned: the database rolls back what is not committed, the history has the rest"
            }
            Cause::Stopped(_) if self.stage == Stage::Exec => "everything was done, the program was not started",
            Cause::Guard(failure) => return Some(failure.state()),
            Cause::Late { done, .. } => return Some(format!("everything was done: {done}")),
            Cause::Rehearsal { .. } => "production was not touched: nothing was changed",
            Cause::Restore(RestoreError::Unknown(_)) => {
                "either all or nothing was done: both databases are there, under the new or the old names"
            }
            Cause::Restore(RestoreError::UnknownInPlace(_)) => {
                "either the whole backup was restored in place or nothing of it"
            }
            Cause::Restore(_) => "the database is as it was",
            Cause::Stopped(_) if self.stage == Stage::Restore => "the database is as it was",
            Cause::Transfer(TransferError::Uncommitted(ApplyError::Unknown(_))) => {
                "either all rows were transferred or none"
            }
            Cause::Transfer(TransferError::LeftOut { .. }) => "all that was transferred is kept",
            Cause::Unrecorded(ApplyError::Unknown(_)) => "whether the history was changed is not known",
            // No script ran, and the history was written.
            Cause::Database(_) | Cause::Mismatch(_)
                if self.stage == Stage::Verify && self.done.revisions.is_empty() =>
            {
                "the history was changed"
            }
            _ => return None,
        };
        Some(state.into())
    }

    /// Returns the advice for the failure: one thing to try, and the command that restores the backup if there is one.
    pub(crate) fn advice(&self) -> String {
        let may_have_done = !self.done.revisions.is_empty()
            || self.done.unproven > 0
            || matches!(self.cause, Cause::Step { error: ApplyError::Unknown(_), .. });
        let advice = match &self.cause {
            _ if self.baseline.is_some() => self.baseline.clone().unwrap_or_default(),
            _ if self.is_fixable_down_script() => {
                "correct the file, accept it with lockkeeper repair, and run again".into()
            }
            Cause::Transfer(TransferError::Differs(_)) if self.stage == Stage::Compare => {
                "look at the rows that are named; a transfer into empty tables makes both sides equal".into()
            }
            cause => cause.advice(),
        };
        let advice = match &self.done.rerun_target {
            Some(rerun_advice) if may_have_done => format!("{advice}; now as {rerun_advice}"),
            _ => advice,
        };
        match &self.backup_disposition {
            BackupDisposition::Kept(backup) | BackupDisposition::NotPutBack { backup, .. } => {
                format!("{advice}; or go back: lockkeeper restore {}", shell_quoted(backup))
            }
            BackupDisposition::External(way_back) => format!("{advice}; or go back: {way_back}"),
            BackupDisposition::PutBack { .. } if matches!(self.cause, Cause::Guard(_)) => advice,
            // The database is as before the run: only the file is left to correct.
            BackupDisposition::PutBack { .. } => {
                self.baseline.clone().unwrap_or_else(|| "correct the file and run again".into())
            }
            BackupDisposition::Nothing => advice,
        }
    }

    /// Reports whether a down script is wrong. The history has its checksum, so the corrected file has to be accepted
    /// by a repair.
    fn is_fixable_down_script(&self) -> bool {
        let is_wrong = match &self.cause {
            Cause::Step { error: ApplyError::Statement { fault, .. } | ApplyError::Commit(fault), .. } => {
                matches!(fault.kind, DatabaseErrorKind::Statement | DatabaseErrorKind::ServerFile)
            }
            Cause::Step { error: ApplyError::Partial { fault, done: 0, .. }, .. } => {
                matches!(fault.kind, DatabaseErrorKind::Statement | DatabaseErrorKind::ServerFile)
            }
            Cause::Step { error: ApplyError::Violations(_), .. } => true,
            _ => false,
        };
        is_wrong && self.done.direction == Direction::Down
    }

    /// Reports whether changes of this run remain or may remain, which the user may want to undo. `resumed` is the
    /// number of statements of the first script that an earlier run had done: this run's backup contains their effects.
    pub(crate) fn leaves_something(&self, resumed: Option<usize>) -> bool {
        use ApplyError::{ChangedOnDisk, Partial, PartialViolations, Text, Unfinished, Unknown, Unrecorded};
        match &self.cause {
            Cause::Stopped(_) | Cause::Halted { .. } => false,
            Cause::Step { error: Partial { done, .. }, .. }
                if self.done.revisions.is_empty() && resumed == Some(*done) =>
            {
                false
            }
            Cause::Step {
                error:
                    Partial { .. }
                    | PartialViolations { .. }
                    | Unfinished { .. }
                    | Unrecorded { .. }
                    | Unknown(_)
                    | ChangedOnDisk
                    | Text(_),
                ..
            } => true,
            _ => !self.done.revisions.is_empty() || self.done.unproven > 0,
        }
    }
}

/// Quotes a path for a shell where necessary.
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    match text.chars().all(|c| c.is_alphanumeric() || "/._-+:@%,=".contains(c)) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
