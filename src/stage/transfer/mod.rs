//! Copies every row of a SQLite file into the locked database, compares both sides, and commits: all or nothing.

mod orphans;
mod read;
mod reattach;
mod rejected_value;
mod rejects;
mod write;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::context::RunContext;
use crate::database::postgres::bulk_load::{BulkLoad, CompletedLoad};
use crate::database::sqlite::source::SqliteSource;
use crate::database::{ApplyError, Canceller, DatabaseErrorKind, Locked};
use crate::error::{Cause, Failure, Stage, TransferError};
use crate::progress::{RowMeter, metered};
use crate::report::ProgressLine;
use crate::sql::identifier;
use crate::stage::blocking::run;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{TableMapping, TransferPlan};
use crate::transfer::target::TargetTable;
use read::ReadResult;
use reattach::reattach;
pub(super) use rejected_value::describe_cast_error;
pub use rejects::{PublishedRejects, RejectDestination, RejectFile};
use write::{OnBadValue, SentRows, copy};

/// The time after which a statement that still runs is cancelled once more.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// A table that was copied.
#[derive(Debug)]
pub struct CopiedTable {
    /// The name of the table in the source.
    pub table: String,
    /// The number of rows in the target.
    pub rows: u64,
}

/// The result of a transfer.
#[derive(Debug)]
pub struct TransferSummary {
    /// The tables, in the order of the plan.
    pub tables: Vec<CopiedTable>,
    /// The file of the rows that were left out, if there are any.
    pub kept: Option<PublishedRejects>,
}

/// The reaction to rows with values that do not fit.
#[derive(Debug)]
pub enum OnBadRow {
    /// Nothing is committed; the reader ends after the last bad value that is named.
    Stop,
    /// Nothing is committed; all such rows are written to the file.
    Report(RejectFile),
    /// Such rows and those that reference one of them are written to the file; the rest is committed.
    Skip(RejectFile),
}

impl OnBadRow {
    fn rest(&self) -> OnBadValue {
        match self {
            OnBadRow::Stop | OnBadRow::Report(_) => OnBadValue::Read,
            OnBadRow::Skip(_) => OnBadValue::Send,
        }
    }
}

/// The reaction to bad values, and how many of them are named.
#[derive(Debug)]
pub struct BadValueLimits {
    /// The reaction to rows with bad values.
    pub on_error: OnBadRow,
    /// The largest number of bad values that are named.
    pub max_errors: usize,
}

/// The state that the work and its supervisor share.
#[derive(Default)]
struct WorkState {
    /// Set when the work is to end.
    stop: Arc<AtomicBool>,
    /// Set when the work asks for the COMMIT: from then on, a lost connection leaves the outcome unknown.
    committing: AtomicBool,
    /// The line of the terminal for progress.
    progress: ProgressLine,
}

/// Copies, compares and commits.
///
/// # Errors
/// Fails when the target is not empty, values or rows do not fit, the source cannot be read, or both sides differ: the
/// target is unchanged then. Fails as well when the outcome of the commit is unknown.
pub async fn transfer(
    locked: &mut Locked,
    canceller: &mut Canceller,
    source: SqliteSource,
    plan: Arc<TransferPlan>,
    limits: BadValueLimits,
    context: &RunContext,
) -> Result<TransferSummary, Failure> {
    let failed = |cause| Failure::new(Stage::Transfer, cause);
    let state = WorkState { progress: context.progress.clone(), ..WorkState::default() };
    let mut probe = canceller.probe();
    let mut work = std::pin::pin!(work(locked, source, plan, limits, &state));
    tokio::select! {
        fault = probe.silence() => {
            probe.terminate().await;
            Err(failed(match state.committing.load(Ordering::Relaxed) {
                true => Cause::Transfer(TransferError::Uncommitted(ApplyError::Unknown(fault))),
                false => Cause::Database(fault),
            }))
        }
        ended = &mut work => ended.map_err(failed),
        reason = context.cancel.cancelled() => {
            state.stop.store(true, Ordering::Relaxed);
            end(work, canceller).await.map_err(|cause| match cause {
                Cause::Transfer(TransferError::Uncommitted(ApplyError::Unknown(_))) => failed(cause),
                _ => failed(Cause::Stopped(reason)),
            })
        }
    }
}

/// Cancels the work and waits for the answer: the work is then known to be rolled back, or to be done after all. A
/// server that waits for rows notices a cancel request when some come, which the end of the reader brings about. A
/// request that arrives between two statements has no effect, so it is sent again.
async fn end(
    mut work: Pin<&mut impl Future<Output = Result<TransferSummary, Cause>>>,
    canceller: &mut Canceller,
) -> Result<TransferSummary, Cause> {
    loop {
        canceller.cancel().await;
        if let Ok(ended) = tokio::time::timeout(CANCEL_AGAIN, work.as_mut()).await {
            return ended;
        }
    }
}

