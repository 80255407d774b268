//! The choice of the way to back up: the first one that is named and fits.

use super::budget::{self, OtherWays};
use super::external::ExternalBackup;
use super::program::TimeLimit;
use super::safety::{PassedOver, Safety};
use super::work::BackupWork;
use super::{command, dump, external_manifest, in_bucket, point};
use crate::clock;
use crate::config::{BackupPlace, BackupWay};
use crate::error::{BackupError, Cause};

/// Takes a backup by the first way that fits. The reasons why the others were passed over are logged, and recorded with
/// the backup. A way that fits and fails ends the run: the next one would be less than what was asked for.
///
/// # Errors
/// Fails when no way fits, when the backup cannot be taken and verified, and when a signal or a lost session ends it.
pub(super) async fn first_that_fits(mut work: BackupWork<'_>, ways: &[BackupWay]) -> Result<Safety, Cause> {
    let mut passed_over: Vec<PassedOver> = Vec::new();
    for (index, &way) in ways.iter().enumerate() {
        let others = if index + 1 == ways.len() { OtherWays::None } else { OtherWays::Follow };
        let cancel = &work.context.cancel;
        let reason = tokio::select! {
            reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
            reason = Box::pin(obstacle(&mut work, way, others)) => reason.map_err(Cause::Backup)?,
        };
        let Some(reason) = reason else {
            // On the heap: the states of all ways together are large.
            return Box::pin(take_by(way, work, &passed_over)).await;
        };
        tracing::warn!("no backup by {}: {reason}", way.name());
        passed_over.push(PassedOver::new(way, reason));
    }
    let reasons = passed_over.iter().map(|passed| format!("{}: {}", passed.way, passed.reason)).collect();
    Err(Cause::Backup(BackupError::NoWay(reasons)))
}

/// Returns the reason why a way does not fit; `None` if it fits.
async fn obstacle(work: &mut BackupWork<'_>, way: BackupWay, others: OtherWays) -> Result<Option<String>, BackupError> {
    match way {
        BackupWay::Dump => budget::obstacle(work, others).await,
        BackupWay::Command | BackupWay::Off => Ok(None),
        BackupWay::Point => point::obstacle(work.hold.locked.database()).await.map_err(BackupError::Source),
    }
}

/// Takes a backup by a way that fits.
async fn take_by(way: BackupWay, mut work: BackupWork<'_>, passed_over: &[PassedOver]) -> Result<Safety, Cause> {
    match way {
        BackupWay::Dump => dump_within_limit(work, passed_over).await,
        BackupWay::Point => {
            let started_at = clock::now();
            let backup = ExternalBackup::Point(point::take(&mut work).await?);
            Ok(taken(backup, &mut work, passed_over, started_at))
        }
        BackupWay::Command => {
            let started_at = clock::now();
            let backup = ExternalBackup::Command(command::take(&mut work).await?);
            Ok(taken(backup, &mut work, passed_over, started_at))
        }
        BackupWay::Off => {
            tracing::warn!("no backup: LOCKKEEPER_BACKUP goes without one where no other way fits");
            Ok(Safety::waived(passed_over))
        }
    }
}

/// Logs a backup that lies elsewhere, and writes its manifest.
fn taken(backup: ExternalBackup, work: &mut BackupWork<'_>, passed_over: &[PassedOver], started_at: String) -> Safety {
    tracing::info!("backup taken: {backup}");
    external_manifest::write(work, &backup, passed_over, started_at);
    Safety::external(backup, passed_over)
}

/// Writes a file within the time limit, and until a signal arrives or the server does not answer any more.
async fn dump_within_limit(work: BackupWork<'_>, passed_over: &[PassedOver]) -> Result<Safety, Cause> {
    let time = TimeLimit::start(work.policy.timeout);
    let mut probe = work.hold.canceller.probe();
    let cancel = &work.context.cancel;
    tokio::select! {
        fault = probe.silence() => Err(Cause::Database(fault)),
        result = write(work, passed_over) => result.map_err(Cause::Backup),
        reason = cancel.cancelled() => Err(Cause::Stopped(reason)),
        () = time.is_up() => Err(Cause::Backup(BackupError::TimedOut(time.limit.unwrap_or_default()))),
    }
}

async fn write(work: BackupWork<'_>, passed_over: &[PassedOver]) -> Result<Safety, BackupError> {
    match &work.policy.place {
        BackupPlace::Directory(dir) => dump::write(work, dir, passed_over).await,
        BackupPlace::Bucket(url) => in_bucket::write(work, url, passed_over).await,
    }
}
