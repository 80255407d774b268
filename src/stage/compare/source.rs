//! Reads the source of a comparison, on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::parts::{SharedWork, TablePart, source_parts};
use super::report::RowDetail;
use crate::database::DatabaseError;
use crate::database::sqlite::source::{RowRange, SourceRow, SqliteSource};
use crate::error::{Cause, TransferError};
use crate::stage::blocking;
use crate::stage::transfer::describe_cast_error as words;
use crate::transfer::bucketed::{Buckets, KeyDigests, KeyFinder, KeyedRow, SuspectBuckets, UNFIT};
use crate::transfer::cast::CanonicalRow;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{TableMapping, TransferPlan};
use crate::transfer::value::shown;

/// The reader of the source. Dropping the future of one of its methods ends the reading.
pub(crate) struct SourceReader {
    source: Arc<Mutex<SqliteSource>>,
    plan: Arc<TransferPlan>,
}

/// The result of the scan of a table's rows in their canonical form.
#[derive(Default)]
pub(crate) struct TableScan {
    /// The digests of the rows, in buckets by key.
    pub(crate) buckets: Buckets,
    /// Values that do not fit, described.
    pub(crate) unfit: Vec<String>,
}

/// A row of the source.
struct FetchedRow<'a> {
    /// The row as it was read.
    row: &'a SourceRow<'a>,
    /// The row in the form in which it is compared.
    keyed_row: KeyedRow<'a>,
    /// The row's values that do not fit, described.
    unfit: &'a mut Vec<String>,
}

impl SourceReader {
    /// Creates a reader for the tables of a plan.
    pub(crate) fn new(source: SqliteSource, plan: Arc<TransferPlan>) -> SourceReader {
        SourceReader { source: Arc::new(Mutex::new(source)), plan }
    }

    /// Divides the tables of the plan into parts.
    ///
    /// # Errors
    /// Fails, as the other methods do, when the file cannot be read.
    pub(crate) async fn parts(&self) -> Result<Vec<TablePart<RowRange>>, Cause> {
        self.run_blocking(|source, plan, _| {
            let mut parts = Vec::new();
            for (index, mapping) in plan.mappings.iter().enumerate() {
                let rowids = source.rowid_bounds(&mapping.source)?;
                parts.extend(source_parts(index, rowids, mapping.source.bytes));
            }
            Ok(parts)
        })
        .await
    }

    /// Reads parts of tables until none is left: adds to the work the digest of each part, of the rows as the server would
    /// send them after a transfer.
    pub(crate) async fn read_parts(&self, work: Arc<SharedWork>) -> Result<(), Cause> {
        self.run_blocking(move |source, plan, stop| {
            while let Some(part) = work.source.take() {
                match digest(source, &plan.mappings[part.table], part.range, stop) {
                    Ok(digest) => work.add_source(plan, part.table, digest),
                    Err(fault) => work.fail(part.table, Cause::Transfer(TransferError::Source(fault))),
                }
            }
            Ok(())
        })
        .await
    }

    /// Reads all rows of the table at position `index` of the plan. Describes at most `limit` of the values that do not
    /// fit.
    pub(crate) async fn scan(&self, index: usize, limit: usize) -> Result<TableScan, Cause> {
        self.rows(index, move |scan: &mut TableScan, fetched| {
            scan.buckets.add(&fetched.keyed_row);
            let capacity = limit - scan.unfit.len();
            scan.unfit.extend(fetched.unfit.drain(..).take(capacity));
        })
        .await
    }

    /// Returns the digests of the rows in these buckets, by key.
    pub(crate) async fn find(&self, index: usize, suspects: SuspectBuckets) -> Result<KeyDigests, Cause> {
        self.rows(index, move |digests: &mut KeyDigests, fetched| {
            if suspects.has(fetched.keyed_row.key) {
                digests.entry(fetched.keyed_row.key).or_default().add(fetched.keyed_row.normal);
            }
        })
        .await
    }

    /// Returns the first row of each of these keys.
    pub(crate) async fn details(&self, index: usize, wanted: HashSet<u128>) -> Result<HashMap<u128, RowDetail>, Cause> {
        self.rows(index, move |details: &mut HashMap<u128, RowDetail>, fetched| {
            if wanted.contains(&fetched.keyed_row.key) {
                details.entry(fetched.keyed_row.key).or_insert_with(|| RowDetail {
                    values: fetched.row.values().map(shown).collect(),
                    fields: fetched.keyed_row.fields(),
                });
            }
        })
        .await
    }

    /// Checks that everything was read in one state of the file.
    pub(crate) async fn confirm(&self) -> Result<(), Cause> {
        self.run_blocking(|source, _, _| source.confirm()).await
    }

    /// Gives every row of a table to `each`, in the form in which it is compared.
    async fn rows<T: Default + Send + 'static>(
        &self,
        index: usize,
        mut each: impl FnMut(&mut T, FetchedRow<'_>) + Send + 'static,
    ) -> Result<T, Cause> {
        self.run_blocking(move |source, plan, stop| {
            let mapping = &plan.mappings[index];
            let mut keys = KeyFinder::for_table(mapping);
            let (mut result, mut bytes, mut unfit) = (T::default(), Vec::new(), Vec::new());
            let read = source.rows(&mapping.source, &mapping.read(), stop, |row| {
                bytes.clear();
                unfit.clear();
                for (column_mapping, value) in mapping.columns.iter().zip(row.values()) {
                    if let Err(error) = column_mapping.cast.encode(value, &mut bytes) {
                        bytes.extend_from_slice(&UNFIT.to_be_bytes());
                        unfit.push(words(mapping, column_mapping, row, value, &error));
                    }
                }
                each(&mut result, FetchedRow { row, keyed_row: keys.row(&bytes), unfit: &mut unfit });
                ControlFlow::<()>::Continue(())
            });
            read.map(|_| result)
        })
        .await
    }

    /// Runs `work` on a thread that may block.
    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteSource, &TransferPlan, &AtomicBool) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, Cause> {
        let (source, plan) = (Arc::clone(&self.source), Arc::clone(&self.plan));
        let result = blocking::run(move |stop| {
            let source = source.lock().unwrap_or_else(PoisonError::into_inner);
            work(&source, &plan, stop)
        });
        result.await.map_err(|fault| Cause::Transfer(TransferError::Source(fault)))
    }
}

/// Returns the digest of a part of a table; `None` if a value does not fit.
fn digest(
    source: &SqliteSource,
    mapping: &TableMapping,
    range: RowRange,
    stop: &AtomicBool,
) -> Result<Option<Digest>, DatabaseError> {
    let (mut digest, mut bytes, mut canonical) = (Digest::default(), Vec::new(), CanonicalRow::default());
    let read = source.rows_in(&mapping.source, &mapping.read(), range, stop, |row| {
        bytes.clear();
        canonical.clear();
        for (column_mapping, value) in mapping.columns.iter().zip(row.values()) {
            if column_mapping.cast.encode_with(value, &mut bytes, &mut canonical).is_err() {
                return ControlFlow::Break(());
            }
        }
        digest.add(canonical.row());
        ControlFlow::Continue(())
    });
    read.map(|end| end.is_continue().then_some(digest))
}
