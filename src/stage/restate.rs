//! Changes the history without running anything: all of it or nothing.

use super::migrate::attend;
use crate::database::{Canceller, Kind, Locked};
use crate::error::{Cause, Failure, Stage};
use crate::revision::render::Change;
use crate::signal::Cancel;

/// Writes the changes in one transaction.
///
/// # Errors
/// What kept it from being committed: the history is as it was then.
pub async fn restate(
    locked: &mut Locked,
    canceller: &mut Canceller,
    changes: &[Change<'_>],
    cancel: &Cancel,
) -> Result<(), Failure> {
    let failed = |cause| Failure::new(Stage::Record, cause);
    if let Some(reason) = cancel.reason() {
        return Err(failed(Cause::Stopped(reason)));
    }
    let mut blocker = None;
    let result = attend(locked.restate(changes), canceller, &mut blocker, cancel).await;
    result.map_err(|mut broken| {
        let kind = broken.rolled_back_by().map(|fault| {
            if fault.kind == Kind::Contended {
                fault.detail = fault.detail.take().or(blocker);
            }
            fault.kind
        });
        failed(match (kind, cancel.reason()) {
            (Some(Kind::Cancelled), Some(reason)) => Cause::Stopped(reason),
            _ => Cause::Unrecorded(broken),
        })
    })
}
