//! The failure of a run: its stage, its cause, the state of the database, and the advice.

mod advice;
mod backup;
mod display;
mod export;
mod failure_state;
mod guard;
mod transfer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use backup::{BackupDisposition, BackupError, RestoreError};
pub(crate) use export::ExportError;
pub(crate) use guard::{CommandEffect, GuardError, GuardFailure};
pub(crate) use transfer::{TransferError, counted};

use crate::database::{ApplyError, DatabaseError};
use crate::revision::Completed;
use crate::revision::other_tools::{Adoption, AdoptionError, LayoutByTable};
use crate::revision::plan::{PlanError, ScriptCount};
use crate::signal::CancelReason;

/// The stages of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading flags and environment.
    Configure,
    /// Reading the migration directory.
    Load,
    /// Waiting for the database.
    Wait,
    /// Making the plan.
    Plan,
    /// Comparing the rows of two databases.
    Compare,
    /// Writing the rows of a database to a file.
    Export,
    /// Reading an exported file.
    Import,
    /// Taking the lock.
    Lock,
    /// Taking the backup.
    Backup,
    /// Running the plan on a copy made of the backup.
    Rehearse,
    /// Restoring a backup over the current database.
    Restore,
    /// Running the migrations.
    Migrate,
    /// Changing the history without running migrations.
    Record,
    /// Copying the rows of another database.
    Transfer,
    /// Reading the history again.
    Verify,
    /// Starting the program after `--`.
    Exec,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Configure => "configuration",
            Stage::Load => "migrations",
            Stage::Wait => "wait",
            Stage::Plan => "plan",
            Stage::Compare => "compare",
            Stage::Export => "export",
            Stage::Import => "import",
            Stage::Lock => "lock",
            Stage::Backup => "backup",
            Stage::Rehearse => "rehearsal",
            Stage::Restore => "restore",
            Stage::Migrate => "migrate",
            Stage::Record => "record",
            Stage::Transfer => "transfer",
            Stage::Verify => "verify",
            Stage::Exec => "exec",
        })
    }
}

/// A failed run.
#[derive(Debug)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// The cause.
    pub cause: Cause,
    /// The revisions that this run has completed before.
    pub done: Completed,
    /// The use that was made of the backup.
    pub backup_disposition: BackupDisposition,
    /// The advice to record existing tables as a baseline, when a statement of the first revision failed because of
    /// them.
    pub baseline: Option<String>,
}

