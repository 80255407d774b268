//! Reads the source of a comparison, on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::report::RowDetail;
use crate::database::DatabaseError;
use crate::database::sqlite::source::{SourceRow, SqliteSource};
use crate::error::{Cause, TransferError};
use crate::stage::blocking;
use crate::stage::transfer::describe_cast_error as words;
use crate::transfer::bucketed::{Buckets, KeyDigests, KeyFinder, KeyedRow, SuspectBuckets, UNFIT};
use crate::transfer::plan::TransferPlan;
use crate::transfer::value::shown;

/// The reader of the source. Dropping the future of one of its methods ends the reading.
pub struct SourceReader {
    source: Arc<Mutex<SqliteSource>>,
    plan: Arc<TransferPlan>,
}

/// The result of the first scan of a table.
#[derive(Default)]
pub struct TableScan {
    /// The digests of the rows, in buckets by key.
    pub buckets: Buckets,
    /// Values that do not fit, described.
    pub unfit: Vec<String>,
}

/// A row of the source.
struct FetchedRow<'a> {
    /// The row as it was read.
    row: &'a SourceRow<'a>,
    /// The row in the form in which it is compared.
    keyed: KeyedRow<'a>,
    /// The row's values that do not fit, described.
    unfit: &'a mut Vec<String>,
}

impl SourceReader {
    /// Creates a reader for the tables of a plan.
    pub fn new(source: SqliteSource, plan: Arc<TransferPlan>) -> SourceReader {
        SourceReader { source: Arc::new(Mutex::new(source)), plan }
    }

    /// Reads all rows of the table at position `at` of the plan. Describes at most `most` of the values that do not
    /// fit.
    ///
    /// # Errors
    /// Fails, as the other methods do, when the file cannot be read.
    pub async fn scan(&self, at: usize, most: usize) -> Result<TableScan, Cause> {
        self.rows(at, move |look: &mut TableScan, taken| {
            look.buckets.add(&taken.keyed);
            let room = most - look.unfit.len();
            look.unfit.extend(taken.unfit.drain(..).take(room));
        })
        .await
    }

    /// Returns the digests of the rows in these buckets, by key.
    pub async fn find(&self, at: usize, suspects: SuspectBuckets) -> Result<KeyDigests, Cause> {
        self.rows(at, move |found: &mut KeyDigests, taken| {
            if suspects.has(taken.keyed.key) {
                found.entry(taken.keyed.key).or_default().add(taken.keyed.normal);
            }
        })
        .await
    }

    /// Returns the first row of each of these keys.
    pub async fn details(&self, at: usize, wanted: HashSet<u128>) -> Result<HashMap<u128, RowDetail>, Cause> {
        self.rows(at, move |details: &mut HashMap<u128, RowDetail>, taken| {
            if wanted.contains(&taken.keyed.key) {
                details.entry(taken.keyed.key).or_insert_with(|| RowDetail {
                    values: taken.row.values().map(shown).collect(),
                    fields: taken.keyed.fields(),
                });
            }
        })
        .await
    }

    /// Checks that everything was read in one state of the file.
    pub async fn confirm(&self) -> Result<(), Cause> {
        self.work(|source, _, _| source.confirm()).await
    }

    /// Gives every row of a table to `each`, in the form in which it is compared.
    async fn rows<T: Default + Send + 'static>(
        &self,
        at: usize,
        mut each: impl FnMut(&mut T, FetchedRow<'_>) + Send + 'static,
    ) -> Result<T, Cause> {
        self.work(move |source, plan, stop| {
            let pair = &plan.pairs[at];
            let mut keys = KeyFinder::for_table(pair);
            let (mut result, mut bytes, mut unfit) = (T::default(), Vec::new(), Vec::new());
            let ended = source.rows(&pair.source, &pair.read(), stop, |row| {
                bytes.clear();
                unfit.clear();
                for (mapped, value) in pair.columns.iter().zip(row.values()) {
                    if let Err(bad) = mapped.cast.encode(value, &mut bytes) {
                        bytes.extend_from_slice(&UNFIT.to_be_bytes());
                        unfit.push(words(pair, mapped, row, value, &bad));
                    }
                }
                each(&mut result, FetchedRow { row, keyed: keys.row(&bytes), unfit: &mut unfit });
                ControlFlow::<()>::Continue(())
            });
            ended.map(|_| result)
        })
        .await
    }

    /// Runs `work` on a thread that may block.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteSource, &TransferPlan, &AtomicBool) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, Cause> {
        let (source, plan) = (Arc::clone(&self.source), Arc::clone(&self.plan));
        let done = blocking::run(move |stop| {
            let source = source.lock().unwrap_or_else(PoisonError::into_inner);
            work(&source, &plan, stop)
        });
        done.await.map_err(|fault| Cause::Transfer(TransferError::Source(fault)))
    }
}
