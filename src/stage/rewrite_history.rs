//! Changes the history without running a script: all of the changes or none.

use super::cancellable::run_cancellable;
use crate::database::{Canceller, DatabaseErrorKind, Locked};
use crate::error::{Cause, Failure, Stage};
use crate::revision::history::HistoryChange;
use crate::signal::Cancel;

/// Writes the changes in one transaction.
///
/// # Errors
/// What kept it from being committed: the history is as it was then.
pub(crate) async fn rewrite_history(
    locked: &mut Locked,
    canceller: &mut Canceller,
    changes: &[HistoryChange<'_>],
    cancel: &Cancel,
) -> Result<(), Failure> {
    let failed = |cause| Failure::new(Stage::Record, cause);
    if let Some(reason) = cancel.reason() {
        return Err(failed(Cause::Stopped(reason)));
    }
    let mut blocker = None;
    let result = run_cancellable(locked.rewrite_history(changes), canceller, &mut blocker, None, cancel).await;
    result.map_err(|mut error| {
        let kind = error.rolled_back_by().map(|fault| {
            if fault.kind == DatabaseErrorKind::Contended {
                fault.detail = fault.detail.take().or(blocker);
            }
            fault.kind
        });
        failed(match (kind, cancel.reason()) {
            (Some(DatabaseErrorKind::Cancelled), Some(reason)) => Cause::Stopped(reason),
            _ => Cause::Unrecorded(error),
        })
    })
}
