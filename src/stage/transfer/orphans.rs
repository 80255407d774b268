//! Handles rows that were sent and reference a row that was not: they are removed from the target again, found in the
//! source, and written to the file of rejected rows.
//!
//! A row is identified by the hash of all its values, which both sides have. So neither its key matters, nor the form
//! of the key in the target.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::rejects::RejectFile;
use crate::database::postgres::bulk_load::Orphan;
use crate::database::sqlite::source::{SourceRow, SqliteSource};
use crate::error::{Cause, TransferError};
use crate::progress::with_progress;
use crate::stage::blocking::Running;
use crate::transfer::cast::CanonicalRow;
use crate::transfer::digest::{Digest, hash};
use crate::transfer::plan::{TableMapping, TransferPlan};
use crate::transfer::rejected_value::RejectedValue;

/// The rows of all tables that were removed.
pub(crate) struct RemovedRows {
    plan: Arc<TransferPlan>,
    tables: Vec<OrphanTable>,
    /// The problems of the rows, by foreign key.
    reasons: HashMap<usize, Vec<RejectedValue>>,
}

/// The removed rows of one table: by hash, the number of such rows and the foreign key that they break.
#[derive(Default)]
struct OrphanTable {
    rows: HashMap<u128, (u64, usize)>,
}

impl RemovedRows {
    pub(crate) fn new(plan: Arc<TransferPlan>) -> RemovedRows {
        let tables = plan.mappings.iter().map(|_| OrphanTable::default()).collect();
        RemovedRows { plan, tables, reasons: HashMap::new() }
    }

    /// Records a row, and subtracts it from the digest of its table.
    pub(crate) fn take(&mut self, orphan: &Orphan<'_>, digests: &mut [Digest]) {
        let Some(index) = self.plan.mappings.iter().position(|mapping| mapping.target.oid == orphan.table) else {
            return;
        };
        let bytes = orphan.row.bytes();
        digests[index].remove(bytes);
        self.tables[index].rows.entry(hash(bytes)).or_insert((0, orphan.key)).0 += 1;
        self.reasons.entry(orphan.key).or_insert_with(|| {
            let parents = orphan.parent_columns.join(", ");
            let reason = format!("leads to no row of {} ({parents})", orphan.parent);
            let rejected_value = |column: &String| RejectedValue {
                column: column.clone(),
                reason: reason.clone(),
                hint: None,
                cast: None,
            };
            orphan.columns.iter().map(rejected_value).collect()
        });
    }

    /// Finds the rows in the source, logs at most `limit` of them, and adds all of them to the file of rejected rows,
    /// which is returned.
    ///
    /// # Errors
    /// Fails when the source cannot be read or the file cannot be written, and when a row is not found, which would be
    /// a bug.
    pub(crate) async fn found_in(
        self,
        source: SqliteSource,
        rejects: Option<RejectFile>,
        limit: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Option<RejectFile>, Cause> {
        let Some(mut rejects) = rejects else { return Ok(None) };
        if self.reasons.is_empty() {
            return Ok(Some(rejects));
        }
        let search = Running::start(stop, move |stop| {
            let descriptions = self.write_rejects(&source, &mut rejects, limit, stop)?;
            Ok((descriptions, rejects))
        });
        let result: Result<_, Cause> = with_progress("looking for the rows that were left out", search.ended()).await;
        let (descriptions, rejects) = result?;
        descriptions.iter().for_each(|description| tracing::warn!("left out: {description}"));
        Ok(Some(rejects))
    }

    /// Does the work of [`RemovedRows::found_in`] on this thread. Returns the lines that name the rows, at most
    /// `limit`.
    fn write_rejects(
        mut self,
        source: &SqliteSource,
        rejects: &mut RejectFile,
        limit: usize,
        stop: &AtomicBool,
    ) -> Result<Vec<String>, Cause> {
        let mut descriptions = Vec::new();
        let plan = Arc::clone(&self.plan);
        for (mapping, table) in plan.mappings.iter().zip(&mut self.tables) {
            let (bytes, canonical) = (Vec::new(), CanonicalRow::default());
            let mut finder = OrphanFinder { mapping, table, reasons: &self.reasons, bytes, canonical };
            let mut remaining: u64 = finder.table.rows.values().map(|(rows, _)| rows).sum();
            if remaining == 0 {
                continue;
            }
            let read = source.rows(&mapping.source, &mapping.read(), stop, |row| {
                let Some(rejected_values) = finder.find(row) else { return ControlFlow::Continue(()) };
                remaining -= 1;
                if descriptions.len() < limit {
                    let columns: Vec<&str> =
                        rejected_values.iter().map(|rejected_value| rejected_value.column.as_str()).collect();
                    let (table, columns) = (&mapping.source.name, columns.join(", "));
                    let reason = rejected_values.first().map_or("", |rejected_value| &rejected_value.reason);
                    descriptions.push(format!("{table} ({columns}), {}: {reason}", row.identity()));
                }
                let values = &mut mapping.names().zip(row.values());
                match rejects.add(&mapping.source.name, &row.identity(), rejected_values, values) {
                    Ok(()) if remaining > 0 => ControlFlow::Continue(()),
                    result => ControlFlow::Break(result),
                }
            });
            let read = read.map_err(|fault| Cause::Transfer(TransferError::Source(fault)))?;
            if let ControlFlow::Break(Err(error)) = read {
                return Err(Cause::Transfer(error));
            }
            if remaining > 0 {
                let message =
                    format!("{remaining} rows of {} without a parent are not in the source", mapping.source.name);
                return Err(Cause::Internal(message));
            }
        }
        source.confirm().map_err(|fault| Cause::Transfer(TransferError::Source(fault)))?;
        Ok(descriptions)
    }
}

/// A search for the removed rows of one table.
struct OrphanFinder<'a> {
    mapping: &'a TableMapping,
    table: &'a mut OrphanTable,
    reasons: &'a HashMap<usize, Vec<RejectedValue>>,
    bytes: Vec<u8>,
    canonical: CanonicalRow,
}

impl<'a> OrphanFinder<'a> {
    /// Returns the problems of a row, if it is one of those that were removed, and counts it as found.
    fn find(&mut self, row: &SourceRow<'_>) -> Option<&'a [RejectedValue]> {
        self.bytes.clear();
        self.canonical.clear();
        for (column_mapping, value) in self.mapping.columns.iter().zip(row.values()) {
            // A row with a value that does not fit was never sent.
            column_mapping.cast.encode_with(value, &mut self.bytes, &mut self.canonical).ok()?;
        }
        let hash = hash(self.canonical.row());
        let (rows, key) = self.table.rows.get_mut(&hash).filter(|(rows, _)| *rows > 0)?;
        *rows -= 1;
        self.reasons.get(key).map(Vec::as_slice)
    }
}
