//! Copies every row of a SQLite file into the locked database, compares both sides, and commits: all or nothing.

mod read;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::database::postgres::load::{Load, Mark, Restored, TargetTable, Unrestored};
use crate::database::sqlite::source::{Key, Source};
use crate::database::{Broken, Canceller, Fault, Kind, Locked};
use crate::error::{Cause, Failure, Stage, TransferError};
use crate::progress::telling;
use crate::revision::render::identifier;
use crate::signal::Cancel;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{Pair, Plan};
pub(super) use read::unfit;
use read::{Message, Reading};

/// After this, a statement that still runs is cancelled once more.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// What one table has come to.
#[derive(Debug)]
pub struct Copied {
    /// In the source.
    pub table: String,
    pub rows: u64,
}

/// Copies, compares and commits.
///
/// # Errors
/// A target that is not empty, values and rows that do not fit, a source that cannot be read, differences: the target is
/// as it was then. A commit whose outcome nobody knows.
pub async fn transfer(
    locked: &mut Locked,
    canceller: &mut Canceller,
    source: Source,
    plan: Arc<Plan>,
    max_errors: usize,
    cancel: &Cancel,
) -> Result<Vec<Copied>, Failure> {
    let failed = |cause| Failure::new(Stage::Transfer, cause);
    let stop = Arc::new(AtomicBool::new(false));
    let probe = canceller.probe();
    let mut work = std::pin::pin!(work(locked, source, plan, max_errors, Arc::clone(&stop)));
    tokio::select! {
        fault = probe.silence() => Err(failed(Cause::Database(fault))),
        ended = &mut work => ended.map_err(failed),
        reason = cancel.cancelled() => {
            stop.store(true, Ordering::Relaxed);
            end(work, canceller).await.map_err(|cause| match cause {
                Cause::Transfer(TransferError::Uncommitted(Broken::Unknown(_))) => failed(cause),
                _ => failed(Cause::Stopped(reason)),
            })
        }
    }
}

/// Ends the work, and waits for the answer: it is then known to be rolled back, or done after all. A server that waits for
/// rows hears of a cancel request when some come, which the reader's end sees to; one that arrives between two
/// statements meets nothing, so it is sent again.
async fn end(
    mut work: Pin<&mut impl Future<Output = Result<Vec<Copied>, Cause>>>,
    canceller: &mut Canceller,
) -> Result<Vec<Copied>, Cause> {
    loop {
        canceller.cancel().await;
        if let Ok(ended) = tokio::time::timeout(CANCEL_AGAIN, work.as_mut()).await {
            return ended;
        }
    }
}

