//! A failure: in which stage, why, what stands, and what to try.

mod advice;
mod backup;
mod display;
mod export;
mod failure_state;
mod transfer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use backup::{BackupDisposition, BackupError, RestoreError};
pub use export::ExportError;
pub use transfer::{TransferError, counted};

use crate::database::{ApplyError, DatabaseError};
use crate::exit::Exit;
use crate::revision::Completed;
use crate::revision::other_tools::Adoption;
use crate::revision::plan::PlanError;
use crate::signal::CancelReason;

/// The rooms of the house, in the order of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Configure,
    Load,
    Wait,
    Plan,
    /// Reading the rows of two databases.
    Compare,
    /// Writing the rows of a database into a file.
    Export,
    /// Reading such a file.
    Import,
    Lock,
    Backup,
    Rehearse,
    /// Putting a backup over the current database.
    Restore,
    Migrate,
    /// Changing the history without migrating.
    Record,
    /// Copying the rows of another database.
    Transfer,
    Verify,
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

/// Why a run did not settle.
#[derive(Debug)]
pub struct Failure {
    pub stage: Stage,
    pub cause: Cause,
    /// What this run has done before.
    pub done: Completed,
    pub aftermath: BackupDisposition,
    /// How to record what was there before the first revision, when a statement failed because of that.
    pub baseline: Option<String>,
}

/// The causes.
#[derive(Debug)]
pub enum Cause {
    Usage(String),
    /// A target that no revision fits.
    Target(String),
    Config(String),
    /// A secret file that cannot be read.
    Secret(String),
    NoMigrations(String),
    /// There is no folder to write new migrations into.
    NoFolder(PathBuf),
    /// A new migration, or the folder that it belongs into.
    Unwritten {
        path: PathBuf,
        error: io::Error,
    },
    /// Everything that is wrong with the migrations, a line each.
    Invalid(Vec<String>),
    NeverReady {
        target: String,
        fault: DatabaseError,
        attempts: u32,
        waited: Duration,
    },
    Database(DatabaseError),
    Held {
        holder: String,
        waited: Duration,
    },
    Backup(BackupError),
    Restore(RestoreError),
    Transfer(TransferError),
    Dump(ExportError),
    /// The rehearsal on the backup failed, after so many steps that ran.
    Rehearsal {
        cause: Box<Cause>,
        done: usize,
    },
    Step {
        file: String,
        broken: ApplyError,
    },
    /// The history was to be changed without running anything.
    Unrecorded(ApplyError),
    /// Nobody has agreed; why, and what can be done instead.
    Declined {
        why: &'static str,
        instead: &'static str,
    },
    Ahead(Vec<String>),
    Mismatch(Vec<String>),
    Pending {
        steps: usize,
    },
    /// `wait --migrated`: nobody has applied them in time.
    NotMigrated {
        steps: usize,
        waited: Duration,
    },
    Stopped(CancelReason),
    /// Stopped when the work was done; what was done.
    Late {
        reason: CancelReason,
        done: String,
    },
    /// Stopped in the first statement of a script that has no transaction.
    Halted {
        file: String,
        reason: CancelReason,
        /// What that statement has left, in words.
        left: Option<String>,
    },
    /// Stopped, but what ran did not end in time.
    Overdue {
        reason: CancelReason,
        grace: Duration,
    },
    /// The answer did not reach standard output whole.
    Output(io::Error),
    Exec {
        program: String,
        error: io::Error,
    },
    /// Another tool has migrated this database, and we never have.
    Foreign(Box<Adoption>),
    Internal(String),
    Panic(String),
}

impl Cause {
    /// What keeps a plan from being run: a wrong target is a usage error, anything else the migrations'.
    pub fn objected(objections: &[PlanError]) -> Cause {
        let wrong_target = |objection: &&PlanError| matches!(objection, PlanError::Target(_));
        match objections.iter().find(wrong_target) {
            Some(objection) if objections.len() == 1 => Cause::Target(objection.to_string()),
            _ => Cause::Invalid(objections.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Failure {
    pub fn new(stage: Stage, cause: Cause) -> Failure {
        Failure { stage, cause, done: Completed::default(), aftermath: BackupDisposition::Nothing, baseline: None }
    }

    /// Whether the session was lost, or the server was about to go or had no room for the second one.
    pub fn is_unready(&self) -> bool {
        use crate::database::DatabaseErrorKind::{Exhausted, Full, Lost, Starting, Unreachable};
        matches!(&self.cause, Cause::Database(fault) if matches!(fault.kind, Lost | Starting | Unreachable | Exhausted | Full))
    }

    pub fn exit(&self) -> Exit {
        Exit::from_cause(self.stage, &self.cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)
    }
}

impl std::error::Error for Failure {}
