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
pub(crate) async fn reattach<'a>(
    load: BulkLoad<'a>,
    plan: &Arc<TransferPlan>,
    highest: &[Option<i64>],
    digests: &mut [Digest],
    on_bad_value: OnBadValue,
    progress: &ProgressLine,
) -> Result<(CompletedLoad<'a>, RemovedRows), Cause> {
    let sequence_floors: Vec<SequenceFloor<'_>> =
        plan.mappings.iter().zip(highest).filter_map(|(mapping, highest)| sequence_floor(mapping, *highest)).collect();
    let meter = RowMeter::new(progress, "building indexes and checking foreign keys".into(), None);
    let mut on_step = |step: ReattachStep<'_>| {
        tracing::debug!("{} of {}: {}", step.step, step.total, step.object);
        meter.becomes(format!("putting back, step {} of {}: {}", step.step, step.total, step.object));
    };
    let mut removed = RemovedRows::new(Arc::clone(plan));
    let columns = |oid| {
        let mapping = plan.mappings.iter().find(|mapping| mapping.target.oid == oid);
        mapping.map_or(Vec::new(), |mapping| mapping.written().into_iter().map(identifier).collect())
    };
    let mut each = |orphan: Orphan<'_>| removed.take(&orphan, digests);
    let work = async {
        match on_bad_value {
            OnBadValue::Read => load.reattach(&sequence_floors, &mut on_step).await,
            OnBadValue::Send => {
                let removal = Removal { columns: &columns, on_orphan: &mut each };
                load.reattach_without(removal, &sequence_floors, &mut on_step).await
            }
        }
    };
    let completed_load = metered(&meter, work).await.map_err(|error| match error {
        ReattachError::Fault(fault) => Cause::Database(fault),
        ReattachError::Violated(violations) => {
            let messages = violations.iter().map(ToString::to_string).collect();
            Cause::Transfer(TransferError::Violated(messages))
        }
    })?;
    tracing::info!(duration_ms = meter.duration_ms(), "built indexes, checked foreign keys");
    Ok((completed_load, removed))
}

/// Returns the number that a table's sequence has to be past; `None` if there is none. AUTOINCREMENT never gives a
/// number again, not even that of a deleted row; and a row that was left out may be added later, with its number.
fn sequence_floor<'a>(mapping: &'a TableMapping, highest: Option<i64>) -> Option<SequenceFloor<'a>> {
    let value = mapping.source.sequence.max(highest)?;
    let column = match (&mapping.source.key, &mapping.target.key[..]) {
        (RowKey::Rowid { column: Some(rowid), .. }, _) => {
            let column_mapping = mapping.columns.iter().find(|column_mapping| column_mapping.source == *rowid)?;
            &mapping.target.columns[column_mapping.target].name
        }
        // The rows of an export have a rowid of their own: the target says which column is the key.
        (RowKey::Unnamed, [key]) => key,
        _ => return None,
    };
    Some(SequenceFloor { schema: &mapping.target.schema, table: &mapping.target.name, column, value })
}
