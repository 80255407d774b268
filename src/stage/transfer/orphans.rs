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
pub struct RemovedRows {
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
    pub fn new(plan: Arc<TransferPlan>) -> RemovedRows {
        let tables = plan.pairs.iter().map(|_| OrphanTable::default()).collect();
        RemovedRows { plan, tables, reasons: HashMap::new() }
    }

    /// Records a row, and subtracts it from the digest of its table.
    pub fn take(&mut self, orphan: &Orphan<'_>, digests: &mut [Digest]) {
        let Some(at) = self.plan.pairs.iter().position(|pair| pair.target.oid == orphan.table) else {
            return;
        };
        let bytes = orphan.row.bytes();
        digests[at].remove(bytes);
        self.tables[at].rows.entry(hash(bytes)).or_insert((0, orphan.key)).0 += 1;
        self.reasons.entry(orphan.key).or_insert_with(|| {
            let parents = orphan.parent_columns.join(", ");
            let reason = format!("leads to no row of {} ({parents})", orphan.parent);
            let wrong = |column: &String| RejectedValue {
                column: column.clone(),
                reason: reason.clone(),
                hint: None,
                cast: None,
            };
            orphan.columns.iter().map(wrong).collect()
        });
    }

    /// Finds the rows in the source, logs at most `most` of them, and adds all of them to the file of rejected rows,
    /// which is returned.
    ///
    /// # Errors
    /// Fails when the source cannot be read or the file cannot be written, and when a row is not found, which would be
    /// a bug.
    pub async fn found_in(
        self,
        source: SqliteSource,
        rejects: Option<RejectFile>,
        most: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Option<RejectFile>, Cause> {
        let Some(mut rejects) = rejects else { return Ok(None) };
        if self.reasons.is_empty() {
            return Ok(Some(rejects));
        }
        let finding = Running::start(stop, move |stop| {
            let named = self.keep(&source, &mut rejects, most, stop)?;
            Ok((named, rejects))
        });
        let found: Result<_, Cause> = with_progress("looking for the rows that were left out", finding.ended()).await;
        let (named, rejects) = found?;
        named.iter().for_each(|words| tracing::warn!("left out: {words}"));
        Ok(Some(rejects))
    }

    /// Does the work of [`RemovedRows::found_in`] on this thread. Returns the lines that name the rows, at most `most`.
    fn keep(
        mut self,
        source: &SqliteSource,
        rejects: &mut RejectFile,
        most: usize,
        stop: &AtomicBool,
    ) -> Result<Vec<String>, Cause> {
        let mut named = Vec::new();
        let plan = Arc::clone(&self.plan);
        for (pair, table) in plan.pairs.iter().zip(&mut self.tables) {
            let (bytes, canonical) = (Vec::new(), CanonicalRow::default());
            let mut finder = OrphanFinder { pair, table, reasons: &self.reasons, bytes, canonical };
            let mut left: u64 = finder.table.rows.values().map(|(rows, _)| rows).sum();
            if left == 0 {
                continue;
            }
            let read = source.rows(&pair.source, &pair.read(), stop, |row| {
                let Some(bad) = finder.find(row) else { return ControlFlow::Continue(()) };
                left -= 1;
                if named.len() < most {
                    let columns: Vec<&str> = bad.iter().map(|wrong| wrong.column.as_str()).collect();
                    let (table, columns) = (&pair.source.name, columns.join(", "));
                    let reason = bad.first().map_or("", |wrong| &wrong.reason);
                    named.push(format!("{table} ({columns}), {}: {reason}", row.identity()));
                }
                let values = &mut pair.names().zip(row.values());
                match rejects.add(&pair.source.name, &row.identity(), bad, values) {
                    Ok(()) if left > 0 => ControlFlow::Continue(()),
                    added => ControlFlow::Break(added),
                }
            });
            let read = read.map_err(|fault| Cause::Transfer(TransferError::Source(fault)))?;
            if let ControlFlow::Break(Err(error)) = read {
                return Err(Cause::Transfer(error));
            }
            if left > 0 {
                let lost = format!("{left} rows of {} without a parent are not in the source", pair.source.name);
                return Err(Cause::Internal(lost));
            }
        }
        source.confirm().map_err(|fault| Cause::Transfer(TransferError::Source(fault)))?;
        Ok(named)
    }
}

/// A search for the removed rows of one table.
struct OrphanFinder<'a> {
    pair: &'a TableMapping,
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
        for (mapped, value) in self.pair.columns.iter().zip(row.values()) {
            // A row with a value that does not fit was never sent.
            mapped.cast.encode_with(value, &mut self.bytes, &mut self.canonical).ok()?;
        }
        let hash = hash(self.canonical.row());
        let (rows, key) = self.table.rows.get_mut(&hash).filter(|(rows, _)| *rows > 0)?;
        *rows -= 1;
        self.reasons.get(key).map(Vec::as_slice)
    }
}
