//! The source, read on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::words::Detail;
use crate::database::Fault;
use crate::database::sqlite::source::{Row, Source};
use crate::error::{Cause, TransferError};
use crate::stage::transfer::unfit as words;
use crate::transfer::keyed::{Buckets, Found, Keyed, Keys, Suspects, UNFIT};
use crate::transfer::plan::Plan;
use crate::transfer::value::shown;

/// The source. Dropping it ends the reading.
pub struct Here {
    source: Arc<Mutex<Source>>,
    plan: Arc<Plan>,
    stop: Arc<AtomicBool>,
}

impl Drop for Here {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a first look has found.
#[derive(Default)]
pub struct Look {
    pub buckets: Buckets,
    /// Values that do not fit, in words.
    pub unfit: Vec<String>,
}

/// A row of the source.
struct Taken<'a> {
    row: &'a Row<'a>,
    keyed: Keyed<'a>,
    /// Its values that do not fit, in words.
    unfit: &'a mut Vec<String>,
}

impl Here {
    pub fn new(source: Source, plan: Arc<Plan>) -> Here {
        Here { source: Arc::new(Mutex::new(source)), plan, stop: Arc::default() }
    }

    /// All rows of a table; so many of the values that do not fit are named.
    ///
    /// # Errors
    /// As the others: the file cannot be read.
    pub async fn look(&self, at: usize, most: usize) -> Result<Look, Cause> {
        self.rows(at, move |look: &mut Look, taken| {
            look.buckets.add(&taken.keyed);
            let room = most - look.unfit.len();
            look.unfit.extend(taken.unfit.drain(..).take(room));
        })
        .await
    }

    /// What the rows of these buckets come to, by their keys.
    pub async fn find(&self, at: usize, suspects: Suspects) -> Result<Found, Cause> {
        self.rows(at, move |found: &mut Found, taken| {
            if suspects.has(taken.keyed.key) {
                found.entry(taken.keyed.key).or_default().add(taken.keyed.normal);
            }
        })
        .await
    }

    /// The first row of each of these keys.
    pub async fn details(&self, at: usize, wanted: HashSet<u128>) -> Result<HashMap<u128, Detail>, Cause> {
        self.rows(at, move |details: &mut HashMap<u128, Detail>, taken| {
            if wanted.contains(&taken.keyed.key) {
                details.entry(taken.keyed.key).or_insert_with(|| Detail {
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
        mut each: impl FnMut(&mut T, Taken<'_>) + Send + 'static,
    ) -> Result<T, Cause> {
        self.work(move |source, plan, stop| {
            let pair = &plan.pairs[at];
            let mut keys = Keys::of(pair);
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
                each(&mut result, Taken { row, keyed: keys.row(&bytes), unfit: &mut unfit });
                ControlFlow::<()>::Continue(())
            });
            ended.map(|_| result)
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Source, &Plan, &AtomicBool) -> Result<T, Fault> + Send + 'static,
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
