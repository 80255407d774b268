//! A backup that a program of the user's takes, such as a snapshot of the volume. The request and the answer are JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::external::CommandBackup;
use super::manifest::kind;
use super::program::{BackupProgram, TimeLimit};
use super::work::BackupWork;
use crate::clock;
use crate::error::{BackupError, Cause};
use crate::guarded_command::{MAX_DOCUMENT, OutputUse, excerpt, hide_secrets};
use crate::masking::mask_known;
use crate::progress::with_progress;
use crate::stage::command_run::LockHold;

/// The version of the format of request and answer.
const FORMAT_VERSION: u32 = 1;
/// The length of the longest id or location, in bytes.
const MAX_FIELD: usize = 1024;
/// The pause before a pending backup is asked for the first time. Each next one is twice as long, up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The request for a backup, on the standard input of the program.
#[derive(Clone, Debug, Serialize)]
struct BackupRequest<'a> {
    version: u32,
    action: Action,
    /// The id of the pending backup; only with [`Action::Poll`].
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    run_id: &'a str,
    database: &'a str,
    dialect: &'a str,
    /// The host and port of the server, or the path of the file.
    server: &'a str,
    bytes: u64,
    from_revision: Option<&'a str>,
    to_revision: Option<&'a str>,
}

/// The action that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// Begin a backup.
    Backup,
    /// Look whether a pending backup is ready.
    Poll,
}

/// The answer of the program, on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    id: String,
    location: String,
    state: BackupState,
}

/// The state of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackupState {
    /// It can be restored.
    Ready,
    /// It has begun.
    Pending,
}

impl Answer {
    /// Parses the output of the program.
    ///
    /// # Errors
    /// Fails with the reason why the output is no answer.
    fn parse(output: &str) -> Result<Answer, String> {
        if output.len() > MAX_DOCUMENT {
            return Err(format!("its output has more than {MAX_DOCUMENT} bytes: {}", excerpt(output)));
        }
        let answer: Answer = serde_json::from_str(output).map_err(|error| {
            let expected = r#"{"id": "...", "location": "...", "state": "ready" or "pending"}"#;
            format!("its output is not the JSON {expected} ({error}): {}", excerpt(output))
        })?;
        for (name, text) in [("id", &answer.id), ("location", &answer.location)] {
            let problem = match text {
                text if text.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) => {
                    "has control characters, or is not UTF-8"
                }
                text if text.len() > MAX_FIELD => "is longer than 1024 bytes",
                text if name == "id" && text.trim().is_empty() => "is empty",
                _ => continue,
            };
            return Err(format!("the {name} in its output {problem}: {}", excerpt(output)));
        }
        Ok(answer)
    }
}

/// Lets the user's program take a backup of the locked database, and waits until the backup is ready.
///
/// # Errors
/// Fails when the program does, when its output is no answer, and when the time is up.
pub(super) async fn take(work: &mut BackupWork<'_>) -> Result<CommandBackup, Cause> {
    let BackupWork { hold, policy, range, subject, context } = work;
    let no_program = || Cause::Internal("there is no program that takes the backup".into());
    let command = policy.commands.backup.as_ref().ok_or_else(no_program)?;
    let program = BackupProgram { command, cancel: &context.cancel, time: TimeLimit::start(policy.timeout) };
    let database = hold.locked.database();
    let (identity, server) = (database.identity(), database.server());
    hide_secrets(command.line(), &identity.name);
    let run_id = run_id();
    let request = BackupRequest {
        version: FORMAT_VERSION,
        action: Action::Backup,
        id: None,
        run_id: &run_id,
        database: &identity.name,
        dialect: kind(identity.dialect),
        server: &server.address,
        bytes: subject.size,
        from_revision: range.before(),
        to_revision: range.to.as_deref(),
    };
    tracing::info!("{command} takes the backup");
    let mut answer = ask(&program, &request, hold.again()).await?;
    if answer.state == BackupState::Pending {
        tracing::info!("the backup {} is pending", answer.id);
        let activity = format!("waiting for the backup {}", answer.id);
        answer = with_progress(&activity, wait(&program, &request, answer, hold.again())).await?;
    }
    // They are recorded in the database.
    Ok(CommandBackup { id: mask_known(&answer.id), location: mask_known(&answer.location) })
}

