//! A failure: in which stage, why, what stands, and what to try.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::database::postgres::dump::DumpError;
use crate::database::{Broken, Fault, Kind};
use crate::exit::Exit;
use crate::revision::batch::{BatchError, Place};
use crate::revision::plan::Objection;
use crate::revision::text::TextError;
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
    /// Revisions that this run has applied before.
    pub applied: Vec<String>,
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
    Ahead(Vec<String>),
    Mismatch(Vec<String>),
    Pending {
        steps: usize,
    },
    Stopped(Reason),
    /// Stopped in the first statement of a script that has no transaction.
    Halted {
        file: String,
        reason: Reason,
    },
    /// Stopped, but what ran did not end in time.
    Overdue {
        reason: Reason,
        grace: Duration,
    },
    Exec {
        program: String,
        error: io::Error,
    },
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
        let wrong_target = |objection: &&Objection| {
            matches!(objection, Objection::UnknownTarget { .. } | Objection::AmbiguousTarget { .. })
        };
        match objections.iter().find(wrong_target) {
            Some(objection) if objections.len() == 1 => Cause::Target(objection.to_string()),
            _ => Cause::Invalid(objections.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Failure {
    pub fn new(stage: Stage, cause: Cause) -> Failure {
        Failure { stage, cause, applied: Vec::new() }
    }

    /// Whether the session was lost, or the server was about to go.
    pub fn is_lost(&self) -> bool {
        matches!(&self.cause, Cause::Database(fault) if matches!(fault.kind, Kind::Lost | Kind::Starting | Kind::Unreachable))
    }

    pub fn exit(&self) -> Exit {
        Exit::of(self.stage, &self.cause)
    }

    /// What state things are in now.
    pub fn state(&self) -> String {
        let now = match &self.cause {
            Cause::Pending { .. } => return "nothing was changed".into(),
            Cause::Exec { .. } => return "the schema is settled".into(),
            Cause::Step { broken, .. } => match broken {
                Broken::Partial { done, .. } => {
                    format!("{done} of its statements were done before and stay")
                }
                Broken::ResumeEdited { .. } => "nothing was changed, what an earlier run did stays".into(),
                Broken::Unknown(_) => "whether its transaction was committed is not known".into(),
                _ => "it was rolled back".into(),
            },
            Cause::Panic(_) => return "the history says how far it got".into(),
            Cause::Overdue { .. } => {
                return "what ran was abandoned: its session is gone, so the database rolls it back".into();
            }
            Cause::Halted { .. } => "none of its statements is recorded as done".into(),
            Cause::Stopped(_) if self.stage == Stage::Migrate => {
                "the running revision was rolled back".into()
            }
            _ => String::new(),
        };
        let stands = match self.applied.as_slice() {
            [] if now.is_empty() => "nothing was changed".into(),
            [] => "no revision was applied before it".into(),
            [one] => format!("revision {one} was applied and stands"),
            [.., last] => {
                format!("{} revisions were applied and stand, the last is {last}", self.applied.len())
            }
        };
        if now.is_empty() { stands } else { format!("{now}; {stands}") }
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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Usage(text)
            | Cause::Target(text)
            | Cause::Config(text)
            | Cause::Secret(text)
            | Cause::NoMigrations(text)
            | Cause::Internal(text)
            | Cause::Panic(text) => f.write_str(text),
            Cause::Invalid(lines) | Cause::Mismatch(lines) => f.write_str(&lines.join("; ")),
            Cause::NeverReady { target, fault, attempts, waited } => write!(
                f,
                "{target} was not ready after {attempts} {} in {:.1} s: {fault}",
                if *attempts == 1 { "attempt" } else { "attempts" },
                waited.as_secs_f64()
            ),
            Cause::Database(fault) => fault.fmt(f),
            Cause::Held { holder, waited } => {
                write!(f, "another run held the lock for all of {:.1} s: {holder}", waited.as_secs_f64())
            }
            Cause::Backup(error) => error.fmt(f),
            Cause::Step { file, broken } => step(f, file, broken),
            Cause::Ahead(ids) => {
                write!(f, "the database has revisions that this image does not know: {}", ids.join(", "))
            }
            Cause::Pending { steps } => write!(f, "{steps} revisions are pending"),
            Cause::Stopped(reason) => reason.fmt(f),
            Cause::Overdue { reason, grace } => {
                write!(f, "{reason}, and what ran did not end within LOCKKEEPER_SHUTDOWN_GRACE ({grace:?})")
            }
            Cause::Halted { file, reason } => {
                write!(f, "{file}: {reason} while its first statement ran, outside of a transaction")
            }
            Cause::Exec { program, error } => write!(f, "{program}: {error}"),
        }
    }
}

fn step(f: &mut fmt::Formatter<'_>, file: &str, broken: &Broken) -> fmt::Result {
    match broken {
        Broken::Statement { fault, place, excerpt } => {
            write!(f, "{file}:{place}: {fault}; statement: {}", one_line(excerpt))
        }
        Broken::Partial { fault, place, excerpt, done } => {
            write!(
                f,
                "{file}:{place}: statement {} failed: {fault}; statement: {}",
                done + 1,
                one_line(excerpt)
            )
        }
        Broken::Bookkeeping(fault) => write!(f, "{file}: recording it failed: {fault}"),
        Broken::Commit(fault) => write!(f, "{file}: COMMIT was refused: {fault}"),
        Broken::Unknown(fault) => write!(f, "{file}: {fault}"),
        Broken::LockLost => {
            write!(f, "{file}: our lock was lost while it ran: does the script release locks?")
        }
        Broken::Violations(rows) => {
            write!(f, "{file}: foreign keys lead nowhere after it: {}", rows.join(", "))
        }
        Broken::ChangedOnDisk => write!(f, "{file}: the file was changed while we ran"),
        Broken::ResumeEdited { done } => {
            write!(
                f,
                "{file}: its first {done} statements, which were done by an earlier run, have been edited since"
            )
        }
        Broken::Replaced => write!(f, "{file}: the database file was replaced by another while we ran"),
        Broken::Text(error) => write!(f, "{file}{error}"),
    }
}

fn one_line(text: &str) -> String {
    text.trim_end_matches(';').lines().map(str::trim).collect::<Vec<_>>().join(" / ")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Follows the file's name: `:12: it is not UTF-8`.
impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Text(TextError::Io(error)) => write!(f, ": {error}"),
            BatchError::Text(TextError::Unfit { line, what }) => write!(f, ":{line}: {what}"),
            BatchError::Unterminated { what, place } => write!(f, ":{place}: this {what} never ends"),
        }
    }
}