async fn work(
    locked: &mut Locked,
    source: Source,
    plan: Arc<Plan>,
    max_errors: usize,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Copied>, Cause> {
    let tables: Vec<TargetTable> = plan.pairs.iter().map(|pair| pair.target.clone()).collect();
    let mut load = locked.load(&tables).await.map_err(|fault| match fault.kind {
        Kind::Contended => Cause::Transfer(TransferError::InUse(fault)),
        _ => Cause::Database(fault),
    })?;
    let filled = load.filled().await.map_err(Cause::Database)?;
    if !filled.is_empty() {
        load.roll_back().await;
        let names = filled.iter().map(TargetTable::quoted).collect();
        return Err(Cause::Transfer(TransferError::NotEmpty(names)));
    }
    let mut reading = read::begin(source, Arc::clone(&plan), max_errors, stop);
    let digests = match copy(&mut load, &plan, &mut reading).await {
        Ok(digests) => digests,
        Err(cause) => {
            load.roll_back().await;
            return Err(cause);
        }
    };
    let mut restored = put_back(load, &plan).await?;
    let against = match compare(&mut restored, &plan, &digests).await {
        Ok(wrong) if wrong.is_empty() => None,
        Ok(wrong) => Some(Cause::Transfer(TransferError::Differs(wrong))),
        Err(fault) => Some(Cause::Database(fault)),
    };
    if let Some(cause) = against {
        restored.roll_back().await;
        return Err(cause);
    }
    restored.commit().await.map_err(|broken| Cause::Transfer(TransferError::Uncommitted(broken)))?;
    let copied =
        |(pair, digest): (&Pair, &Digest)| Copied { table: pair.source.name.clone(), rows: digest.rows() };
    Ok(plan.pairs.iter().zip(&digests).map(copied).collect())
}

/// Sends what the reader reads. After the first bad value nothing more is sent, but everything is read.
async fn copy(load: &mut Load<'_>, plan: &Plan, reading: &mut Reading) -> Result<Vec<Digest>, Cause> {
    let mut digests = Vec::new();
    let mut bad = Vec::new();
    for pair in &plan.pairs {
        let began = Instant::now();
        let copying = format!("copying {}", pair.source.name);
        let digest = match bad.is_empty() {
            true => telling(&copying, send(load, pair, reading, &mut bad)).await?,
            false => telling(&copying, look(reading, &mut bad)).await?,
        };
        let Some(digest) = digest else { break };
        if bad.is_empty() {
            let (name, target) = (&pair.source.name, pair.target.quoted());
            tracing::info!(rows = digest.rows(), duration_ms = since(began), "copied {name} to {target}");
        }
        digests.push(digest);
    }
    match bad.is_empty() {
        true if digests.len() == plan.pairs.len() => Ok(digests),
        true => Err(Cause::Internal("the reader ended before the last table".into())),
        false => Err(Cause::Transfer(TransferError::Bad(bad))),
    }
}

/// One table; nothing when the reader has found too many bad values.
async fn send(
    load: &mut Load<'_>,
    pair: &Pair,
    reading: &mut Reading,
    bad: &mut Vec<String>,
) -> Result<Option<Digest>, Cause> {
    let mut copy = load.copy_in(&pair.target, &pair.written()).await.map_err(Cause::Database)?;
    loop {
        match reading.messages.recv().await {
            Some(Message::Rows(bytes)) => copy.send(&bytes).await.map_err(Cause::Database)?,
            Some(Message::Table(digest)) => {
                let rows = copy.finish().await.map_err(|fault| refused(pair, fault))?;
                debug_assert_eq!(rows, digest.rows());
                return Ok(Some(digest));
            }
            Some(Message::Bad(words)) => {
                bad.push(words);
                copy.abort().await.map_err(Cause::Database)?;
                return look(reading, bad).await;
            }
            Some(Message::Failed(fault)) => {
                copy.abort().await.map_err(Cause::Database)?;
                return Err(Cause::Transfer(TransferError::Source(fault)));
            }
            None => return Ok(None),
        }
    }
}

/// The rest of a table, of which only the bad values matter.
async fn look(reading: &mut Reading, bad: &mut Vec<String>) -> Result<Option<Digest>, Cause> {
    loop {
        match reading.messages.recv().await {
            Some(Message::Rows(_)) => {}
            Some(Message::Bad(words)) => bad.push(words),
            Some(Message::Table(digest)) => return Ok(Some(digest)),
            Some(Message::Failed(fault)) => return Err(Cause::Transfer(TransferError::Source(fault))),
            None => return Ok(None),
        }
    }
}

/// A row that the server has something against: a check, a domain, a partition that is missing.
fn refused(pair: &Pair, fault: Fault) -> Cause {
    match fault.kind {
        Kind::Statement => Cause::Transfer(TransferError::Refused { table: pair.source.name.clone(), fault }),
        _ => Cause::Database(fault),
    }
}

/// Indexes, foreign keys, sequences, statistics.
async fn put_back<'a>(load: Load<'a>, plan: &Plan) -> Result<Restored<'a>, Cause> {
    let marks: Vec<Mark<'_>> = plan.pairs.iter().filter_map(mark).collect();
    let mut tell = |step: crate::database::postgres::load::Progress<'_>| {
        tracing::debug!("{} of {}: {}", step.step, step.of, step.what);
    };
    let began = Instant::now();
    let restoring = load.restore(&marks, &mut tell);
    let restored = telling("building indexes and checking foreign keys", restoring).await;
    let restored = restored.map_err(|unrestored| match unrestored {
        Unrestored::Fault(fault) => Cause::Database(fault),
        Unrestored::Violated(violations) => {
            let words = violations.iter().map(ToString::to_string).collect();
            Cause::Transfer(TransferError::Violated(words))
        }
    })?;
    tracing::info!(duration_ms = since(began), "built indexes, checked foreign keys");
    Ok(restored)
}

fn since(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}

/// AUTOINCREMENT never gives a number again, not even that of a row that is gone.
fn mark(pair: &Pair) -> Option<Mark<'_>> {
    let value = pair.source.sequence?;
    let Key::Rowid { column: Some(rowid), .. } = pair.source.key else { return None };
    let mapped = pair.columns.iter().find(|mapped| mapped.source == rowid)?;
    let column = &pair.target.columns[mapped.target].name;
    Some(Mark { schema: &pair.target.schema, table: &pair.target.name, column, value })
}

/// Reads back what is about to be committed; a line for each table that is not what was read.
async fn compare(restored: &mut Restored<'_>, plan: &Plan, digests: &[Digest]) -> Result<Vec<String>, Fault> {
    let began = Instant::now();
    let mut wrong = Vec::new();
    for (pair, expected) in plan.pairs.iter().zip(digests) {
        let columns: Vec<String> = pair.written().into_iter().map(identifier).collect();
        let query = format!("SELECT {} FROM {}", columns.join(", "), pair.target.rows());
        let mut found = Digest::default();
        let reading = restored.copy_out(&query, |row| found.add(row.bytes()));
        telling(&format!("comparing {}", pair.source.name), reading).await?;
        if found != *expected {
            wrong.push(difference(pair, expected, &found));
        }
    }
    tracing::info!(duration_ms = since(began), "compared what was read with what was written");
    Ok(wrong)
}

/// How the rows of a table that differ are counted.
pub(super) fn difference(pair: &Pair, expected: &Digest, found: &Digest) -> String {
    let (name, target) = (&pair.source.name, pair.target.quoted());
    match expected.rows() == found.rows() {
        true => format!("{name} and {target} have {} rows each, and not the same ones", found.rows()),
        false => format!("{name} has {} rows, {target} {}", expected.rows(), found.rows()),
    }
}