/// Returns an id for the run that fits into the names of snapshots everywhere: digits, small letters and a hyphen.
fn run_id() -> String {
    let time: String = clock::now_for_names().chars().filter(char::is_ascii_digit).collect();
    format!("{time}-{:08x}", fastrand::u32(..))
}

/// Runs the program once.
async fn ask(program: &BackupProgram<'_>, request: &BackupRequest<'_>, hold: LockHold<'_>) -> Result<Answer, Cause> {
    let input = serde_json::to_string(request).map_err(|error| Cause::Internal(error.to_string()))?;
    let output = program.run(Some(&input), OutputUse::Document, hold).await?;
    Answer::parse(&output.stdout.concat()).map_err(|problem| program.error(problem))
}

/// Asks for a pending backup until it is ready.
async fn wait(
    program: &BackupProgram<'_>,
    request: &BackupRequest<'_>,
    pending: Answer,
    mut hold: LockHold<'_>,
) -> Result<Answer, Cause> {
    let mut pause = FIRST_PAUSE;
    let request = BackupRequest { action: Action::Poll, id: Some(&pending.id), ..request.clone() };
    let too_late = || {
        let (command, limit) = (program.command.to_string(), program.time.limit.unwrap_or_default());
        Cause::Backup(BackupError::StillPending { command, id: pending.id.clone(), limit })
    };
    loop {
        tokio::select! {
            biased;
            reason = program.cancel.cancelled() => return Err(Cause::Stopped(reason)),
            () = program.time.is_up() => return Err(too_late()),
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
        let answer = match ask(program, &request, hold.again()).await {
            Err(Cause::Backup(BackupError::TimedOut(_))) => return Err(too_late()),
            answer => answer?,
        };
        if answer.id != pending.id {
            return Err(
                program.error(format!("it was asked for the backup {}, and answered for {}", pending.id, answer.id))
            );
        }
        if answer.state == BackupState::Ready {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_exactly_its_fields() {
        let answer =
            Answer::parse("{\"id\": \"s-1\",\n\"location\": \"\", \"state\": \"pending\"}\n").expect("an answer");
        assert_eq!(answer, Answer { id: "s-1".into(), location: String::new(), state: BackupState::Pending });
        for (output, problem) in [
            ("", "is not the JSON"),
            ("done", "is not the JSON"),
            (r#"{"id": "x", "state": "ready"}"#, "missing field `location`"),
            (r#"{"id": 1, "location": "", "state": "ready"}"#, "invalid type"),
            (r#"{"id": "x", "location": "", "state": "done"}"#, "unknown variant `done`"),
            (r#"{"id": "x", "location": "", "state": "ready", "size": 1}"#, "unknown field `size`"),
            (r#"{"id": "x", "location": "", "state": "ready"} {}"#, "trailing characters"),
            (r#"{"id": " ", "location": "", "state": "ready"}"#, "the id in its output is empty"),
            (
                r#"{"id": "a\u001b[2J", "location": "", "state": "ready"}"#,
                "the id in its output has control characters",
            ),
            (r#"{"id": "a", "location": "b\n", "state": "ready"}"#, "the location in its output has control"),
            ("{\"id\": \"a\u{FFFD}\", \"location\": \"\", \"state\": \"ready\"}", "or is not UTF-8"),
        ] {
            let error = Answer::parse(output).expect_err(output);
            assert!(error.contains(problem), "{output}: {error}");
        }
        let long = |id: usize, padding: usize| {
            format!(r#"{{"id": "{}", "location": "", "state": "ready"}}{}"#, "x".repeat(id), " ".repeat(padding))
        };
        assert!(Answer::parse(&long(MAX_FIELD, 0)).is_ok());
        assert!(Answer::parse(&long(MAX_FIELD + 1, 0)).expect_err("too long").contains("longer than 1024 bytes"));
        assert!(Answer::parse(&long(1, MAX_DOCUMENT)).expect_err("too long").contains("more than 65536 bytes"));
    }

    #[test]
    fn a_run_id_fits_into_names() {
        let id = run_id();
        assert!(id.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '-') && id.len() == 23, "{id}");
    }
}
