//! The `guard` command: runs the command of another tool, which migrates the database, behind the lock and a backup.

use super::ChangeSummary;
use crate::cli::{Guard, PresetArg};
use crate::config::{DatabaseConfig, RehearsalMode};
use crate::context::RunContext;
use crate::database::{Canceller, Database, Locked, SchemaDefects};
use crate::entrypoint::{handle_failure, lock_settings};
use crate::error::{Cause, CommandEffect, Failure, GuardError, GuardFailure, Stage};
use crate::guarded_command::{
    CommandEnd, CommandEnvironment, GuardedCommand, OutputUse, PendingCheck, Preset, hide_secrets, log_lines,
};
use crate::revision::other_tools::{HistoryMove, ToolHistories};
use crate::stage::backup::{GuardedChange, RevisionRange, Safety, backup, note_success};
use crate::stage::command_run::{CommandRun, LockHold};
use crate::stage::guard::{GuardRehearsal, PendingAnswer, ask, end_sessions_of_dead_runs, histories};
use crate::stage::lock::{HistoryUse, LockRequest};
use crate::stage::rehearse::tidy;
use crate::stage::with_lock::{LockDecision, LockSettings, with_lock_unless_done};

/// Runs the command, unless nothing is pending.
///
/// # Errors
/// Fails as the wait, lock and backup stages do, when the command or the check fails, and when the command has changed
/// nothing although something was pending.
pub(crate) async fn run(config: &DatabaseConfig, args: &Guard, context: &RunContext) -> Result<ChangeSummary, Failure> {
    let no_command = || Failure::new(Stage::Configure, Cause::Usage("guard needs a command after --".into()));
    let command = GuardedCommand::new(&args.command).ok_or_else(no_command)?;
    hide_secrets(command.line(), config.shown.as_deref().unwrap_or_default());
    command.find().map_err(|error| {
        let error = GuardError::NotStarted(error);
        guard_failure(Stage::Configure, &command, error, CommandEffect::Nothing)
    })?;
    let check = pending_check(args, &command);
    if check.is_none() {
        tracing::warn!("without --pending-command each start takes the lock and a backup, and runs {command}");
    }
    let work = GuardWork {
        config,
        command,
        check,
        url_env: &args.url_env,
        environment: CommandEnvironment::default(),
        context,
    };
    let settings = lock_settings(config);
    let lock = LockRequest { history_use: HistoryUse::Untouched, ..settings.lock };
    let settings = LockSettings { lock, ..settings };
    loop {
        let decide = async |database, _| work.decide(database).await;
        let locked = async |locked: &mut Locked, canceller, before| work.run_locked(locked, canceller, before).await;
        // Most often another run has done the work: the check is made again without the lock, so that many replicas do not
        // wait for the checks of each other.
        match with_lock_unless_done(&settings, &context.cancel, decide, |_, _| None, locked).await? {
            LockedResult::Done(summary) => return Ok(summary),
            LockedResult::HistoryMoved => tracing::info!("the database has moved while this run waited for the lock"),
        }
    }
}

/// The result of a turn with the lock.
enum LockedResult {
    /// The work of this run is done.
    Done(ChangeSummary),
    /// Another run has moved the history since the check, and nothing was done.
    HistoryMoved,
}

/// Returns the check that the arguments name, or that the words of the command imply; `None` if there is none.
fn pending_check(args: &Guard, command: &GuardedCommand) -> Option<PendingCheck> {
    let preset = match args.preset {
        PresetArg::Auto => Preset::Auto,
        PresetArg::Alembic => Preset::Alembic,
        PresetArg::Django => Preset::Django,
        PresetArg::None => Preset::None,
    };
    match &args.pending_command {
        Some(line) => Some(PendingCheck::Command(GuardedCommand::from_shell_line(line))),
        None => PendingCheck::from_preset(preset, command),
    }
}

fn guard_failure(stage: Stage, command: &GuardedCommand, error: GuardError, effect: CommandEffect) -> Failure {
    let failure = GuardFailure { command: command.to_string(), error, effect };
    Failure::new(stage, Cause::Guard(Box::new(failure)))
}

