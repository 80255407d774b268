//! The outcome of a run, and its output: the last log line, the result of `--json` and the termination message.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::command::{ChangeSummary, CommandOutput};
use crate::error::{Cause, Failure, TransferError};
use crate::exit::{Exit, ExitClass};
use crate::report::{json_line, line};
use crate::revision::{Completed, Direction};
use crate::safe_file;

/// The maximal length of the termination message in bytes. The kubelet accepts 4096 bytes, and 12 KiB for all
/// containers of a pod.
const TERMINATION_BYTES: usize = 1000;

/// The result of one run on one database, as `--json` prints it. Every key is always present; an unknown value is null.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The exit code.
    pub(crate) code: u8,
    /// The exit code's name.
    pub(crate) name: &'static str,
    /// The exit code's class.
    pub(crate) class: ExitClass,
    /// The text of the last log line.
    pub(crate) message: String,
    /// The stage that failed; null after a success.
    pub(crate) stage: Option<String>,
    /// The revisions that this run has applied.
    pub(crate) applied: Vec<String>,
    /// The revisions that this run has rolled back.
    pub(crate) undone: Vec<String>,
    /// The revision at which the database is; null at base or if it is not known.
    pub(crate) revision: Option<String>,
    /// The path of the backup that this run has taken.
    pub(crate) backup: Option<String>,
    /// The advice after a failure; null after a success.
    pub(crate) advice: Option<String>,
    /// The differences that a comparison has found, one line each.
    pub(crate) differences: Vec<String>,
    /// The server and the database, or the file; null for a command without a database.
    pub(crate) database: Option<String>,
    /// The duration of the run in milliseconds.
    pub(crate) duration_ms: u64,
}

impl Outcome {
    /// Makes the outcome of a command that succeeded on `database`.
    pub fn success(output: CommandOutput, database: Option<String>, elapsed: Duration) -> Outcome {
        let outcome = Outcome { database, duration_ms: milliseconds(elapsed), ..Outcome::from_exit(Exit::Settled) };
        let migrated = match output {
            CommandOutput::Text(message) | CommandOutput::Printed(message) => {
                return Outcome { message, ..outcome };
            }
            CommandOutput::Changed(ChangeSummary { message, revision, backup }) => {
                return Outcome { message, revision, backup, ..outcome };
            }
            CommandOutput::Migrated(migrated) => migrated,
        };
        let current_revision = migrated.revision.as_deref().unwrap_or("base");
        let backup = migrated.backup;
        let (direction, count) = (migrated.done.direction, migrated.done.count());
        let action = direction.done();
        let message = match (count.total(), &backup, direction) {
            (0, _, Direction::Up) => format!("nothing pending, the database is at {current_revision}"),
            (0, _, Direction::Down) => format!("nothing to undo, the database is at {current_revision}"),
            (_, None, _) => format!("up to date at {current_revision}: {count} {action}"),
            (_, Some(file), _) => {
                format!("up to date at {current_revision}: {} {action}, backup {file}", count.total())
            }
        };
        Outcome { message, revision: migrated.revision, backup, ..outcome.with_completed(migrated.done) }
    }

    /// Makes the outcome of a failure of a run on `database`.
    pub fn failure(failure: &Failure, database: Option<String>, elapsed: Duration) -> Outcome {
        let outcome = Outcome::from_exit(failure.exit()).with_completed(failure.done.clone());
        let differences = match &failure.cause {
            Cause::Transfer(TransferError::Differs(lines)) => lines.clone(),
            _ => Vec::new(),
        };
        Outcome {
            differences,
            message: format!("{failure}; {}", failure.state()),
            stage: Some(failure.stage.to_string()),
            advice: Some(failure.advice()),
            database,
            duration_ms: milliseconds(elapsed),
            ..outcome
        }
    }

    /// Adds the revisions that the run has completed.
    fn with_completed(self, done: Completed) -> Outcome {
        match done.direction {
            Direction::Up => Outcome { applied: done.revisions, ..self },
            Direction::Down => Outcome { undone: done.revisions, ..self },
        }
    }

    /// Makes an outcome that has an exit code and no other content.
    fn from_exit(exit: Exit) -> Outcome {
        Outcome {
            code: exit.code(),
            name: exit.name(),
            class: exit.class(),
            message: String::new(),
            stage: None,
            applied: Vec::new(),
            undone: Vec::new(),
            revision: None,
            backup: None,
            advice: None,
            differences: Vec::new(),
            database: None,
            duration_ms: 0,
        }
    }

    /// Writes the last log line.
    pub fn log(&self) {
        let (code, name, database) = (self.code, self.name, self.database.as_deref());
        match &self.advice {
            None => tracing::info!(code, duration_ms = self.duration_ms, database, "{}", self.message),
            Some(advice) if self.class == ExitClass::Answer => {
                tracing::info!(code, name, database, "{}; try: {advice}", self.message);
            }
            Some(advice) => tracing::error!(code, name, database, "{}; try: {advice}", self.message),
        }
    }

    /// Returns the outcome as one line of JSON.
    pub fn json(&self) -> String {
        json_line(self)
    }

    /// Writes the termination message: one line of at most 1000 bytes. If the file cannot be written, a warning is
    /// logged.
    pub fn terminate(&self, path: &Path) {
        let advice = self.advice.as_ref().map_or(String::new(), |advice| format!("; try: {advice}"));
        let database = self.database.as_ref().map_or(String::new(), |database| format!(" on {database}"));
        let [database, message, advice] = [&database, &self.message, &advice].map(|text| line(text));
        let database = cut(&database, TERMINATION_BYTES / 4);
        let message = format!("lockkeeper: exit {} ({}){database}: {message}", self.code, self.name);
        // The advice has its own share, so that a long message does not displace it.
        let advice = cut(&advice, TERMINATION_BYTES / 2);
        let text = cut(&message, TERMINATION_BYTES - advice.len()) + &advice;
        let file = safe_file::overwrite(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            tracing::warn!("the termination message is not written to {}: {error}", path.display());
        }
    }
}

/// Cuts a text off after at most `bytes` bytes, at a character boundary. A text that was cut ends with dots.
fn cut(text: &str, bytes: usize) -> String {
    const ELLIPSIS: &str = " ...";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(ELLIPSIS.len())).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].to_owned() + ELLIPSIS
}

/// Returns a duration in whole milliseconds.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
