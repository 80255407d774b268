//! Copies every row of a SQLite file into the locked database, compares both sides, and commits: all or nothing.

mod back;
mod orphans;
mod read;
mod rejects;
mod unfit;
mod write;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::database::postgres::load::{Load, Restored, TargetTable};
use crate::database::sqlite::source::Source;
use crate::database::{Broken, Canceller, Kind, Locked};
use crate::error::{Cause, Failure, Stage, TransferError};
use crate::progress::{Meter, metered};
use crate::revision::render::identifier;
use crate::signal::Cancel;
use crate::stage::aside::aside;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{Pair, Plan};
use back::put_back;
use read::Read;
pub use rejects::{Destination, Kept, Rejects};
pub(super) use unfit::unfit;
use write::{Rest, Sent, copy};

/// After this, a statement that still runs is cancelled once more.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// What one table has come to.
#[derive(Debug)]
pub struct Copied {
    /// In the source.
    pub table: String,
    pub rows: u64,
}

/// What a transfer has come to.
#[derive(Debug)]
pub struct Transferred {
    pub tables: Vec<Copied>,
    /// The rows that were left out.
    pub kept: Option<Kept>,
}

/// What becomes of the rest when values do not fit.
#[derive(Debug)]
pub enum OnError {
    /// Nothing is committed; so many are named that somebody has asked for.
    Stop,
    /// Nothing is committed; all their rows are kept.
    Report(Rejects),
    /// Their rows are kept, with those that lead to one of them; the rest is committed.
    Skip(Rejects),
}

impl OnError {
    fn rest(&self) -> Rest {
        match self {
            OnError::Stop | OnError::Report(_) => Rest::Read,
            OnError::Skip(_) => Rest::Send,
        }
    }
}

/// What becomes of bad values, and how many of them are named.
#[derive(Debug)]
pub struct Limits {
    pub on_error: OnError,
    pub max_errors: usize,
}

/// What the work and its supervisor tell each other.
#[derive(Default)]
struct WorkState {
    /// The work is to end.
    stop: Arc<AtomicBool>,
    /// The work has asked for the COMMIT: from now on a lost connection leaves open what came of it.
    committing: AtomicBool,
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
    limits: Limits,
    cancel: &Cancel,
) -> Result<Transferred, Failure> {
    let failed = |cause| Failure::new(Stage::Transfer, cause);
    let state = WorkState::default();
    let mut probe = canceller.probe();
    let mut work = std::pin::pin!(work(locked, source, plan, limits, &state));
    tokio::select! {
        fault = probe.silence() => {
            probe.terminate().await;
            Err(failed(match state.committing.load(Ordering::Relaxed) {
                true => Cause::Transfer(TransferError::Uncommitted(Broken::Unknown(fault))),
                false => Cause::Database(fault),
            }))
        }
        ended = &mut work => ended.map_err(failed),
        reason = cancel.cancelled() => {
            state.stop.store(true, Ordering::Relaxed);
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
    mut work: Pin<&mut impl Future<Output = Result<Transferred, Cause>>>,
    canceller: &mut Canceller,
) -> Result<Transferred, Cause> {
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
    limits: Limits,
    state: &WorkState,
) -> Result<Transferred, Cause> {
    let mut load = open(locked, &plan).await?;
    let (rest, most) = (limits.on_error.rest(), limits.max_errors);
    let mut reading = read::begin(source, Arc::clone(&plan), limits, Arc::clone(&state.stop));
    let sent = copy(&mut load, &plan, &mut reading, rest).await;
    // Whatever came of it, the file for rejected rows is the reader's until it ends.
    let read = match &sent {
        Ok(_) => reading.end().await,
        Err(_) => reading.stop().await,
    };
    let checked = match sent {
        Ok(sent) => checked(sent, read, rest, &plan).await,
        Err(cause) => Err(cause),
    };
    let (mut digests, read) = match checked {
        Ok(checked) => checked,
        Err(cause) => {
            load.roll_back().await;
            return Err(cause);
        }
    };
    let (mut restored, removed) = put_back(load, &plan, &read.highest, &mut digests, rest).await?;
    let kept = async {
        let rejects = removed.found_in(read.source, read.rejects, most, Arc::clone(&state.stop)).await?;
        same(&mut restored, &plan, &digests).await?;
        published(rejects).await
    };
    let kept = match kept.await {
        Ok(kept) => kept,
        Err(cause) => {
            restored.roll_back().await;
            return Err(cause);
        }
    };
    commit(restored, state, kept.as_ref()).await?;
    let copied =
        |(pair, digest): (&Pair, &Digest)| Copied { table: pair.source.name.clone(), rows: digest.rows() };
    Ok(Transferred { tables: plan.pairs.iter().zip(&digests).map(copied).collect(), kept })
}

async fn commit(restored: Restored<'_>, state: &WorkState, kept: Option<&Kept>) -> Result<(), Cause> {
    state.committing.store(true, Ordering::Relaxed);
    restored.commit().await.map_err(|broken| uncommitted(broken, kept))
}

/// Locks the tables, which have to be empty.
async fn open<'a>(locked: &'a mut Locked, plan: &Plan) -> Result<Load<'a>, Cause> {
    let tables: Vec<TargetTable> = plan.pairs.iter().map(|pair| pair.target.clone()).collect();
    let mut load = locked.load(&tables).await.map_err(|fault| match fault.kind {
        Kind::Contended => Cause::Transfer(TransferError::InUse(fault)),
        _ => Cause::Database(fault),
    })?;
    let filled = load.filled().await.map_err(Cause::Database)?;
    if filled.is_empty() {
        return Ok(load);
    }
    load.roll_back().await;
    let names = filled.iter().map(TargetTable::quoted).collect();
    Err(Cause::Transfer(TransferError::NotEmpty(names)))
}