/// The work of the command.
struct GuardWork<'a> {
    config: &'a DatabaseConfig,
    command: GuardedCommand,
    check: Option<PendingCheck>,
    url_env: &'a str,
    environment: CommandEnvironment,
    context: &'a RunContext,
}

/// The state of the database before the command.
struct StateBefore {
    histories: ToolHistories,
    defects: SchemaDefects,
}

impl GuardWork<'_> {
    /// Asks whether anything is pending, before the lock is taken.
    async fn decide(&self, mut database: Database) -> Result<LockDecision<ToolHistories, LockedResult>, Failure> {
        let before =
            histories(&mut database).await.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))?;
        database.close_file();
        match self.ask(None).await? {
            Some(PendingAnswer::Nothing) => Ok(LockDecision::Answer(nothing_pending(&before))),
            Some(PendingAnswer::Something) | None => Ok(LockDecision::Lock(database, before)),
        }
    }

    /// Asks whether anything is pending; returns `None` if nothing can be asked.
    async fn ask(&self, hold: Option<LockHold<'_>>) -> Result<Option<PendingAnswer>, Failure> {
        let Some(check) = &self.check else { return Ok(None) };
        let answer = ask(check, &self.environment, hold, &self.context.cancel).await;
        answer.map(Some).map_err(|failure| Failure::new(Stage::Plan, Cause::Guard(Box::new(failure))))
    }

    /// Runs the command under the lock. The previous holder of the lock may have done all the work: if no history can tell,
    /// the check is made again here.
    async fn run_locked(
        &self,
        locked: &mut Locked,
        mut canceller: Canceller,
        asked_at: ToolHistories,
    ) -> Result<LockedResult, Failure> {
        let fault = |fault| Failure::new(Stage::Plan, Cause::Database(fault));
        let canceller = &mut canceller;
        end_sessions_of_dead_runs(locked, canceller).await?;
        let histories = histories(locked.database()).await.map_err(fault)?;
        match histories.change_since(&asked_at) {
            HistoryMove::None { .. } => {}
            HistoryMove::Moved { .. } if self.check.is_some() => return Ok(LockedResult::HistoryMoved),
            HistoryMove::Moved { .. } | HistoryMove::Unknown => {
                if self.ask(Some(LockHold { locked, canceller })).await? == Some(PendingAnswer::Nothing) {
                    return Ok(nothing_pending(&histories));
                }
            }
        }
        let safety = self.back_up(locked, canceller, &histories).await?;
        let before = StateBefore { histories, defects: locked.defects().await.map_err(fault)? };
        let result = match self.rehearse(locked, canceller, &safety, &before.histories).await {
            Ok(()) => self.migrate(locked, canceller, &before).await,
            Err(failure) => Err(failure),
        };
        match result {
            Ok(done) => Ok(LockedResult::Done(self.summary(&before.histories, done, &safety).await)),
            Err(failure) => Err(self.dispose(failure, locked, &safety).await),
        }
    }

    /// Takes the backup.
    async fn back_up(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        histories: &ToolHistories,
    ) -> Result<Safety, Failure> {
        let change =
            GuardedChange { command: self.command.to_string(), from_revision: histories.revision(), to_revision: None };
        let range = RevisionRange { guarded: Some(change), ..RevisionRange::from_newest(locked, None).await? };
        backup(locked, canceller, &self.config.backup, &range, self.context).await
    }

    /// Rehearses the command if that was asked for.
    async fn rehearse(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        safety: &Safety,
        before: &ToolHistories,
    ) -> Result<(), Failure> {
        let DatabaseConfig { backup, history, limits, .. } = self.config;
        if self.config.rehearse == RehearsalMode::No {
            tidy(locked).await;
            return Ok(());
        }
        let rehearsal = GuardRehearsal {
            command: &self.command,
            check: self.check.as_ref(),
            url_env: self.url_env,
            safety,
            place: &backup.place,
            pg_dump: backup.pg_dump.as_deref(),
            jobs: backup.jobs.count(),
            history,
            limits: *limits,
            cancel: &self.context.cancel,
        };
        rehearsal.hold(LockHold { locked, canceller }, before).await
    }

    /// Runs the command and verifies its result. Returns the histories after it.
    async fn migrate(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        before: &StateBefore,
    ) -> Result<ToolHistories, Failure> {
        tracing::info!("running {}", self.command);
        let run = CommandRun {
            command: &self.command,
            environment: &self.environment,
            output_use: OutputUse::Logged,
            input: None,
            cancel: &self.context.cancel,
        };
        let result = run.to_end(Some(LockHold { locked, canceller })).await;
        let failed = |error, effect| guard_failure(Stage::Migrate, &self.command, error, effect);
        let error = match result {
            Ok((CommandEnd::Exited(0), _)) => return self.verify(locked, canceller, before).await,
            Ok((end, lines)) => {
                // Without the lines of its output, nobody could read why it has failed.
                if !tracing::enabled!(tracing::Level::INFO) {
                    log_lines(&self.command.name(), &lines.stderr);
                }
                GuardError::Ended(end)
            }
            Err(error @ GuardError::NotStarted(_)) => return Err(failed(error, CommandEffect::Nothing)),
            Err(error) => error,
        };
        let effect = self.effect(locked, before).await;
        Err(failed(error, effect))
    }

    /// Returns the effect of a command that has failed. A session that is lost cannot tell it.
    async fn effect(&self, locked: &mut Locked, before: &StateBefore) -> CommandEffect {
        match histories(locked.database()).await.map(|after| after.change_since(&before.histories)) {
            Err(_) | Ok(HistoryMove::Unknown) => CommandEffect::Unknown,
            Ok(HistoryMove::None { at }) => CommandEffect::NotMoved { at },
            Ok(HistoryMove::Moved { from, to }) => CommandEffect::Moved { from, to },
        }
    }

    /// Checks after a command that has ended with 0 that nothing is pending any more and nothing is newly invalid.
    async fn verify(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        before: &StateBefore,
    ) -> Result<ToolHistories, Failure> {
        let fault = |fault| Failure::new(Stage::Verify, Cause::Database(fault));
        let after = histories(locked.database()).await.map_err(fault)?;
        let defects = locked.defects().await.map_err(fault)?.invalid;
        let defects: Vec<String> =
            defects.into_iter().filter(|defect| !before.defects.invalid.contains(defect)).collect();
        let error = match self.ask(Some(LockHold { locked, canceller })).await {
            Ok(Some(PendingAnswer::Something)) => GuardError::StillPending,
            Ok(_) if defects.is_empty() => return Ok(after),
            Ok(_) => GuardError::Defects(defects),
            Err(failure) => return Err(failure),
        };
        let effect = self.effect(locked, before).await;
        Err(guard_failure(Stage::Verify, &self.command, error, effect))
    }

    /// Decides what becomes of the backup after a failure. After a signal nobody waits for a restore.
    async fn dispose(&self, failure: Failure, locked: &mut Locked, safety: &Safety) -> Failure {
        let Cause::Guard(guard) = &failure.cause else { return failure };
        if !guard.may_have_changed() {
            return failure;
        }
        let cancel = &self.context.cancel;
        match cancel.reason() {
            Some(_) => Failure { backup_disposition: safety.kept(), ..failure },
            None => handle_failure(self.config, failure, locked, safety, cancel).await,
        }
    }

    /// Returns the result, and completes the manifest of the backup.
    async fn summary(&self, before: &ToolHistories, after: ToolHistories, safety: &Safety) -> ChangeSummary {
        let revision = after.revision();
        note_success(safety, revision.as_deref()).await;
        let history = match after.change_since(before) {
            HistoryMove::Unknown => String::new(),
            HistoryMove::None { at } => format!(", the database is still at {at}"),
            HistoryMove::Moved { from, to } => format!(", the database has moved from {from} to {to}"),
        };
        let backup = safety.shown().map_or(String::new(), |backup| format!(", backup {backup}"));
        let message = format!("{} ended with 0{history}{backup}", self.command);
        ChangeSummary { message, revision, backup: safety.shown() }
    }
}

/// Returns the result of a run that had nothing to do.
fn nothing_pending(histories: &ToolHistories) -> LockedResult {
    let revision = histories.revision();
    let place = revision.as_ref().map_or(String::new(), |revision| format!(", the database is at {revision}"));
    LockedResult::Done(ChangeSummary { message: format!("nothing pending{place}"), revision, backup: None })
}
