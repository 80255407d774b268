//! Runs the plan on a copy restored from the backup, before production is touched: this shows that the backup can be
//! restored, and that the revisions run on real data.

use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use tracing::Instrument;

use super::backup::Safety;
use super::inspected::InspectedDir;
use super::migrate::migrate;
use super::restore::postgres::{RestoreContext, discard};
use super::restore::{BackupArchive, sqlite};
use crate::config::BackupPlace;
use crate::database::postgres::Postgres;
use crate::database::postgres::content::DatabaseContent;
use crate::database::postgres::dump::RestoreMode;
use crate::database::postgres::rehearsal::{LockLog, StepImpact, TableFiles};
use crate::database::postgres::scratch_database::ScratchDatabase;
use crate::database::{Database, DatabaseError, DatabaseErrorKind, HistoryName, LockAttempt, Locked, SessionLimits};
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Completed, Plan, Step, TransactionMode};
use crate::signal::Cancel;

/// The suffix of the database in which a rehearsal takes place; on SQLite, of the file.
pub(super) const SUFFIX: &str = "_lockkeeper_rehearsal";

/// The settings of a rehearsal.
pub(crate) struct Rehearsal<'a> {
    /// The result of the backup stage.
    pub(crate) safety: &'a Safety,
    /// The place of the backups.
    pub(crate) place: &'a BackupPlace,
    /// The configured path of `pg_dump`, if there is one.
    pub(crate) pg_dump: Option<&'a Path>,
    /// The number of sessions that restore the backup at the same time.
    pub(crate) jobs: NonZero<usize>,
    /// The name of the history table.
    pub(crate) history: &'a HistoryName,
    /// The host or pod name that the lock and the history record.
    pub(crate) applied_by: &'a str,
    /// The timeouts of the session in which the plan runs.
    pub(crate) limits: SessionLimits,
    /// The number of further attempts at a contended step.
    pub(crate) retries: u32,
}

/// Removes the copy that a killed rehearsal has left. A run that makes no rehearsal itself calls this.
pub(crate) async fn tidy(locked: &mut Locked) {
    match locked.database() {
        Database::Postgres(server) => {
            if let Err(fault) = ScratchDatabase::drop_leftovers(server, SUFFIX).await {
                tracing::warn!("the copy that a rehearsal has left stays: {fault}");
            }
        }
        Database::Sqlite(file) => sqlite::discard_copies(file, SUFFIX),
    }
}