/// Whether everything was read and may be committed.
async fn checked(
    sent: Sent,
    read: Option<Read>,
    rest: Rest,
    plan: &Plan,
) -> Result<(Vec<Digest>, Read), Cause> {
    let Sent { digests, mut bad, casts, refused } = sent;
    match refused {
        Some(refused) if bad.is_empty() => return Err(Cause::Transfer(refused)),
        Some(refused) => bad.insert(0, refused.to_string()),
        None => {}
    }
    let whole = digests.len() == plan.pairs.len();
    if rest == Rest::Send {
        bad.iter().for_each(|words| tracing::warn!("left out: {words}"));
    }
    match read {
        Some(read) if whole && (rest == Rest::Send || bad.is_empty()) => Ok((digests, read)),
        _ if bad.is_empty() => Err(Cause::Internal("the reader ended before the last table".into())),
        read => {
            let kept = published(read.and_then(|read| read.rejects)).await?;
            Err(Cause::Transfer(match kept {
                Some(Kept { file, rows, values }) => {
                    TransferError::Reported { found: bad, casts, values, rows, file }
                }
                None => TransferError::Bad { found: bad, casts },
            }))
        }
    }
}

/// Gives the file of rejected rows its name, if there are any.
async fn published(rejects: Option<Rejects>) -> Result<Option<Kept>, Cause> {
    match rejects {
        Some(rejects) => aside(move |_| rejects.publish()).await.map_err(Cause::Transfer),
        None => Ok(None),
    }
}

/// Only what is certainly not committed makes the kept rows useless.
fn uncommitted(broken: Broken, kept: Option<&Kept>) -> Cause {
    match (kept, &broken) {
        (Some(Kept { file, .. }), Broken::Unknown(_)) => {
            tracing::warn!(
                "if the others were transferred, the rows that were left out are in {}",
                file.display()
            );
        }
        (Some(kept), _) => kept.discard(),
        (None, _) => {}
    }
    Cause::Transfer(TransferError::Uncommitted(broken))
}

/// Reads back what is about to be committed: each table is what was read.
async fn same(restored: &mut Restored<'_>, plan: &Plan, digests: &[Digest]) -> Result<(), Cause> {
    let (began, mut wrong) = (Instant::now(), Vec::new());
    for (pair, expected) in plan.pairs.iter().zip(digests) {
        let columns: Vec<String> = pair.written().into_iter().map(identifier).collect();
        let query = format!("SELECT {} FROM {}", columns.join(", "), pair.target.rows());
        let mut found = Digest::default();
        let meter = Meter::new(format!("comparing {}", pair.source.name), Some(expected.rows()));
        let mut ticks = meter.ticks();
        let reading = restored.copy_out(&query, |row| {
            ticks.row(row.bytes().len());
            found.add(row.bytes());
        });
        metered(&meter, reading).await.map_err(Cause::Database)?;
        if found != *expected {
            wrong.push(difference(pair, expected, &found));
        }
    }
    if !wrong.is_empty() {
        return Err(Cause::Transfer(TransferError::Differs(wrong)));
    }
    let duration_ms = began.elapsed().as_millis() as u64;
    tracing::info!(duration_ms, "compared what was read with what was written");
    Ok(())
}

/// How the rows of a table that differ are counted.
pub(super) fn difference(pair: &Pair, expected: &Digest, found: &Digest) -> String {
    let (name, target) = (&pair.source.name, pair.target.quoted());
    match expected.rows() == found.rows() {
        true => format!("{name} and {target} have {} rows each, and not the same ones", found.rows()),
        false => format!("{name} has {} rows, {target} {}", expected.rows(), found.rows()),
    }
}
