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
pub(crate) use rejects::{PublishedRejects, RejectDestination, RejectFile};
use write::{OnBadValue, SentRows, copy};

/// The time after which a statement that still runs is cancelled once more.
const CANCEL_INTERVAL: Duration = Duration::from_millis(500);

/// The result of a transfer.
#[derive(Debug)]
pub(crate) struct TransferSummary {
    /// The number of rows of each table, in the order of the plan.
    pub(crate) rows: Vec<u64>,
    /// The file of the rows that were left out, if there are any.
    pub(crate) rejects: Option<PublishedRejects>,
}

/// The reaction to rows with values that do not fit.
#[derive(Debug)]
pub(crate) enum OnBadRow {
    /// Nothing is committed; the reader ends after the last bad value that is named.
    Stop,
    /// Nothing is committed; all such rows are written to the file.
    Report(RejectFile),
    /// Such rows and those that reference one of them are written to the file; the rest is committed.
    Skip(RejectFile),
}

impl OnBadRow {
    fn on_bad_value(&self) -> OnBadValue {
        match self {
            OnBadRow::Stop | OnBadRow::Report(_) => OnBadValue::Read,
            OnBadRow::Skip(_) => OnBadValue::Send,
        }
    }
}

/// The reaction to bad values, and how many of them are named.
#[derive(Debug)]
pub(crate) struct BadValueLimits {
    /// The reaction to rows with bad values.
    pub(crate) on_error: OnBadRow,
    /// The largest number of bad values that are named.
    pub(crate) max_errors: usize,
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
pub(crate) async fn transfer(
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
        result = &mut work => result.map_err(failed),
        reason = context.cancel.cancelled() => {
            state.stop.store(true, Ordering::Relaxed);
            cancel_until_end(work, canceller).await.map_err(|cause| match cause {
                Cause::Transfer(TransferError::Uncommitted(ApplyError::Unknown(_))) => failed(cause),
                _ => failed(Cause::Stopped(reason)),
            })
        }
    }
}

/// Cancels the work and waits for the answer: the work is then known to be rolled back, or to be done after all. A
/// server that waits for rows notices a cancel request when some come, which the end of the reader brings about. A
/// request that arrives between two statements has no effect, so it is sent again.
async fn cancel_until_end(
    mut work: Pin<&mut impl Future<Output = Result<TransferSummary, Cause>>>,
    canceller: &mut Canceller,
) -> Result<TransferSummary, Cause> {
    loop {
        canceller.cancel().await;
        if let Ok(result) = tokio::time::timeout(CANCEL_INTERVAL, work.as_mut()).await {
            return result;
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
    let (on_bad_value, max_errors) = (limits.on_error.on_bad_value(), limits.max_errors);
    let mut reader = read::begin(source, Arc::clone(&plan), limits, Arc::clone(&state.stop));
    let sent = copy(&mut load, &plan, &mut reader, on_bad_value, &state.progress).await;
    // In every case, the file of rejected rows belongs to the reader until the reader ends.
    let read = match &sent {
        Ok(_) => reader.end().await,
        Err(_) => reader.stop().await,
    };
    let result = match sent {
        Ok(sent) => check_sent_rows(sent, read, on_bad_value, &plan).await,
        Err(cause) => Err(cause),
    };
    let (mut digests, read) = match result {
        Ok(result) => result,
        Err(cause) => {
            load.roll_back().await;
            return Err(cause);
        }
    };
    let (mut load, removed) = reattach(load, &plan, &read.highest, &mut digests, on_bad_value, &state.progress).await?;
    let published = async {
        let rejects = removed.found_in(read.source, read.rejects, max_errors, Arc::clone(&state.stop)).await?;
        verify_digests(&mut load, &plan, &digests, &state.progress).await?;
        publish_rejects(rejects).await
    };
    let published = match published.await {
        Ok(published) => published,
        Err(cause) => {
            load.roll_back().await;
            return Err(cause);
        }
    };
    commit(load, state, published.as_ref()).await?;
    Ok(TransferSummary { rows: digests.iter().map(Digest::rows).collect(), rejects: published })
}

async fn commit(
    completed_load: CompletedLoad<'_>,
    state: &WorkState,
    published: Option<&PublishedRejects>,
) -> Result<(), Cause> {
    state.committing.store(true, Ordering::Relaxed);
    completed_load.commit().await.map_err(|error| commit_error(error, published))
}

/// Locks the tables, which have to be empty.
async fn open<'a>(locked: &'a mut Locked, plan: &TransferPlan) -> Result<BulkLoad<'a>, Cause> {
    let tables: Vec<TargetTable> = plan.mappings.iter().map(|mapping| mapping.target.clone()).collect();
    let mut load = locked.load(&tables).await.map_err(|fault| match fault.kind {
        DatabaseErrorKind::Contended => Cause::Transfer(TransferError::InUse(fault)),
        _ => Cause::Database(fault),
    })?;
    let occupied_tables = load.filled().await.map_err(Cause::Database)?;
    if occupied_tables.is_empty() {
        return Ok(load);
    }
    load.roll_back().await;
    let names = occupied_tables.iter().map(TargetTable::quoted).collect();
    Err(Cause::Transfer(TransferError::NotEmpty(names)))
}

