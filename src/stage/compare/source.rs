//! The source, read on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::report::RowDetail;
use crate::database::DatabaseError;
use crate::database::sqlite::source::{SourceRow, SqliteSource};
use crate::error::{Cause, TransferError};
use crate::stage::transfer::describe_cast_error as words;
use crate::transfer::bucketed::{Buckets, KeyDigests, KeyFinder, KeyedRow, SuspectBuckets, UNFIT};
use crate::transfer::plan::TransferPlan;
use crate::transfer::value::shown;

/// The source. Dropping it ends the reading.
pub struct SourceReader {
    source: Arc<Mutex<SqliteSource>>,
    plan: Arc<TransferPlan>,
    stop: Arc<AtomicBool>,
}

impl Drop for SourceReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a first look has found.
#[derive(Default)]
pub struct TableScan {
    pub buckets: Buckets,
    /// Values that do not fit, in words.
    pub unfit: Vec<String>,
}

/// A row of the source.
struct FetchedRow<'a> {
    row: &'a SourceRow<'a>,
    keyed: KeyedRow<'a>,
    /// Its values that do not fit, in words.
    unfit: &'a mut Vec<String>,
}

impl SourceReader {
    pub fn new(source: SqliteSource, plan: Arc<TransferPlan>) -> SourceReader {
        SourceReader { source: Arc::new(Mutex::new(source)), plan, stop: Arc::default() }
    }

    /// All rows of a table; so many of the values that do not fit are named.
    ///
    /// # Errors
    /// As the others: the file cannot be read.
    pub async fn scan(&self, at: usize, most: usize) -> Result<TableScan, Cause> {
        self.rows(at, move |look: &mut TableScan, taken| {
            look.buckets.add(&taken.keyed);
            let room = most - look.unfit.len();
            look.unfit.extend(taken.unfit.drain(..).take(room));
        })
        .await
    }

    /// What the rows of these buckets come to, by their keys.
    pub async fn find(&self, at: usize, suspects: SuspectBuckets) -> Result<KeyDigests, Cause> {
        self.rows(at, move |found: &mut KeyDigests, taken| {
            if suspects.has(taken.keyed.key) {
                found.entry(taken.keyed.key).or_default().add(taken.keyed.normal);
            }
        })
        .await
    }

    /// The first row of each of these keys.
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

    /// Whether all that was read was of one moment.
    pub async fn confirm(&self) -> Result<(), Cause> {
        self.work(|source, _, _| source.confirm()).await
    }

    /// Every row of a table, as it is compared.
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

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteSource, &TransferPlan, &AtomicBool) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, Cause> {
        let (source, plan, stop) = (Arc::clone(&self.source), Arc::clone(&self.plan), Arc::clone(&self.stop));
        let done = tokio::task::spawn_blocking(move || {
            let source = source.lock().unwrap_or_else(PoisonError::into_inner);
            work(&source, &plan, &stop)
        });
        let done = done.await.map_err(|_| Cause::Internal("the reader panicked".into()))?;
        done.map_err(|fault| Cause::Transfer(TransferError::Source(fault)))
    }
}
