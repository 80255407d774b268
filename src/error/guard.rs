//! The errors of `guard`: how a command of another tool has failed, and what it has left.

use std::fmt;
use std::io;

use crate::database::DatabaseError;
use crate::guarded_command::CommandEnd;
use crate::signal::CancelReason;

/// The failure of a guarded command, or of the command that is asked whether anything is pending.
#[derive(Debug)]
pub struct GuardFailure {
    /// The command, without words that may be secret.
    pub(crate) command: String,
    /// The error.
    pub(crate) error: GuardError,
    /// The effect on the database, as far as it is known.
    pub(crate) effect: CommandEffect,
}

/// The reason why a command is no success.
#[derive(Debug)]
pub(crate) enum GuardError {
    /// It could not be started.
    NotStarted(io::Error),
    /// It has ended with another exit code than 0, or was killed.
    Ended(CommandEnd),
    /// A signal to this process or the deadline has ended it.
    Stopped(CancelReason),
    /// The lock was lost while it ran; it was ended.
    LockLost(DatabaseError),
    /// It has ended with 0, and what it had started went on: these processes or sessions, which were ended.
    LeftRunning(Vec<String>),
    /// It has ended with 0, and the check says that something is still pending.
    StillPending,
    /// It has ended with 0 and left these defects in the schema.
    Defects(Vec<String>),
    /// Its rehearsal has changed the database itself and not the copy, whose URL was in this variable.
    NotRehearsed(String),
}

/// The effect of a command on the database, by the history table of its tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CommandEffect {
    /// It has not run on the database.
    #[default]
    Nothing,
    /// It has run, and no history table can be read.
    Unknown,
    /// It has run, and the history is where it was.
    NotMoved {
        /// The revision, as the tool writes it.
        at: String,
    },
    /// It has run, and the history has moved.
    Moved {
        /// The revision before.
        from: String,
        /// The revision now.
        to: String,
    },
}

impl fmt::Display for GuardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.command)?;
        match &self.error {
            GuardError::NotStarted(error) => error.fmt(f),
            GuardError::Ended(CommandEnd::Exited(code)) => write!(f, "it ended with the exit code {code}"),
            GuardError::Ended(CommandEnd::Killed(signal)) => write!(f, "signal {signal} has killed it"),
            GuardError::Ended(CommandEnd::Abandoned) => f.write_str("the process that supervised it was killed"),
            GuardError::Stopped(reason) => write!(f, "{reason}, and the command was ended"),
            GuardError::LockLost(fault) => {
                write!(f, "the lock was lost while it ran, and the command was ended: {fault}")
            }
            GuardError::LeftRunning(left) => {
                write!(f, "it ended with 0, but what it had started still ran and was ended: {}", left.join("; "))
            }
            GuardError::StillPending => f.write_str("it ended with 0, but something is still pending"),
            GuardError::Defects(defects) => write!(f, "it ended with 0, but {}", defects.join("; ")),
            GuardError::NotRehearsed(variable) => write!(
                f,
                "the rehearsal has changed the database itself: the command does not take its database from {variable}"
            ),
        }
    }
}

impl GuardFailure {
    /// Returns a sentence that says in which state the command has left the database.
    pub(super) fn state(&self) -> String {
        match &self.effect {
            CommandEffect::Nothing => "nothing was changed".into(),
            CommandEffect::Unknown => "what it has committed is kept".into(),
            CommandEffect::NotMoved { at } => format!("its history is still at {at}; what it has committed is kept"),
            CommandEffect::Moved { from, to } => {
                format!("its history has moved from {from} to {to}; what it has committed is kept")
            }
        }
    }

    /// Returns the advice for the failure.
    pub(super) fn advice(&self) -> &'static str {
        match &self.error {
            GuardError::NotStarted(_) => "correct the command after guard --",
            GuardError::Ended(CommandEnd::Exited(_)) => "read its output above, correct what it names, and run again",
            GuardError::Ended(CommandEnd::Killed(_) | CommandEnd::Abandoned) => {
                "see who has killed it (for want of memory?), then run again"
            }
            GuardError::Stopped(CancelReason::Deadline) => "raise LOCKKEEPER_DEADLINE, or run again",
            GuardError::Stopped(_) | GuardError::LockLost(_) => "run again to go on",
            GuardError::LeftRunning(_) => "let the command wait for what it starts, and run again",
            GuardError::StillPending => "run the command by hand and see why it does nothing",
            GuardError::Defects(_) => "fix the differences above, then run again",
            GuardError::NotRehearsed(_) => {
                "name the variable that the command reads with --url-env, or go without --rehearse"
            }
        }
    }

    /// Reports whether the command may have changed the database.
    pub(crate) fn may_have_changed(&self) -> bool {
        self.effect != CommandEffect::Nothing
    }
}