/// Checks that everything was read and may be committed. Returns the digest of each table, and the reader's result.
async fn check_sent_rows(
    sent: SentRows,
    read: Option<ReadResult>,
    on_bad_value: OnBadValue,
    plan: &TransferPlan,
) -> Result<(Vec<Digest>, ReadResult), Cause> {
    let SentRows { digests, mut bad, casts, refused } = sent;
    match refused {
        Some(refused) if bad.is_empty() => return Err(Cause::Transfer(refused)),
        Some(refused) => bad.insert(0, refused.to_string()),
        None => {}
    }
    let is_complete = digests.len() == plan.mappings.len();
    if on_bad_value == OnBadValue::Send {
        bad.iter().for_each(|message| tracing::warn!("left out: {message}"));
    }
    match read {
        Some(read) if is_complete && (on_bad_value == OnBadValue::Send || bad.is_empty()) => Ok((digests, read)),
        _ if bad.is_empty() => Err(Cause::Internal("the reader ended before the last table".into())),
        read => {
            let published = publish_rejects(read.and_then(|read| read.rejects)).await?;
            Err(Cause::Transfer(match published {
                Some(PublishedRejects { file, rows, values }) => {
                    TransferError::Reported { found: bad, casts, values, rows, file }
                }
                None => TransferError::Bad { found: bad, casts },
            }))
        }
    }
}

/// Gives the file of rejected rows its name, if there are any.
async fn publish_rejects(rejects: Option<RejectFile>) -> Result<Option<PublishedRejects>, Cause> {
    match rejects {
        Some(rejects) => run(move |_| rejects.publish()).await.map_err(Cause::Transfer),
        None => Ok(None),
    }
}

/// Returns the cause for a failed commit. The rejected rows are discarded only if nothing is committed for certain.
fn commit_error(error: ApplyError, published: Option<&PublishedRejects>) -> Cause {
    match (published, &error) {
        (Some(PublishedRejects { file, .. }), ApplyError::Unknown(_)) => {
            tracing::warn!("if the others were transferred, the rows that were left out are in {}", file.display());
        }
        (Some(published), _) => published.discard(),
        (None, _) => {}
    }
    Cause::Transfer(TransferError::Uncommitted(error))
}

/// Reads back the rows that are about to be committed, and checks that each table contains what was read.
async fn verify_digests(
    completed_load: &mut CompletedLoad<'_>,
    plan: &TransferPlan,
    digests: &[Digest],
    progress: &ProgressLine,
) -> Result<(), Cause> {
    let (start, mut differences) = (Instant::now(), Vec::new());
    for (mapping, expected) in plan.mappings.iter().zip(digests) {
        let columns: Vec<String> = mapping.written().into_iter().map(identifier).collect();
        let query = format!("SELECT {} FROM {}", columns.join(", "), mapping.target.rows());
        let mut found = Digest::default();
        let meter = RowMeter::new(progress, format!("comparing {}", mapping.source.name), Some(expected.rows()));
        let mut ticks = meter.ticks();
        let copying = completed_load.copy_out(&query, |row| {
            ticks.row(row.bytes().len());
            found.add(row.bytes());
        });
        metered(&meter, copying).await.map_err(Cause::Database)?;
        if found != *expected {
            differences.push(difference(mapping, expected, &found));
        }
    }
    if !differences.is_empty() {
        return Err(Cause::Transfer(TransferError::Differs(differences)));
    }
    let duration_ms = start.elapsed().as_millis() as u64;
    tracing::info!(duration_ms, "compared what was read with what was written");
    Ok(())
}

/// Describes the difference between both sides of a table by their numbers of rows.
pub(super) fn difference(mapping: &TableMapping, expected: &Digest, found: &Digest) -> String {
    let (name, target) = (&mapping.source.name, mapping.target.quoted());
    match expected.rows() == found.rows() {
        true => format!("{name} and {target} have {} rows each, and not the same ones", found.rows()),
        false => format!("{name} has {} rows, {target} {}", expected.rows(), found.rows()),
    }
}
