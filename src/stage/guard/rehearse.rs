//! Runs a guarded command on a copy restored from the backup, before it runs on the database itself.

use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use tracing::Instrument;

use super::{PendingAnswer, ask, histories};
use crate::config::BackupPlace;
use crate::database::postgres::content::DatabaseContent;
use crate::database::postgres::dump::RestoreMode;
use crate::database::url::{Secret, UrlForm, sqlite_url_of};
use crate::database::{Database, DatabaseError, HistoryName, SessionLimits};
use crate::error::{Cause, CommandEffect, Failure, GuardError, GuardFailure, Stage};
use crate::guarded_command::{CommandEnd, CommandEnvironment, GuardedCommand, OutputUse, PendingCheck};
use crate::revision::other_tools::{HistoryMove, ToolHistories};
use crate::signal::Cancel;
use crate::stage::backup::Safety;
use crate::stage::command_run::{CommandRun, LockHold};
use crate::stage::rehearse::SUFFIX;
use crate::stage::restore::postgres::{RestoreContext, discard};
use crate::stage::restore::{BackupArchive, sqlite};

/// The settings of a rehearsal.
pub(crate) struct GuardRehearsal<'a> {
    /// The command.
    pub(crate) command: &'a GuardedCommand,
    /// The check whether anything is pending, if there is one.
    pub(crate) check: Option<&'a PendingCheck>,
    /// The variable from which the command takes the URL of its database.
    pub(crate) url_env: &'a str,
    /// The result of the backup stage.
    pub(crate) safety: &'a Safety,
    /// The place of the backups.
    pub(crate) place: &'a BackupPlace,
    /// The configured path of `pg_dump`, if there is one.
    pub(crate) pg_dump: Option<&'a Path>,
    /// The number of sessions that restore the backup at the same time.
    pub(crate) jobs: NonZero<usize>,
    /// The name of Lockkeeper's history table.
    pub(crate) history: &'a HistoryName,
    /// The timeouts of the locked session.
    pub(crate) limits: SessionLimits,
    /// The cancellation of the run.
    pub(crate) cancel: &'a Cancel,
}

fn failed(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Rehearse, Cause::Database(fault))
}

