//! Restores a PostgreSQL backup into a new database beside the current one, and exchanges both.

use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{BackupArchive, compare, failed, timestamp};
use crate::database::postgres::Postgres;
use crate::database::postgres::content::DatabaseContent;
use crate::database::postgres::dump::capacity::Capacity;
use crate::database::postgres::dump::{Part, RestoreMode};
use crate::database::postgres::scratch_database::ScratchDatabase;
use crate::database::postgres::swap::SwapError;
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::progress::with_progress;
use crate::signal::Cancel;

/// The suffix of the new database until it takes the place of the current one. The key of its advisory
/// lock is computed from its name.
pub(crate) const SUFFIX: &str = "_lockkeeper_restore";

/// The pause after the first attempt to exchange the databases, if a session or a transaction was in the way. An
/// attempt keeps all clients from logging in for up to five seconds, so the pauses between attempts double up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// The settings of a restore.
pub(crate) struct RestoreContext<'a> {
    /// The backup to restore.
    pub(crate) archive: &'a BackupArchive,
    /// The configured path of `pg_dump`, if there is one.
    pub(crate) pg_dump: Option<&'a Path>,
    /// The number of sessions that restore the content of a directory at the same time.
    pub(crate) jobs: NonZero<usize>,
    /// The name of the history table.
    pub(crate) history: &'a HistoryName,
    /// The longest wait for sessions that do not end, or for locks that are not freed.
    pub(crate) timeout: Duration,
}