impl Rehearsal<'_> {
    /// Restores the backup into a database of its own, runs the plan there, logs what each step did, and removes the
    /// database. One that a killed run has left is removed first.
    ///
    /// # Errors
    /// Fails when the backup cannot be restored, when a step fails, when a privilege is missing, or when a signal
    /// arrives. Production was not touched then.
    pub(crate) async fn hold(
        &self,
        locked: &mut Locked,
        inspected: &InspectedDir<'_>,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let Some(file) = self.safety.file() else {
            tracing::info!("no rehearsal: the database is empty");
            return Ok(());
        };
        let work = async {
            let archive = BackupArchive::find(file, self.place)
                .await
                .map_err(|error| Failure::new(Stage::Restore, Cause::Restore(error)))?;
            let start = Instant::now();
            let steps = plan.steps.len();
            match locked.database() {
                Database::Postgres(server) => {
                    self.on_postgres(server, &archive, inspected, plan, cancel).await?;
                }
                Database::Sqlite(file) => {
                    let copy = sqlite::copy_beside(file, &archive, SUFFIX, self.history, cancel).await?;
                    let scratch = copy.open(self.history).await.map_err(failed)?;
                    self.rehearse_in(Database::Sqlite(Box::new(scratch)), inspected, plan, cancel).await?;
                }
            }
            let elapsed = start.elapsed().as_millis() as u64;
            tracing::info!(duration_ms = elapsed, "rehearsed on the backup: {steps} of {steps} steps run");
            Ok(())
        };
        work.await.map_err(|failure| {
            let Failure { cause, done, .. } = failure;
            let done = done.revisions.len();
            Failure::new(Stage::Rehearse, Cause::Rehearsal { cause: Box::new(cause), done })
        })
    }

    /// Restores the backup into a scratch database, and runs the plan there.
    async fn on_postgres(
        &self,
        server: &mut Postgres,
        archive: &BackupArchive,
        inspected: &InspectedDir<'_>,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        DatabaseContent::new(server).refuse_untrusted_code().await.map_err(failed)?;
        let context = RestoreContext {
            archive,
            history: self.history,
            pg_dump: self.pg_dump,
            jobs: self.jobs,
            timeout: self.limits.busy,
        };
        let mut scratch_database = context.restore_beside(server, SUFFIX, RestoreMode::Discarded, cancel).await?;
        let result = match scratch_database.connect(server, self.history).await {
            Ok(scratch) => self.rehearse_in(Database::Postgres(Box::new(scratch)), inspected, plan, cancel).await,
            Err(fault) => Err(failed(fault)),
        };
        discard(&mut scratch_database).await;
        result
    }

    /// Runs the plan on the copy, which nobody else knows of.
    async fn rehearse_in(
        &self,
        scratch: Database,
        inspected: &InspectedDir<'_>,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let name = scratch.identity().name;
        let LockAttempt::Taken(mut scratch) = scratch.try_lock(self.applied_by, self.limits).await.map_err(failed)?
        else {
            return Err(failed(DatabaseError::new(
                DatabaseErrorKind::Busy,
                format!("another run is at work in {name}"),
            )));
        };
        let result = self.run_steps(&mut scratch, inspected, plan, cancel);
        let result = result.instrument(tracing::info_span!("rehearsal", rehearsal = name)).await;
        // An error is ignored: the end of the session frees the lock, and the copy is removed anyway.
        let _ = scratch.release().await;
        result
    }

    /// Runs the steps one by one, and logs the impact of each.
    async fn run_steps(
        &self,
        scratch: &mut Locked,
        inspected: &InspectedDir<'_>,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let mut canceller = scratch.canceller().await.map_err(failed)?;
        scratch.prepare(self.limits).await.map_err(failed)?;
        scratch.create_history().await.map_err(failed)?;
        install_lock_log(scratch).await.map_err(failed)?;
        let mut done = Completed::default();
        for step in &plan.steps {
            let files_before = tables(scratch).await.map_err(failed)?;
            let single_step_plan = Plan {
                steps: vec![step.clone()],
                current: Vec::new(),
                goal: Vec::new(),
                ahead: Vec::new(),
                untouched: Vec::new(),
                ..*plan
            };
            let start = Instant::now();
            let migrated =
                migrate(scratch, &mut canceller, self.safety, inspected, &single_step_plan, self.retries, cancel).await;
            match migrated {
                Ok(migrated) => done.revisions.extend(migrated.done.revisions),
                Err(failure) => return Err(Failure { done, ..failure }),
            }
            let elapsed = start.elapsed().as_millis() as u64;
            let impact = impact(scratch, &files_before).await.map_err(failed)?;
            log_step(inspected, plan, step, impact.as_ref(), elapsed);
        }
        Ok(())
    }
}

fn failed(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Rehearse, Cause::Database(fault))
}

/// Prepares the copy. PostgreSQL gets a log of locks; SQLite has one lock, on the whole file, and does not report what
/// it rewrites.
async fn install_lock_log(scratch: &mut Locked) -> Result<(), DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => LockLog::new(database).install().await,
        Database::Sqlite(file) => {
            file.begin_rehearsal();
            Ok(())
        }
    }
}

/// Returns the files of the tables; empty on SQLite.
async fn tables(scratch: &mut Locked) -> Result<TableFiles, DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => LockLog::new(database).relfilenodes().await,
        Database::Sqlite(_) => Ok(TableFiles::new()),
    }
}

/// Returns the impact of a step, compared with `files_before`, the files before it; `None` on SQLite.
async fn impact(scratch: &mut Locked, files_before: &TableFiles) -> Result<Option<StepImpact>, DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => LockLog::new(database).impact(files_before).await.map(Some),
        Database::Sqlite(_) => Ok(None),
    }
}

/// Logs one line for a step: how long it took, in ms, which tables it rewrote, and which locks would block others.
fn log_step(inspected: &InspectedDir<'_>, plan: &Plan, step: &Step, impact: Option<&StepImpact>, elapsed: u64) {
    let script = inspected.script(step, plan.direction);
    let Some(impact) = impact else {
        return tracing::info!(duration_ms = elapsed, "rehearsed {}", script.section.file);
    };
    let rewritten = match impact.rewritten.as_slice() {
        [] => "no table rewritten".to_owned(),
        tables => format!("rewritten: {}", tables.join(", ")),
    };
    let table_locks: Vec<String> = impact.locked.iter().map(|(table, mode)| format!("{table} {mode}")).collect();
    let locks = match (table_locks.is_empty(), script.section.options.mode) {
        (true, TransactionMode::Transaction) => "no lock on an existing table".to_owned(),
        (true, TransactionMode::NoTransaction) => "no lock held to the end of a transaction".to_owned(),
        (false, _) => format!("locks held up to {elapsed} ms: {}", table_locks.join(", ")),
    };
    tracing::info!(duration_ms = elapsed, "rehearsed {}: {rewritten}; {locks}", script.section.file);
}
