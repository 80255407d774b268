//! PostgreSQL: into the database as it is, in one transaction, while nobody else writes.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::postgres::RestoreContext;
use super::{BackupArchive, compare, failed};
use crate::database::postgres::Postgres;
use crate::database::postgres::in_place::InPlaceError;
use crate::database::postgres::swap::SwapError;
use crate::database::row_counts::RowCounts;
use crate::database::{Canceller, DatabaseErrorKind};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::progress::with_progress;
use crate::signal::{Cancel, CancelReason};

/// How long one attempt waits for the locks of the tables: everybody else waits behind it.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The pauses between these attempts double up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// A cancel request that arrives between two statements meets nothing, so it is sent again.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

impl RestoreContext<'_> {
    /// Begins the transaction of a restore in place: locks every table against writers, until that ends. The last backup
    /// is taken after this, so that it has everything that was ever committed.
    ///
    /// # Errors
    /// Tables that stay locked; a missing privilege; a signal.
    pub async fn lock_tables(
        &self,
        locked: &mut Postgres,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let tried = async {
                let locking = locked.lock_tables(LOCK_WAIT.min(self.patience)).await;
                locking.map_err(|fault| failed(RestoreError::Database(fault)))
            };
            let failure = match unless_stopped(tried, canceller, cancel).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let is_contended = matches!(&failure.cause, Cause::Restore(RestoreError::Database(fault)) if fault.kind == DatabaseErrorKind::Contended);
            if !is_contended || began.elapsed() >= self.patience {
                return Err(failure);
            }
            tracing::info!("waiting for the tables, which others use: {}", failure.cause);
            let left = self.patience.saturating_sub(began.elapsed());
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => pause = (pause * 2).min(LONGEST_PAUSE),
                reason = cancel.cancelled() => return Err(stopped(reason)),
            }
        }
    }

    /// Replaces the content in the transaction that has the tables locked, compares it with the manifest, and commits.
    ///
    /// # Errors
    /// Objects that the backup does not have; what the server or `pg_restore` says; differences from the manifest; a
    /// signal. All is rolled back then, unless the answer to the COMMIT is lost.
    pub async fn in_place(
        &self,
        locked: &mut Postgres,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (path, name) = (self.archive.path.display(), locked.identity().name);
        tracing::info!("restoring {path} into the database {name} as it is");
        let mut probe = canceller.probe();
        let replacing = async {
            let replaced = tokio::select! {
                fault = probe.silence() => {
                    probe.terminate().await;
                    Err(RestoreError::Database(fault))
                }
                replaced = with_progress("restoring", self.replace(locked, cancel)) => replaced,
            };
            if replaced.is_err() {
                locked.roll_back().await;
            }
            replaced.map_err(failed)
        };
        unless_stopped(replacing, canceller, cancel).await?;
        locked.commit_content().await.map_err(|error| match error {
            SwapError::Fault(fault) => failed(RestoreError::Database(fault)),
            SwapError::Unknown(fault) => failed(RestoreError::UnknownInPlace(fault)),
        })
    }

    async fn replace(&self, locked: &mut Postgres, cancel: &Cancel) -> Result<(), RestoreError> {
        let BackupArchive { path, manifest } = self.archive;
        let held = locked.tables().await.map_err(RestoreError::Database)?;
        only_known(manifest.rows.as_ref(), &held)?;
        locked.refuse_large_object_writers().await.map_err(RestoreError::Database)?;
        let subscriptions = locked.subscriptions().await.map_err(RestoreError::Database)?;
        let replacing = locked.replace_content(self.pg_dump, path, cancel);
        replacing.await.map_err(|error| match error {
            InPlaceError::Tool(error) => RestoreError::Tool(error),
            InPlaceError::Fault(fault) => RestoreError::Database(fault),
        })?;
        let (applied, rows, left) = async {
            locked.find_history_again().await?;
            let left = locked.survivors(&subscriptions).await?;
            Ok((locked.history().await?, locked.count().await?, left))
        }
        .await
        .map_err(RestoreError::Database)?;
        if !left.is_empty() {
            return Err(RestoreError::WouldStay(left));
        }
        let wrong = compare(manifest, &applied, &rows);
        if wrong.is_empty() { Ok(()) } else { Err(RestoreError::Differs(wrong)) }
    }
}

/// Refuses tables that would outlive the restore, before anything is restored: it finds the other objects only afterwards.
fn only_known(archived: Option<&RowCounts>, held: &[String]) -> Result<(), RestoreError> {
    let Some(archived) = archived else {
        return Ok(());
    };
    let newer = held.iter().filter(|table| !archived.contains_key(*table));
    let newer: Vec<String> = newer.map(|table| format!("table {table}")).collect();
    if newer.is_empty() { Ok(()) } else { Err(RestoreError::WouldStay(newer)) }
}

fn stopped(reason: CancelReason) -> Failure {
    Failure::new(Stage::Restore, Cause::Stopped(reason))
}

/// Waits for work on the working session. When the run is to end, the work's statement is cancelled, and its end waited
/// for: the session is needed to roll back.
async fn unless_stopped(
    work: impl Future<Output = Result<(), Failure>>,
    canceller: &mut Canceller,
    cancel: &Cancel,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    let reason = tokio::select! {
        done = &mut work => return done,
        reason = cancel.cancelled() => reason,
    };
    loop {
        canceller.cancel().await;
        if let Ok(ended) = tokio::time::timeout(CANCEL_AGAIN, &mut work).await {
            return ended.and(Err(stopped(reason))).map_err(|_| stopped(reason));
        }
    }
}