impl Cause {
    fn advice(&self) -> String {
        match self {
            Cause::Usage(_) | Cause::Target(_) => "see lockkeeper --help".into(),
            Cause::Config(_) => "correct the setting and run again".into(),
            Cause::Secret(_) => "make the file readable for this user".into(),
            Cause::NoMigrations(_) => "mount or copy the migrations there, or set LOCKKEEPER_DIR".into(),
            Cause::Invalid(_) => "mend the files named, then run lockkeeper check".into(),
            Cause::NeverReady { fault, .. } => readiness_advice(fault.kind).into(),
            Cause::Database(fault) => readiness_advice(fault.kind).into(),
            Cause::Held { .. } => {
                "let the other run finish and run again, or raise LOCKKEEPER_LOCK_TIMEOUT".into()
            }
            Cause::Backup(error) => backup_advice(error).into(),
            Cause::Step { broken, .. } => step_advice(broken).into(),
            Cause::Ahead(_) => "deploy the newer image, or unset LOCKKEEPER_STRICT".into(),
            Cause::Mismatch(_) => "look at what is named above, mend it, run again".into(),
            Cause::Pending { .. } => "run lockkeeper upgrade".into(),
            Cause::Stopped(reason) | Cause::Halted { reason, .. } | Cause::Overdue { reason, .. } => {
                match reason {
                    Reason::Deadline => "raise LOCKKEEPER_DEADLINE, or run again".into(),
                    Reason::Terminate | Reason::Interrupt => "run again to go on".into(),
                }
            }
            Cause::Exec { .. } => "correct the program after --".into(),
            Cause::Internal(_) | Cause::Panic(_) => {
                "this is a bug in lockkeeper: please report it; running again may help".into()
            }
        }
    }
}

