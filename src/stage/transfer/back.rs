//! Putting back what was set aside, without the rows that lead nowhere.

use std::sync::Arc;

use super::orphans::Removed;
use super::write::Rest;
use crate::database::postgres::load::{Load, Mark, Orphan, Progress, Removal, Restored, Unrestored};
use crate::database::sqlite::source::Key;
use crate::error::{Cause, TransferError};
use crate::progress::{Meter, metered};
use crate::revision::render::identifier;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{Pair, Plan};

/// Indexes, foreign keys, sequences, statistics.
pub async fn put_back<'a>(
    load: Load<'a>,
    plan: &Arc<Plan>,
    highest: &[Option<i64>],
    digests: &mut [Digest],
    rest: Rest,
) -> Result<(Restored<'a>, Removed), Cause> {
    let marks: Vec<Mark<'_>> =
        plan.pairs.iter().zip(highest).filter_map(|(pair, highest)| mark(pair, *highest)).collect();
    let meter = Meter::new("building indexes and checking foreign keys".into(), None);
    let mut tell = |step: Progress<'_>| {
        tracing::debug!("{} of {}: {}", step.step, step.of, step.what);
        meter.becomes(format!("putting back, step {} of {}: {}", step.step, step.of, step.what));
    };
    let mut removed = Removed::new(Arc::clone(plan));
    let columns = |oid| {
        let pair = plan.pairs.iter().find(|pair| pair.target.oid == oid);
        pair.map_or(Vec::new(), |pair| pair.written().into_iter().map(identifier).collect())
    };
    let mut each = |orphan: Orphan<'_>| removed.take(&orphan, digests);
    let restoring = async {
        match rest {
            Rest::Read => load.restore(&marks, &mut tell).await,
            Rest::Send => {
                let removal = Removal { columns: &columns, each: &mut each };
                load.restore_without(removal, &marks, &mut tell).await
            }
        }
    };
    let restored = metered(&meter, restoring).await.map_err(|unrestored| match unrestored {
        Unrestored::Fault(fault) => Cause::Database(fault),
        Unrestored::Violated(violations) => {
            let words = violations.iter().map(ToString::to_string).collect();
            Cause::Transfer(TransferError::Violated(words))
        }
    })?;
    tracing::info!(duration_ms = meter.duration_ms(), "built indexes, checked foreign keys");
    Ok((restored, removed))
}

/// AUTOINCREMENT never gives a number again, not even that of a row that is gone; and a row that was left out may come
/// later, with its number.
fn mark<'a>(pair: &'a Pair, highest: Option<i64>) -> Option<Mark<'a>> {
    let value = pair.source.sequence.max(highest)?;
    let Key::Rowid { column: Some(rowid), .. } = pair.source.key else { return None };
    let mapped = pair.columns.iter().find(|mapped| mapped.source == rowid)?;
    let column = &pair.target.columns[mapped.target].name;
    Some(Mark { schema: &pair.target.schema, table: &pair.target.name, column, value })
}