/// The cause of a failure.
#[derive(Debug)]
pub enum Cause {
    /// The command line is wrong.
    Usage(String),
    /// No revision matches the target.
    Target(String),
    /// A setting is wrong.
    Config(String),
    /// A file with a secret cannot be read.
    Secret(String),
    /// The migration directory does not exist or has no migrations.
    NoMigrations(String),
    /// The directory for new migrations does not exist.
    NoDirectory(PathBuf),
    /// A new migration, or the directory for it, cannot be written.
    Unwritten {
        /// The path of the file or directory.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The problems of the migrations, one line each.
    Invalid(Vec<String>),
    /// The database was not ready within the wait timeout.
    NeverReady {
        /// The server and database, without secrets.
        target: String,
        /// The error of the last attempt.
        fault: DatabaseError,
        /// The number of attempts.
        attempts: u32,
        /// The duration of the wait.
        waited: Duration,
    },
    /// The database reported an error.
    Database(DatabaseError),
    /// Another run held the lock for the whole time.
    Held {
        /// A description of the session that holds the lock.
        holder: String,
        /// The duration of the wait.
        waited: Duration,
    },
    /// No verified backup could be taken.
    Backup(BackupError),
    /// The backup could not be restored.
    Restore(RestoreError),
    /// The rows could not be transferred.
    Transfer(TransferError),
    /// The rows could not be exported, or an exported file could not be read.
    Export(ExportError),
    /// The rehearsal on the backup failed after a number of steps.
    Rehearsal {
        /// The cause of the failure on the copy.
        cause: Box<Cause>,
        /// The number of steps that ran.
        done: usize,
    },
    /// A step of the plan failed.
    Step {
        /// The name of the script.
        file: String,
        /// The error of the step.
        error: ApplyError,
    },
    /// A guarded command failed.
    Guard(Box<GuardFailure>),
    /// The history could not be changed by a command that runs no migration.
    Unrecorded(ApplyError),
    /// The database has the history tables of these tools, whose layouts fit the directory. A single one is no failure:
    /// the run begins again with that layout.
    Layout(Vec<LayoutByTable>),
    /// The user has not agreed.
    Declined {
        /// The reason.
        reason: &'static str,
        /// The advice for the user.
        instead: &'static str,
    },
    /// The database has these revisions, which the directory does not have.
    Ahead(Vec<String>),
    /// The verification found these differences, one line each.
    Mismatch(Vec<String>),
    /// Revisions are pending.
    Pending {
        /// The number of pending revisions and repeatable scripts.
        steps: ScriptCount,
    },
    /// `wait --migrated`: revisions are still pending when the time is up.
    NotMigrated {
        /// The number of pending revisions and repeatable scripts.
        steps: ScriptCount,
        /// The duration of the wait.
        waited: Duration,
    },
    /// The run was stopped by a signal or the deadline.
    Stopped(CancelReason),
    /// The run was stopped after the work was done.
    Late {
        /// The reason for the stop.
        reason: CancelReason,
        /// A description of the completed work.
        done: String,
    },
    /// The run was stopped during the first statement of a script without a transaction.
    Halted {
        /// The name of the script.
        file: String,
        /// The reason for the stop.
        reason: CancelReason,
        /// A description of the remains of the statement, if there are any.
        left: Option<String>,
    },
    /// The run was stopped, but its work did not end within the grace period.
    Overdue {
        /// The reason for the stop.
        reason: CancelReason,
        /// The grace period.
        grace: Duration,
    },
    /// The answer could not be written to standard output completely.
    Output(io::Error),
    /// The program after `--` could not be started.
    Exec {
        /// The name of the program.
        program: String,
        /// The error of the system.
        error: io::Error,
    },
    /// Another tool has migrated this database, and Lockkeeper has no history in it.
    Foreign(Box<Adoption>),
    /// The history of another tool could not be adopted.
    Adoption(AdoptionError),
    /// An invariant of the code was violated.
    Internal(String),
    /// The code panicked, with this message.
    Panic(String),
}

impl Cause {
    /// Makes the cause of the errors of a plan: a single wrong target is [`Cause::Target`], everything else
    /// [`Cause::Invalid`].
    pub(crate) fn from_plan_errors(errors: &[PlanError]) -> Cause {
        let is_target_error = |error: &&PlanError| matches!(error, PlanError::Target(_));
        match errors.iter().find(is_target_error) {
            Some(error) if errors.len() == 1 => Cause::Target(error.to_string()),
            _ => Cause::Invalid(errors.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Failure {
    /// Makes a failure of a run that has completed no revision and has no backup.
    pub fn new(stage: Stage, cause: Cause) -> Failure {
        Failure {
            stage,
            cause,
            done: Completed::default(),
            backup_disposition: BackupDisposition::Nothing,
            baseline: None,
        }
    }

    /// Reports whether the session was lost, the server was shutting down or had no room for the second session, or
    /// another connection kept the SQLite file busy while this run planned.
    pub(crate) fn is_unready(&self) -> bool {
        use crate::database::DatabaseErrorKind::{Busy, Exhausted, Full, Lost, Starting, Unreachable};
        match &self.cause {
            Cause::Database(error) if error.kind == Busy => self.stage == Stage::Plan,
            Cause::Database(error) => matches!(error.kind, Lost | Starting | Unreachable | Exhausted | Full),
            _ => false,
        }
    }

    /// Reports whether the session was lost.
    pub(crate) fn is_session_lost(&self) -> bool {
        matches!(&self.cause, Cause::Database(error) if error.kind == crate::database::DatabaseErrorKind::Lost)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)
    }
}

impl std::error::Error for Failure {}
