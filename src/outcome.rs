//! What a run came to: the last log line, the `--json` result, the termination message.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::command::{ChangeSummary, CommandOutput};
use crate::error::{Cause, Failure, TransferError};
use crate::exit::{Exit, ExitClass};
use crate::report::{json_line, line};
use crate::revision::{Completed, Direction};
use crate::safe_file;

/// The kubelet takes 4096 bytes, for all containers of a pod 12 KiB; one line of this length is enough.
const TERMINATION_BYTES: usize = 1000;

/// The result of a run, as `--json` prints it. Every key is always there: null when it is not known.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub code: u8,
    pub name: &'static str,
    pub class: ExitClass,
    pub message: String,
    pub stage: Option<String>,
    pub applied: Vec<String>,
    pub undone: Vec<String>,
    pub revision: Option<String>,
    pub backup: Option<String>,
    pub advice: Option<String>,
    /// What differs, a line each.
    pub differences: Vec<String>,
    /// Server and database, or the file; nothing for a command without a database.
    pub database: Option<String>,
    pub duration_ms: u64,
}

impl Outcome {
    pub fn success(answer: CommandOutput, took: Duration) -> Outcome {
        let outcome = Outcome { duration_ms: milliseconds(took), ..Outcome::from_exit(Exit::Settled) };
        let shown = |backup: Option<PathBuf>| backup.map(|file| file.display().to_string());
        let settled = match answer {
            CommandOutput::Text(message) | CommandOutput::Printed(message) => {
                return Outcome { message, ..outcome };
            }
            CommandOutput::Changed(ChangeSummary { message, revision, backup }) => {
                return Outcome { message, revision, backup: shown(backup), ..outcome };
            }
            CommandOutput::Migrated(settled) => settled,
        };
        let at = settled.revision.as_deref().unwrap_or("base");
        let backup = shown(settled.backup);
        let (direction, count) = (settled.done.direction, settled.done.revisions.len());
        let done = direction.done();
        let message = match (count, &backup, direction) {
            (0, _, Direction::Up) => format!("nothing pending, the database is at {at}"),
            (0, _, Direction::Down) => format!("nothing to undo, the database is at {at}"),
            (1, None, _) => format!("up to date at {at}: 1 revision {done}"),
            (_, None, _) => format!("up to date at {at}: {count} revisions {done}"),
            (_, Some(file), _) => format!("up to date at {at}: {count} {done}, backup {file}"),
        };
        Outcome { message, revision: settled.revision, backup, ..outcome.with(settled.done) }
    }

    pub fn failure(failure: &Failure, took: Duration) -> Outcome {
        let outcome = Outcome::from_exit(failure.exit()).with(failure.done.clone());
        let differences = match &failure.cause {
            Cause::Transfer(TransferError::Differs(lines)) => lines.clone(),
            _ => Vec::new(),
        };
        Outcome {
            differences,
            message: format!("{failure}; {}", failure.state()),
            stage: Some(failure.stage.to_string()),
            advice: Some(failure.advice()),
            duration_ms: milliseconds(took),
            ..outcome
        }
    }

    fn with(self, done: Completed) -> Outcome {
        match done.direction {
            Direction::Up => Outcome { applied: done.revisions, ..self },
            Direction::Down => Outcome { undone: done.revisions, ..self },
        }
    }

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

    /// The last log line.
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

    /// The outcome as one line of JSON.
    pub fn json(&self) -> String {
        json_line(self)
    }

    /// Writes the termination message: one line, at most 1000 bytes. A file that cannot be written is
    /// warned about and otherwise ignored.
    pub fn terminate(&self, path: &Path) {
        let advice = self.advice.as_ref().map_or(String::new(), |advice| format!("; try: {advice}"));
        let database = self.database.as_ref().map_or(String::new(), |database| format!(" on {database}"));
        let [database, message, advice] = [&database, &self.message, &advice].map(|text| line(text));
        let database = cut(&database, TERMINATION_BYTES / 4);
        let message = format!("lockkeeper: exit {} ({}){database}: {message}", self.code, self.name);
        // What to do stays readable however much there is to say about what happened.
        let advice = cut(&advice, TERMINATION_BYTES / 2);
        let text = cut(&message, TERMINATION_BYTES - advice.len()) + &advice;
        let file = safe_file::overwrite(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            tracing::warn!("the termination message is not written to {}: {error}", path.display());
        }
    }
}

/// At most so many bytes of a text, whole characters; a text that was cut ends in dots.
fn cut(text: &str, bytes: usize) -> String {
    const DOTS: &str = " ...";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(DOTS.len())).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].to_owned() + DOTS
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
