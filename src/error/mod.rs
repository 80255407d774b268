//! A failure: in which stage, why, what stands, and what to try.

mod advice;
mod words;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::database::postgres::dump::DumpError;
use crate::database::{Broken, Fault, Kind};
use crate::exit::Exit;
use crate::revision::foreign::Adoption;
use crate::revision::plan::Objection;
use crate::revision::{Direction, Done};
use crate::signal::Reason;

/// The rooms of the house, in the order of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Configure,
    Load,
    Wait,
    Plan,
    Lock,
    Backup,
    Migrate,
    /// Changing the history without migrating.
    Record,
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
            Stage::Lock => "lock",
            Stage::Backup => "backup",
            Stage::Migrate => "migrate",
            Stage::Record => "record",
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
    pub done: Done,
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
        fault: Fault,
        attempts: u32,
        waited: Duration,
    },
    Database(Fault),
    Held {
        holder: String,
        waited: Duration,
    },
    Backup(BackupError),
    Step {
        file: String,
        broken: Broken,
    },
    /// The history was to be changed without running anything.
    Unrecorded(Broken),
    /// Nobody has agreed; why.
    Declined(&'static str),
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
    Stopped(Reason),
    /// Stopped when the work was done; what was done.
    Late {
        reason: Reason,
        done: String,
    },
    /// Stopped in the first statement of a script that has no transaction.
    Halted {
        file: String,
        reason: Reason,
        /// What that statement has left, in words.
        left: Option<String>,
    },
    /// Stopped, but what ran did not end in time.
    Overdue {
        reason: Reason,
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

/// Why there is no verified backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0}")]
    Folder(String),
    /// Disk, quota or the limit for a file's size is used up.
    #[error("{0}")]
    Full(String),
    /// `cause` ends with a colon, or is empty when the room was too small from the beginning.
    #[error("{cause}{folder} has {free} bytes free, the backup may need {needed}", folder = folder.display())]
    NoRoom { cause: String, folder: PathBuf, needed: u64, free: u64 },
    #[error("{0}")]
    Tool(DumpError),
    #[error("{0} ended well but has written nothing")]
    Empty(&'static str),
    #[error("it took longer than LOCKKEEPER_BACKUP_TIMEOUT ({0:?})")]
    TimedOut(Duration),
    /// What was to be copied cannot be read.
    #[error("{0}")]
    Source(Fault),
    #[error("{0}")]
    Copy(Fault),
    #[error("the backup was written but cannot be read back: {0}")]
    Unverified(String),
}

impl BackupError {
    /// Whether the place for the backup is full.
    pub fn is_no_room(&self) -> bool {
        match self {
            BackupError::Full(_) | BackupError::NoRoom { .. } => true,
            BackupError::Tool(error) => error.is_no_room(),
            BackupError::Copy(fault) => fault.kind == Kind::Io,
            _ => false,
        }
    }
}

impl Cause {
    /// What keeps a plan from being run: a wrong target is a usage error, anything else the migrations'.
    pub fn objected(objections: &[Objection]) -> Cause {
        let wrong_target = |objection: &&Objection| matches!(objection, Objection::Target(_));
        match objections.iter().find(wrong_target) {
            Some(objection) if objections.len() == 1 => Cause::Target(objection.to_string()),
            _ => Cause::Invalid(objections.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Failure {
    pub fn new(stage: Stage, cause: Cause) -> Failure {
        Failure { stage, cause, done: Done::default() }
    }

    /// Whether the session was lost, or the server was about to go or had no room for the second one.
    pub fn is_unready(&self) -> bool {
        use Kind::{Exhausted, Lost, Starting, Unreachable};
        matches!(&self.cause, Cause::Database(fault) if matches!(fault.kind, Lost | Starting | Unreachable | Exhausted))
    }

    pub fn exit(&self) -> Exit {
        Exit::of(self.stage, &self.cause)
    }

    /// What state things are in now.
    pub fn state(&self) -> String {
        if let Some(state) = self.whole_state() {
            return state;
        }
        let now = match &self.cause {
            Cause::Step { broken, .. } => match broken {
                Broken::Partial { done, .. }
                | Broken::Unrecorded { done, .. }
                | Broken::Yielded { done, .. }
                | Broken::Open { done, .. } => {
                    format!("{done} of its statements were done before and stay")
                }
                Broken::ResumeEdited { .. } => "nothing was changed, what an earlier run did stays".into(),
                Broken::Unknown(_) => "whether its transaction was committed is not known".into(),
                Broken::ChangedOnDisk | Broken::Text(_) => {
                    "a transaction was rolled back, statements outside of one stay and are in the history"
                        .into()
                }
                _ => "it was rolled back".into(),
            },
            Cause::Halted { .. } => "none of its statements is recorded as done".into(),
            Cause::Stopped(_) if self.stage == Stage::Migrate => {
                "the running revision was rolled back".into()
            }
            _ => String::new(),
        };
        let done = self.done.direction.done();
        let stands = match (self.done.revisions.as_slice(), self.done.direction) {
            ([], _) if now.is_empty() => "nothing was changed".into(),
            ([], _) => format!("no revision was {done} before it"),
            ([one], Direction::Up) => format!("revision {one} was applied and stands"),
            ([.., last], Direction::Up) => {
                format!("{} revisions were applied and stand, the last is {last}", self.done.revisions.len())
            }
            ([one], Direction::Down) => format!("revision {one} was undone before"),
            ([.., last], Direction::Down) => {
                format!("{} revisions were undone before, the last is {last}", self.done.revisions.len())
            }
        };
        if now.is_empty() { stands } else { format!("{now}; {stands}") }
    }

    /// The same where it does not matter which revisions were done before.
    fn whole_state(&self) -> Option<String> {
        let state = match &self.cause {
            Cause::Pending { .. } => "nothing was changed",
            Cause::Exec { .. } => "the schema is settled",
            Cause::Panic(_) => "the history says how far it got",
            Cause::Overdue { .. } => {
                "what ran was abandoned: the database rolls back what is not committed, the history has the rest"
            }
            Cause::Stopped(_) if self.stage == Stage::Exec => {
                "everything was done, the program was not started"
            }
            Cause::Late { done, .. } => return Some(format!("everything was done: {done}")),
            Cause::Unrecorded(Broken::Unknown(_)) => "whether the history was changed is not known",
            // Nothing ran, and what was written is there.
            Cause::Database(_) | Cause::Mismatch(_)
                if self.stage == Stage::Verify && self.done.revisions.is_empty() =>
            {
                "the history was changed"
            }
            _ => return None,
        };
        Some(state.into())
    }

    /// The one thing to try.
    pub fn advice(&self) -> String {
        self.cause.advice()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)
    }
}

impl std::error::Error for Failure {}
