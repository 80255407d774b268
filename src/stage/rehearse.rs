//! Runs the plan on the backup first: it restores, and the revisions run on real data, before production is touched.

use std::path::Path;
use std::time::Instant;

use tracing::Instrument;

use super::backup::Safety;
use super::migrate::{InspectedDir, migrate};
use super::restore::postgres::{RestoreContext, discard};
use super::restore::{BackupArchive, sqlite};
use crate::database::postgres::Postgres;
use crate::database::postgres::dump::RestoreMode;
use crate::database::postgres::rehearsal::{StepImpact, TableFiles};
use crate::database::{Database, DatabaseError, DatabaseErrorKind, HistoryName, LockAttempt, Locked, SessionLimits};
use crate::error::{Cause, Failure, Stage};
use crate::revision::{CheckedMode, Completed, Plan, Step};
use crate::signal::Cancel;

/// What the database is called in which a rehearsal takes place; on SQLite, the file.
const SUFFIX: &str = "_lockkeeper_rehearsal";

/// What a rehearsal needs to know.
pub struct Rehearsal<'a> {
    pub safety: &'a Safety,
    /// The folder of the backups.
    pub dir: &'a Path,
    pub pg_dump: Option<&'a Path>,
    pub history: &'a HistoryName,
    pub applied_by: &'a str,
    pub limits: SessionLimits,
    pub retries: u32,
}

/// Removes what a killed rehearsal has left: for a run that holds none itself.
pub async fn tidy(locked: &mut Locked) {
    match locked.database() {
        Database::Postgres(server) => {
            if let Err(fault) = server.discard_beside(SUFFIX).await {
                tracing::warn!("the copy that a rehearsal has left stays: {fault}");
            }
        }
        Database::Sqlite(file) => sqlite::discard_beside(file, SUFFIX),
    }
}

impl Rehearsal<'_> {
    /// Restores the backup into a database of its own, runs the plan there, says what each step did, and removes it. One
    /// that a killed run has left goes first.
    ///
    /// # Errors
    /// A backup that does not restore, a step that fails, a missing privilege, a signal. Production was not touched.
    pub async fn hold(
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
        let held = async {
            let archive = BackupArchive::find(file, self.dir)
                .map_err(|error| Failure::new(Stage::Restore, Cause::Restore(error)))?;
            let began = Instant::now();
            let steps = plan.steps.len();
            match locked.database() {
                Database::Postgres(server) => {
                    self.on_postgres(server, &archive, inspected, plan, cancel).await?;
                }
                Database::Sqlite(file) => {
                    let copy = sqlite::copy_beside(file, &archive, SUFFIX, self.history, cancel).await?;
                    let scratch = copy.open(self.history).await.map_err(failed)?;
                    self.on(Database::Sqlite(Box::new(scratch)), inspected, plan, cancel).await?;
                }
            }
            let took = began.elapsed().as_millis() as u64;
            tracing::info!(duration_ms = took, "rehearsed on the backup: {steps} of {steps} steps run");
            Ok(())
        };
        held.await.map_err(|failure| {
            let Failure { cause, done, .. } = failure;
            let done = done.revisions.len();
            Failure::new(Stage::Rehearse, Cause::Rehearsal { cause: Box::new(cause), done })
        })
    }

    async fn on_postgres(
        &self,
        server: &mut Postgres,
        archive: &BackupArchive,
        inspected: &InspectedDir<'_>,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        server.refuse_untrusted_code().await.map_err(failed)?;
        let means =
            RestoreContext { archive, history: self.history, pg_dump: self.pg_dump, patience: self.limits.busy };
        let mut beside = means.restore_beside(server, SUFFIX, RestoreMode::Passing, cancel).await?;
        let ended = match server.connect_to(&beside.name, self.history).await {
            Ok(scratch) => self.on(Database::Postgres(Box::new(scratch)), inspected, plan, cancel).await,
            Err(fault) => Err(failed(fault)),
        };
        discard(&mut beside).await;
        ended
    }

    /// The plan on the copy, which nobody else knows of.
    async fn on(
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
        let ended = self.steps(&mut scratch, inspected, plan, cancel);
        let ended = ended.instrument(tracing::info_span!("rehearsal", rehearsal = name)).await;
        // The session's end frees the lock; the database goes with it.
        let _ = scratch.release().await;
        ended
    }

    async fn steps(
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
            let before = tables(scratch).await.map_err(failed)?;
            let alone = Plan {
                steps: vec![step.clone()],
                current: Vec::new(),
                goal: Vec::new(),
                ahead: Vec::new(),
                untouched: Vec::new(),
                ..*plan
            };
            let began = Instant::now();
            let migrated = migrate(scratch, &mut canceller, self.safety, inspected, &alone, self.retries, cancel).await;
            match migrated {
                Ok(migrated) => done.revisions.extend(migrated.done.revisions),
                Err(failure) => return Err(Failure { done, ..failure }),
            }
            let took = began.elapsed().as_millis() as u64;
            let impact = impact(scratch, &before).await.map_err(failed)?;
            log_step(inspected, plan, step, impact.as_ref(), took);
        }
        Ok(())
    }
}

fn failed(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Rehearse, Cause::Database(fault))
}

/// SQLite has one lock, on the whole file, and says nothing of what it writes anew.
async fn install_lock_log(scratch: &mut Locked) -> Result<(), DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => database.install_lock_log().await,
        Database::Sqlite(file) => {
            file.begin_rehearsal();
            Ok(())
        }
    }
}

async fn tables(scratch: &mut Locked) -> Result<TableFiles, DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => database.relfilenodes().await,
        Database::Sqlite(_) => Ok(TableFiles::new()),
    }
}

async fn impact(scratch: &mut Locked, before: &TableFiles) -> Result<Option<StepImpact>, DatabaseError> {
    match scratch.database() {
        Database::Postgres(database) => database.impact(before).await.map(Some),
        Database::Sqlite(_) => Ok(None),
    }
}

/// One line for each step: how long it took, what it wrote anew, whom it would keep waiting.
fn log_step(inspected: &InspectedDir<'_>, plan: &Plan, step: &Step, impact: Option<&StepImpact>, took: u64) {
    let way = inspected.way(step, plan.direction);
    let Some(impact) = impact else {
        return tracing::info!(duration_ms = took, "rehearsed {}", way.file);
    };
    let rewritten = match impact.rewritten.as_slice() {
        [] => "no table rewritten".to_owned(),
        tables => format!("rewritten: {}", tables.join(", ")),
    };
    let held: Vec<String> = impact.locked.iter().map(|(table, mode)| format!("{table} {mode}")).collect();
    let locks = match (held.is_empty(), way.header.mode) {
        (true, CheckedMode::Transaction) => "no lock on an existing table".to_owned(),
        (true, CheckedMode::NoTransaction) => "no lock held to the end of a transaction".to_owned(),
        (false, _) => format!("locks held up to {took} ms: {}", held.join(", ")),
    };
    tracing::info!(duration_ms = took, "rehearsed {}: {rewritten}; {locks}", way.file);
}
