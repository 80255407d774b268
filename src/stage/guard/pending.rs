//! Asks whether anything is pending for a guarded command.

use crate::error::{CommandEffect, GuardError, GuardFailure};
use crate::guarded_command::{
    CommandEnd, CommandEnvironment, GuardedCommand, OutputLines, OutputUse, PendingCheck, is_at_heads, log_lines,
};
use crate::signal::Cancel;
use crate::stage::command_run::{CommandRun, LockHold};

/// The answer of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingAnswer {
    /// Nothing is pending.
    Nothing,
    /// Something is pending.
    Something,
}

/// Runs a check. With a lock, it is watched meanwhile.
///
/// # Errors
/// Fails when a command of the check cannot be started or is stopped, and when it ends in a way that is no answer; its
/// output is logged then.
pub(crate) async fn ask(
    check: &PendingCheck,
    environment: &CommandEnvironment,
    mut hold: Option<LockHold<'_>>,
    cancel: &Cancel,
) -> Result<PendingAnswer, GuardFailure> {
    let question = Question { environment, cancel };
    let is_done = match check {
        PendingCheck::Command(command) => question.answer(command, hold).await?.0 == CommandEnd::Exited(0),
        PendingCheck::AlembicHeads { current, heads } => {
            let again = hold.as_mut().map(LockHold::again);
            let (end, current_lines) = question.answer(current, again).await?;
            question.require_success(current, end, &current_lines)?;
            let (end, heads_lines) = question.answer(heads, hold).await?;
            question.require_success(heads, end, &heads_lines)?;
            is_at_heads(&current_lines.stdout, &heads_lines.stdout)
        }
    };
    Ok(if is_done { PendingAnswer::Nothing } else { PendingAnswer::Something })
}

/// The settings of the commands of a check.
struct Question<'a> {
    environment: &'a CommandEnvironment,
    cancel: &'a Cancel,
}

impl Question<'_> {
    /// Runs a command that ends with 0 or 1.
    async fn answer(
        &self,
        command: &GuardedCommand,
        hold: Option<LockHold<'_>>,
    ) -> Result<(CommandEnd, OutputLines), GuardFailure> {
        let Question { environment, cancel } = *self;
        let run = CommandRun { command, environment, output_use: OutputUse::Answer, input: None, cancel };
        let (end, lines) = run.to_end(hold).await.map_err(|error| failed(command, error))?;
        match end {
            CommandEnd::Exited(0 | 1) => Ok((end, lines)),
            _ => Err(no_answer(command, end, &lines)),
        }
    }

    /// Accepts only 0 from a command that prints its answer.
    fn require_success(
        &self,
        command: &GuardedCommand,
        end: CommandEnd,
        lines: &OutputLines,
    ) -> Result<(), GuardFailure> {
        match end {
            CommandEnd::Exited(0) => Ok(()),
            _ => Err(no_answer(command, end, lines)),
        }
    }
}

fn no_answer(command: &GuardedCommand, end: CommandEnd, lines: &OutputLines) -> GuardFailure {
    let name = command.name();
    log_lines(&name, &lines.stdout);
    log_lines(&name, &lines.stderr);
    failed(command, GuardError::Ended(end))
}

fn failed(command: &GuardedCommand, error: GuardError) -> GuardFailure {
    GuardFailure { command: format!("the check {command}"), error, effect: CommandEffect::Nothing }
}