fn readiness_advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Unresolved => "check the host name in DATABASE_URL, or raise LOCKKEEPER_WAIT_TIMEOUT",
        Kind::Unreachable | Kind::Starting => {
            "check host and port in DATABASE_URL, or raise LOCKKEEPER_WAIT_TIMEOUT"
        }
        Kind::Exhausted => "free connection slots or disk on the server, or raise LOCKKEEPER_WAIT_TIMEOUT",
        Kind::ReadOnly => "point DATABASE_URL at the primary",
        Kind::Authentication => "check user and password (DATABASE_PASSWORD, DATABASE_URL) and pg_hba.conf",
        Kind::NoDatabase => "create the database, or give --create-database",
        Kind::NoPrivilege => "grant the privilege named, or make the file or folder writable for this user",
        Kind::Tls => "check sslmode and sslrootcert against the server's certificate",
        Kind::Protocol => {
            "check that host and port are PostgreSQL's, or set LOCKKEEPER_DIRECT_URL past the pooler"
        }
        Kind::TransactionPooler => "set LOCKKEEPER_DIRECT_URL to the server itself",
        Kind::Setting => "correct the setting and run again",
        Kind::Unsupported => "upgrade the server",
        Kind::Busy => "end the other writer, or raise LOCKKEEPER_LOCK_TIMEOUT",
        Kind::Contended => "run again when there is less traffic, or raise LOCKKEEPER_DDL_RETRIES",
        Kind::Cancelled | Kind::Lost => "run again",
        Kind::Corrupt => "restore the newest verified backup (lockkeeper backups lists them)",
        Kind::Io => "check the disk, then run again",
        Kind::Statement => "look at the server's message",
    }
}

fn backup_advice(error: &BackupError) -> &'static str {
    match error {
        BackupError::Folder(_) => "make the folder writable, or set LOCKKEEPER_BACKUP_DIR",
        BackupError::NoRoom { needed, free, .. } if free >= needed => {
            "check quota, file size limit and disk of the backup folder, or set LOCKKEEPER_BACKUP_DIR"
        }
        error if error.is_no_room() => "make room, or set LOCKKEEPER_BACKUP_DIR",
        BackupError::Tool(error) if error.is_contended() => "run again when nobody holds that table's lock",
        BackupError::Full(_) | BackupError::NoRoom { .. } => "make room, or set LOCKKEEPER_BACKUP_DIR",
        BackupError::Source(fault) => readiness_advice(fault.kind),
        BackupError::Tool(DumpError::Missing { .. } | DumpError::TooOld { .. }) => {
            "install the client tools of the server's version, or set LOCKKEEPER_PG_DUMP"
        }
        BackupError::Tool(_) => "mend what the tool names; LOCKKEEPER_BACKUP=off goes without a backup",
        BackupError::Empty(_) => "check LOCKKEEPER_PG_DUMP",
        BackupError::TimedOut(_) => "raise LOCKKEEPER_BACKUP_TIMEOUT",
        BackupError::Copy(_) => "check the database file and the backup folder",
        BackupError::Unverified(_) => "check the disk of the backup folder, then run again",
    }
}

fn step_advice(broken: &Broken) -> &'static str {
    match broken {
        Broken::Statement { fault, .. } | Broken::Bookkeeping(fault) | Broken::Commit(fault) => {
            match fault.kind {
                Kind::Contended | Kind::Busy | Kind::Io | Kind::Corrupt => readiness_advice(fault.kind),
                _ => "correct the file and run again",
            }
        }
        Broken::Partial { fault, .. } if fault.kind == Kind::Cancelled => {
            "run again: it goes on at that statement"
        }
        Broken::Partial { .. } => "correct that statement and run again: it goes on there",
        Broken::Unknown(_) => "run again: the history will tell",
        Broken::LockLost => "remove pg_advisory_unlock_all() or DISCARD ALL from the script",
        Broken::Violations(_) => "correct the file: delete or mend those rows in it",
        Broken::ChangedOnDisk | Broken::Replaced => "run again",
        Broken::ResumeEdited { .. } => "restore those statements; change only what comes after them",
        Broken::Text(_) => "correct the file and run again",
    }
}
