//! Restores a PostgreSQL backup into the current database, in one transaction, while nobody else can write.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::postgres::RestoreContext;
use super::{BackupArchive, compare, failed};
use crate::database::postgres::Postgres;
use crate::database::postgres::content::DatabaseContent;
use crate::database::postgres::in_place::{InPlaceError, InPlaceRestore};
use crate::database::postgres::swap::SwapError;
use crate::database::row_counts::RowCounts;
use crate::database::{Canceller, DatabaseErrorKind};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::progress::with_progress;
use crate::signal::{Cancel, CancelReason};

/// The longest time that one attempt waits for the locks of the tables: all other sessions wait behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause between these attempts; pauses double up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between these attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// The time after which a cancel request is sent again: one that arrives between two statements has no effect.
const CANCEL_INTERVAL: Duration = Duration::from_millis(500);

impl RestoreContext<'_> {
    /// Begins the transaction of a restore in place: locks every table against writers until the transaction ends. The
    /// last backup is taken after this, so that it contains everything that was ever committed.
    ///
    /// # Errors
    /// Fails when tables stay locked, when a privilege is missing, or when a signal arrives.
    pub(crate) async fn lock_tables(
        &self,
        locked: &mut Postgres,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let attempt = async {
                let mut restore = InPlaceRestore::new(locked);
                let result = restore.lock_tables(LOCK_TIMEOUT.min(self.timeout)).await;
                result.map_err(|fault| failed(RestoreError::Database(fault)))
            };
            let failure = match unless_stopped(attempt, canceller, cancel).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let is_contended = matches!(&failure.cause, Cause::Restore(RestoreError::Database(fault)) if fault.kind == DatabaseErrorKind::Contended);
            if !is_contended || start.elapsed() >= self.timeout {
                return Err(failure);
            }
            tracing::info!("waiting for the tables, which others use: {}", failure.cause);
            let remaining = self.timeout.saturating_sub(start.elapsed());
            tokio::select! {
                () = tokio::time::sleep(pause.min(remaining)) => pause = (pause * 2).min(LONGEST_PAUSE),
                reason = cancel.cancelled() => return Err(stopped(reason)),
            }
        }
    }

    /// Replaces the content in the transaction that has the tables locked, compares it with the manifest, and commits.
    ///
    /// # Errors
    /// Fails when the database has objects that the backup does not have, with the error of the server or of
    /// `pg_restore`, when the content differs from the manifest, or when a signal arrives. Everything is rolled back
    /// then, unless the answer to the COMMIT is lost.
    pub(crate) async fn in_place(
        &self,
        locked: &mut Postgres,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (path, name) = (&self.archive.shown, locked.identity().name);
        tracing::info!("restoring {path} into the database {name} as it is");
        let mut probe = canceller.probe();
        let replacement = async {
            let result = tokio::select! {
                fault = probe.silence() => {
                    probe.terminate().await;
                    Err(RestoreError::Database(fault))
                }
                result = with_progress("restoring", self.replace(locked, cancel)) => result,
            };
            if result.is_err() {
                InPlaceRestore::new(locked).roll_back().await;
            }
            result.map_err(failed)
        };
        unless_stopped(replacement, canceller, cancel).await?;
        InPlaceRestore::new(locked).commit_content().await.map_err(|error| match error {
            SwapError::Fault(fault) => failed(RestoreError::Database(fault)),
            SwapError::Unknown(fault) => failed(RestoreError::UnknownInPlace(fault)),
        })
    }

    /// Replaces the content and compares it with the manifest, without committing.
    async fn replace(&self, locked: &mut Postgres, cancel: &Cancel) -> Result<(), RestoreError> {
        let BackupArchive { path, manifest, .. } = self.archive;
        let tables = DatabaseContent::new(locked).tables().await.map_err(RestoreError::Database)?;
        refuse_newer_tables(manifest.rows.as_ref(), &tables)?;
        let mut restore = InPlaceRestore::new(locked);
        restore.refuse_large_object_writers().await.map_err(RestoreError::Database)?;
        let subscriptions = restore.subscriptions().await.map_err(RestoreError::Database)?;
        let replacement = restore.replace_content(self.pg_dump, path, cancel);
        replacement.await.map_err(|error| match error {
            InPlaceError::Tool(error) => RestoreError::Tool(error),
            InPlaceError::Fault(fault) => RestoreError::Database(fault),
        })?;
        let (applied, rows, survivors) = async {
            let mut restore = InPlaceRestore::new(locked);
            restore.find_history_again().await?;
            let survivors = restore.survivors(&subscriptions).await?;
            let applied = locked.history().await?;
            Ok((applied, DatabaseContent::new(locked).count().await?, survivors))
        }
        .await
        .map_err(RestoreError::Database)?;
        if !survivors.is_empty() {
            return Err(RestoreError::WouldStay(survivors));
        }
        let mismatches = compare(manifest, &applied, &rows);
        if mismatches.is_empty() { Ok(()) } else { Err(RestoreError::Differs(mismatches)) }
    }
}

/// Refuses tables that the restore would not remove, before anything is restored; other objects of this kind are found
/// only after the restore.
fn refuse_newer_tables(archived_rows: Option<&RowCounts>, tables: &[String]) -> Result<(), RestoreError> {
    let Some(archived_rows) = archived_rows else {
        return Ok(());
    };
    let newer_tables = tables.iter().filter(|table| !archived_rows.contains_key(*table));
    let newer_tables: Vec<String> = newer_tables.map(|table| format!("table {table}")).collect();
    if newer_tables.is_empty() { Ok(()) } else { Err(RestoreError::WouldStay(newer_tables)) }
}

fn stopped(reason: CancelReason) -> Failure {
    Failure::new(Stage::Restore, Cause::Stopped(reason))
}

/// Waits for work on the working session. When the run is to end, cancels the statement of the work and waits for the
/// end of the work, because the session is needed to roll back.
async fn unless_stopped(
    work: impl Future<Output = Result<(), Failure>>,
    canceller: &mut Canceller,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    let reason = tokio::select! {
        result = &mut work => return result,
        reason = cancel.cancelled() => reason,
    };
    loop {
        canceller.cancel().await;
        if let Ok(result) = tokio::time::timeout(CANCEL_INTERVAL, &mut work).await {
            return result.and(Err(stopped(reason))).map_err(|_| stopped(reason));
        }
    }
}
