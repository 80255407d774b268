//! The choice of the way to back up: the first one that is named and fits.

use super::dump;
use super::safety::{PassedOver, Safety};
use super::work::BackupWork;
use crate::config::BackupWay;
use crate::error::BackupError;

/// Takes a backup by the first way that fits. The reasons why the others were passed over are logged, and recorded with
/// the backup. A way that fits and fails ends the run: the next one would be less than what was asked for.
///
/// # Errors
/// Fails when no way fits, and when the backup cannot be taken and verified.
pub(super) async fn first_that_fits(mut work: BackupWork<'_>, ways: &[BackupWay]) -> Result<Safety, BackupError> {
    let mut passed_over: Vec<PassedOver> = Vec::new();
    for &way in ways {
        let Some(reason) = obstacle(&mut work, way).await? else {
            return take_by(way, work, &passed_over).await;
        };
        tracing::warn!("no backup by {}: {reason}", way.name());
        passed_over.push(PassedOver::new(way, reason));
    }
    Err(BackupError::NoWay(passed_over.iter().map(|passed| format!("{}: {}", passed.way, passed.reason)).collect()))
}

/// Returns the reason why a way does not fit; `None` if it fits.
async fn obstacle(_work: &mut BackupWork<'_>, way: BackupWay) -> Result<Option<String>, BackupError> {
    match way {
        BackupWay::Dump | BackupWay::Off => Ok(None),
        BackupWay::Point | BackupWay::Command => Ok(Some("it is not available".into())),
    }
}

/// Takes a backup by a way that fits.
async fn take_by(way: BackupWay, work: BackupWork<'_>, passed_over: &[PassedOver]) -> Result<Safety, BackupError> {
    match way {
        BackupWay::Dump => dump::write(work, passed_over).await,
        BackupWay::Point | BackupWay::Command => unreachable!("there is an obstacle"),
        BackupWay::Off => {
            tracing::warn!("no backup: LOCKKEEPER_BACKUP goes without one where no other way fits");
            Ok(Safety::waived(passed_over))
        }
    }
}