impl GuardRehearsal<'_> {
    /// Restores the backup into a database of its own and runs the command there, with the URL of that database in its
    /// environment. Removes the copy. `before` are the histories of the database itself, which must not move meanwhile:
    /// a command that takes its database from somewhere else would run on it.
    ///
    /// # Errors
    /// Fails when the backup cannot be restored, when the command fails on the copy, and when it has changed the database
    /// itself; the last one is found only where a history can be read.
    pub(crate) async fn hold(&self, mut hold: LockHold<'_>, before: &ToolHistories) -> Result<(), Failure> {
        let Some(file) = self.safety.file() else {
            tracing::info!("no rehearsal: the database is empty");
            return Ok(());
        };
        let archive = BackupArchive::find(file, self.place)
            .await
            .map_err(|error| Failure::new(Stage::Rehearse, Cause::Restore(error)))?;
        let start = Instant::now();
        let result = self.on_copy(hold.again(), &archive).await;
        let after = histories(hold.locked.database()).await.map_err(failed)?;
        if let HistoryMove::Moved { from, to } = after.change_since(before) {
            let effect = CommandEffect::Moved { from, to };
            return Err(self.failure(GuardError::NotRehearsed(self.url_env.to_owned()), effect));
        }
        let copied = result.map_err(in_rehearsal)?;
        match copied.change_since(before) {
            HistoryMove::Moved { to, .. } => {
                let elapsed = start.elapsed().as_millis() as u64;
                tracing::info!(duration_ms = elapsed, "rehearsed on the backup: {} has led to {to}", self.command);
            }
            _ if self.check.is_some() => tracing::info!("rehearsed on the backup: {}", self.command),
            _ => tracing::warn!(
                "{} ended with 0, but no history shows that it has run on the copy: does it take its database from {}?",
                self.command,
                self.url_env
            ),
        }
        Ok(())
    }

    /// Makes the copy, runs the command on it, and returns the histories that the copy has then.
    async fn on_copy(&self, hold: LockHold<'_>, archive: &BackupArchive) -> Result<ToolHistories, Failure> {
        let form = std::env::var(self.url_env).ok();
        match hold.locked.database() {
            Database::Postgres(_) => {
                self.on_postgres(hold, archive, UrlForm::from_url(form.as_deref(), "postgresql")).await
            }
            Database::Sqlite(file) => {
                let copy = sqlite::copy_beside(file, archive, SUFFIX, self.history, self.cancel).await?;
                let path = std::path::absolute(copy.path()).unwrap_or_else(|_| copy.path().to_owned());
                let url = sqlite_url_of(&path, UrlForm::from_url(form.as_deref(), "sqlite"));
                self.run(hold, &url, &copy.path().display().to_string()).await?;
                let opened = copy.open(self.history).await.map_err(failed)?;
                histories(&mut Database::Sqlite(Box::new(opened))).await.map_err(failed)
            }
        }
    }

    async fn on_postgres(
        &self,
        hold: LockHold<'_>,
        archive: &BackupArchive,
        form: UrlForm,
    ) -> Result<ToolHistories, Failure> {
        let Database::Postgres(server) = hold.locked.database() else { unreachable!("the caller has looked") };
        DatabaseContent::new(server).refuse_untrusted_code().await.map_err(failed)?;
        let context = RestoreContext {
            archive,
            history: self.history,
            pg_dump: self.pg_dump,
            jobs: self.jobs,
            timeout: self.limits.busy,
        };
        let mut scratch = context.restore_beside(server, SUFFIX, RestoreMode::Discarded, self.cancel).await?;
        let url = server.login.url_of(&scratch.name, &server.host, form);
        let connected = scratch.connect(server, self.history).await;
        let result = async {
            let mut copy = Database::Postgres(Box::new(connected.map_err(failed)?));
            self.run(hold, &url, &scratch.name).await?;
            histories(&mut copy).await.map_err(failed)
        };
        let result = result.await;
        discard(&mut scratch).await;
        result
    }

    /// Runs the command, and asks whether anything is pending on the copy after it.
    async fn run(&self, mut hold: LockHold<'_>, url: &Secret, name: &str) -> Result<(), Failure> {
        let environment = CommandEnvironment::default().with(self.url_env, url.expose());
        let run = CommandRun {
            command: self.command,
            environment: &environment,
            output_use: OutputUse::Logged,
            input: None,
            cancel: self.cancel,
        };
        let span = tracing::info_span!("rehearsal", rehearsal = name);
        let error = match run.to_end(Some(hold.again())).instrument(span).await {
            Ok((CommandEnd::Exited(0), _)) => match self.check {
                None => return Ok(()),
                Some(check) => {
                    let answer = ask(check, &environment, Some(hold), self.cancel).await;
                    match answer.map_err(|failure| Failure::new(Stage::Rehearse, Cause::Guard(Box::new(failure))))? {
                        PendingAnswer::Nothing => return Ok(()),
                        PendingAnswer::Something => GuardError::StillPending,
                    }
                }
            },
            Ok((end, _)) => GuardError::Ended(end),
            Err(error) => error,
        };
        Err(self.failure(error, CommandEffect::Nothing))
    }

    fn failure(&self, error: GuardError, effect: CommandEffect) -> Failure {
        let failure = GuardFailure { command: self.command.to_string(), error, effect };
        Failure::new(Stage::Rehearse, Cause::Guard(Box::new(failure)))
    }
}

/// Marks a failure as one of the copy. With a lost lock, the copy has nothing to do.
fn in_rehearsal(failure: Failure) -> Failure {
    match failure.cause {
        Cause::Guard(guard) if matches!(guard.error, GuardError::LockLost(_)) => {
            Failure::new(Stage::Rehearse, Cause::Guard(guard))
        }
        cause => Failure::new(Stage::Rehearse, Cause::Rehearsal { cause: Box::new(cause), done: 0 }),
    }
}