async fn work(
    locked: &mut Locked,
    source: SqliteSource,
    plan: Arc<TransferPlan>,
    limits: BadValueLimits,
    state: &WorkState,
) -> Result<TransferSummary, Cause> {
    let mut load = open(locked, &plan).await?;
    let (rest, most) = (limits.on_error.rest(), limits.max_errors);
    let mut reading = read::begin(source, Arc::clone(&plan), limits, Arc::clone(&state.stop));
    let sent = copy(&mut load, &plan, &mut reading, rest, &state.progress).await;
    // In every case, the file of rejected rows belongs to the reader until the reader ends.
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
    let (mut restored, removed) = reattach(load, &plan, &read.highest, &mut digests, rest, &state.progress).await?;
    let kept = async {
        let rejects = removed.found_in(read.source, read.rejects, most, Arc::clone(&state.stop)).await?;
        verify_digests(&mut restored, &plan, &digests, &state.progress).await?;
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
        |(pair, digest): (&TableMapping, &Digest)| CopiedTable { table: pair.source.name.clone(), rows: digest.rows() };
    Ok(TransferSummary { tables: plan.pairs.iter().zip(&digests).map(copied).collect(), kept })
}

async fn commit(restored: CompletedLoad<'_>, state: &WorkState, kept: Option<&PublishedRejects>) -> Result<(), Cause> {
    state.committing.store(true, Ordering::Relaxed);
    restored.commit().await.map_err(|broken| commit_error(broken, kept))
}

/// Locks the tables, which have to be empty.
async fn open<'a>(locked: &'a mut Locked, plan: &TransferPlan) -> Result<BulkLoad<'a>, Cause> {
    let tables: Vec<TargetTable> = plan.pairs.iter().map(|pair| pair.target.clone()).collect();
    let mut load = locked.load(&tables).await.map_err(|fault| match fault.kind {
        DatabaseErrorKind::Contended => Cause::Transfer(TransferError::InUse(fault)),
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

/// Checks that everything was read and may be committed. Returns the digest of each table, and the reader's result.
async fn checked(
    sent: SentRows,
    read: Option<ReadResult>,
    rest: OnBadValue,
    plan: &TransferPlan,
) -> Result<(Vec<Digest>, ReadResult), Cause> {
    let SentRows { digests, mut bad, casts, refused } = sent;
    match refused {
        Some(refused) if bad.is_empty() => return Err(Cause::Transfer(refused)),
        Some(refused) => bad.insert(0, refused.to_string()),
        None => {}
    }
    let whole = digests.len() == plan.pairs.len();
    if rest == OnBadValue::Send {
        bad.iter().for_each(|words| tracing::warn!("left out: {words}"));
    }
    match read {
        Some(read) if whole && (rest == OnBadValue::Send || bad.is_empty()) => Ok((digests, read)),
        _ if bad.is_empty() => Err(Cause::Internal("the reader ended before the last table".into())),
        read => {
            let kept = published(read.and_then(|read| read.rejects)).await?;
            Err(Cause::Transfer(match kept {
                Some(PublishedRejects { file, rows, values }) => {
                    TransferError::Reported { found: bad, casts, values, rows, file }
                }
                None => TransferError::Bad { found: bad, casts },
            }))
        }
    }
}

/// Gives the file of rejected rows its name, if there are any.
async fn published(rejects: Option<RejectFile>) -> Result<Option<PublishedRejects>, Cause> {
    match rejects {
        Some(rejects) => run(move |_| rejects.publish()).await.map_err(Cause::Transfer),
        None => Ok(None),
    }
}

/// Returns the cause for a failed commit. The rejected rows are discarded only if nothing is committed for certain.
fn commit_error(broken: ApplyError, kept: Option<&PublishedRejects>) -> Cause {
    match (kept, &broken) {
        (Some(PublishedRejects { file, .. }), ApplyError::Unknown(_)) => {
            tracing::warn!("if the others were transferred, the rows that were left out are in {}", file.display());
        }
        (Some(kept), _) => kept.discard(),
        (None, _) => {}
    }
    Cause::Transfer(TransferError::Uncommitted(broken))
}

/// Reads back the rows that are about to be committed, and checks that each table contains what was read.
async fn verify_digests(
    restored: &mut CompletedLoad<'_>,
    plan: &TransferPlan,
    digests: &[Digest],
    progress: &ProgressLine,
) -> Result<(), Cause> {
    let (began, mut wrong) = (Instant::now(), Vec::new());
    for (pair, expected) in plan.pairs.iter().zip(digests) {
        let columns: Vec<String> = pair.written().into_iter().map(identifier).collect();
        let query = format!("SELECT {} FROM {}", columns.join(", "), pair.target.rows());
        let mut found = Digest::default();
        let meter = RowMeter::new(progress, format!("comparing {}", pair.source.name), Some(expected.rows()));
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

/// Describes the difference between both sides of a table by their numbers of rows.
pub(super) fn difference(pair: &TableMapping, expected: &Digest, found: &Digest) -> String {
    let (name, target) = (&pair.source.name, pair.target.quoted());
    match expected.rows() == found.rows() {
        true => format!("{name} and {target} have {} rows each, and not the same ones", found.rows()),
        false => format!("{name} has {} rows, {target} {}", expected.rows(), found.rows()),
    }
}