impl RestoreContext<'_> {
    /// Creates a database beside the locked one, restores the archive into it, and compares it with the manifest. The
    /// new database is dropped after an error.
    ///
    /// # Errors
    /// Fails without the privilege CREATEDB, with the error of `pg_restore`, when the content differs from the
    /// manifest, or when a signal arrives.
    pub(crate) async fn restore_beside(
        &self,
        locked: &mut Postgres,
        suffix: &str,
        mode: RestoreMode,
        cancel: &Cancel,
    ) -> Result<ScratchDatabase, Failure> {
        let result = ScratchDatabase::create(locked, suffix).await;
        let mut scratch = result.map_err(|fault| failed(RestoreError::Database(fault)))?;
        let jobs = match self.archive.manifest.directory_files() {
            Some(_) => Capacity::new(locked).jobs(self.jobs, "the restore").await,
            None => Ok(NonZero::<usize>::MIN),
        };
        tracing::info!("restoring {} into the database {}", self.archive.shown, scratch.name);
        let result = tokio::select! {
            result = with_progress("restoring", self.fill(locked, &mut scratch, mode, jobs)) => result.map_err(failed),
            reason = cancel.cancelled() => Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
        };
        match result {
            Ok(()) => Ok(scratch),
            Err(failure) => {
                discard(&mut scratch).await;
                Err(failure)
            }
        }
    }

    /// Restores the archive into the scratch database, first the definitions and then the content, and checks the
    /// result.
    async fn fill(
        &self,
        locked: &Postgres,
        scratch: &mut ScratchDatabase,
        mode: RestoreMode,
        jobs: Result<NonZero<usize>, DatabaseError>,
    ) -> Result<(), RestoreError> {
        let BackupArchive { path, manifest, .. } = self.archive;
        let archive = (path.as_path(), jobs.map_err(RestoreError::Database)?);
        let result = scratch.restore(locked, (mode, Part::Definitions), self.pg_dump, archive);
        result.await.map_err(RestoreError::Tool)?;
        // Checked in the copy: the current database may have lost what the backup contains.
        let connection = scratch.connect(locked, self.history).await;
        let mut connection = connection.map_err(RestoreError::Database)?;
        let result = DatabaseContent::new(&mut connection).refuse_untrusted_code().await;
        connection.close().await;
        result.map_err(RestoreError::Database)?;
        let result = scratch.restore(locked, (mode, Part::Content), self.pg_dump, archive);
        result.await.map_err(RestoreError::Tool)?;
        // Done before anything is read: the search path among the settings may decide where the history is.
        scratch.copy_settings_and_grants().await.map_err(RestoreError::Database)?;
        let connection = scratch.connect(locked, self.history).await;
        let mut connection = connection.map_err(RestoreError::Database)?;
        if mode == RestoreMode::Discarded {
            DatabaseContent::new(&mut connection).cut_off().await.map_err(RestoreError::Database)?;
        }
        let applied = connection.history().await.map_err(RestoreError::Database)?;
        let mut content = DatabaseContent::new(&mut connection);
        let rows = content.count().await.map_err(RestoreError::Database)?;
        content.analyze().await.map_err(RestoreError::Database)?;
        connection.close().await;
        let mismatches = compare(manifest, &applied, &rows);
        if mismatches.is_empty() { Ok(()) } else { Err(RestoreError::Differs(mismatches)) }
    }

    /// Restores the backup beside the current database, and exchanges both. Returns the name under which the old
    /// database is kept.
    ///
    /// # Errors
    /// Fails as [`RestoreContext::restore_beside`] does, when sessions cannot be ended, or when the lock is lost.
    pub(crate) async fn exchange(&self, mut locked: Postgres, cancel: &Cancel) -> Result<String, Failure> {
        let mut scratch = match self.restore_beside(&mut locked, SUFFIX, RestoreMode::Empty, cancel).await {
            Ok(scratch) => scratch,
            Err(failure) => {
                // The lock is freed only now, when nothing of this run is left and the next run may begin.
                locked.close().await;
                return Err(failure);
            }
        };
        let timestamp = timestamp();
        let subscriptions = DatabaseContent::new(&mut locked).enabled_subscriptions().await;
        let mut old = Some(locked);
        let result = match scratch.name_for_the_old(&format!("_before_restore_{timestamp}")).await {
            Ok(kept_name) => self.swap(&mut scratch, &mut old, &kept_name, cancel).await.map(|()| kept_name),
            Err(fault) => Err(failed(RestoreError::Database(fault))),
        };
        if let Err(Failure { cause, .. }) = &result {
            // When the outcome is unknown, the new database may be in service.
            if !matches!(cause, Cause::Restore(RestoreError::Unknown(_))) {
                discard(&mut scratch).await;
            }
            if let Some(old) = old {
                old.close().await;
            }
        }
        if let (Ok(kept_name), Ok(subscriptions)) = (&result, subscriptions) {
            warn_of_subscriptions(kept_name, &subscriptions);
        }
        result
    }

    /// Tries to exchange the databases until the application's sessions have ended.
    async fn swap(
        &self,
        scratch: &mut ScratchDatabase,
        old: &mut Option<Postgres>,
        kept_name: &str,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            if let Some(reason) = cancel.reason() {
                return Err(Failure::new(Stage::Restore, Cause::Stopped(reason)));
            }
            let result = match scratch.refuse_prepared().await {
                Ok(()) => scratch.swap_with(old, kept_name).await,
                Err(fault) => Err(SwapError::Fault(fault)),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(SwapError::Fault(fault))
                    if fault.kind == DatabaseErrorKind::Busy && old.is_some() && start.elapsed() < self.timeout =>
                {
                    tracing::info!("waiting for what keeps the database from being renamed: {fault}");
                }
                Err(SwapError::Fault(fault)) => return Err(failed(RestoreError::Database(fault))),
                Err(SwapError::Unknown(fault)) => return Err(failed(RestoreError::Unknown(fault))),
            }
            let remaining = self.timeout.saturating_sub(start.elapsed());
            tokio::select! {
                () = tokio::time::sleep(pause.min(remaining)) => pause = (pause * 2).min(LONGEST_PAUSE),
                _ = cancel.cancelled() => {}
            }
        }
    }
}

/// Says what becomes of subscriptions: an archive has them disabled, and the worker of each goes on in the database
/// that it was made in (manual, pg_dump, "Notes").
fn warn_of_subscriptions(kept_name: &str, subscriptions: &[String]) {
    for name in subscriptions {
        tracing::warn!(
            "the subscription {name} still writes into {kept_name}, the database that was replaced, and is disabled \
             in the restored one: ALTER SUBSCRIPTION {name} DISABLE in the first, then ENABLE it in the other, with a slot of its own"
        );
    }
}

/// Drops a database that is not needed. One that cannot be dropped now is dropped when the next one is created.
pub(crate) async fn discard(scratch: &mut ScratchDatabase) {
    if let Err(fault) = scratch.drop_database().await {
        tracing::warn!("the database {} stays until the next run removes it: {fault}", scratch.name);
    }
}
