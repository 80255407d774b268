//! Puts the indexes, constraints and triggers that a load has detached back in place, without the rows that reference
//! no existing row.

use std::sync::Arc;

use super::orphans::RemovedRows;
use super::write::OnBadValue;
use crate::database::postgres::bulk_load::{
    BulkLoad, CompletedLoad, Orphan, ReattachError, ReattachStep, Removal, SequenceFloor,
};
use crate::error::{Cause, TransferError};
use crate::progress::{RowMeter, metered};
use crate::report::ProgressLine;
use crate::sql::identifier;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{TableMapping, TransferPlan};
use crate::transfer::source::RowKey;

/// Restores indexes, foreign keys, sequences and statistics. Returns the load that can be committed, and the rows that
/// were removed.
///
/// # Errors
/// Fails with the foreign key violations that remain, or with an error of the session.
pub async fn reattach<'a>(
    load: BulkLoad<'a>,
    plan: &Arc<TransferPlan>,
    highest: &[Option<i64>],
    digests: &mut [Digest],
    rest: OnBadValue,
    progress: &ProgressLine,
) -> Result<(CompletedLoad<'a>, RemovedRows), Cause> {
    let marks: Vec<SequenceFloor<'_>> =
        plan.pairs.iter().zip(highest).filter_map(|(pair, highest)| mark(pair, *highest)).collect();
    let meter = RowMeter::new(progress, "building indexes and checking foreign keys".into(), None);
    let mut tell = |step: ReattachStep<'_>| {
        tracing::debug!("{} of {}: {}", step.step, step.of, step.what);
        meter.becomes(format!("putting back, step {} of {}: {}", step.step, step.of, step.what));
    };
    let mut removed = RemovedRows::new(Arc::clone(plan));
    let columns = |oid| {
        let pair = plan.pairs.iter().find(|pair| pair.target.oid == oid);
        pair.map_or(Vec::new(), |pair| pair.written().into_iter().map(identifier).collect())
    };
    let mut each = |orphan: Orphan<'_>| removed.take(&orphan, digests);
    let restoring = async {
        match rest {
            OnBadValue::Read => load.reattach(&marks, &mut tell).await,
            OnBadValue::Send => {
                let removal = Removal { columns: &columns, each: &mut each };
                load.reattach_without(removal, &marks, &mut tell).await
            }
        }
    };
    let restored = metered(&meter, restoring).await.map_err(|unrestored| match unrestored {
        ReattachError::Fault(fault) => Cause::Database(fault),
        ReattachError::Violated(violations) => {
            let words = violations.iter().map(ToString::to_string).collect();
            Cause::Transfer(TransferError::Violated(words))
        }
    })?;
    tracing::info!(duration_ms = meter.duration_ms(), "built indexes, checked foreign keys");
    Ok((restored, removed))
}

/// Returns the number that a table's sequence has to be past; `None` if there is none. AUTOINCREMENT never gives a
/// number again, not even that of a deleted row; and a row that was left out may be added later, with its number.
fn mark<'a>(pair: &'a TableMapping, highest: Option<i64>) -> Option<SequenceFloor<'a>> {
    let value = pair.source.sequence.max(highest)?;
    let column = match (&pair.source.key, &pair.target.key[..]) {
        (RowKey::Rowid { column: Some(rowid), .. }, _) => {
            let mapped = pair.columns.iter().find(|mapped| mapped.source == *rowid)?;
            &pair.target.columns[mapped.target].name
        }
        // The rows of an export have a rowid of their own: the target says which column is the key.
        (RowKey::Unnamed, [key]) => key,
        _ => return None,
    };
    Some(SequenceFloor { schema: &pair.target.schema, table: &pair.target.name, column, value })
}
