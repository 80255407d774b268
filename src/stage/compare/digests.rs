//! The first scan: readers on both sides take parts of the tables until none is left.
//!
//! On the target's side, the session with the first snapshot and further sessions read, each on a thread of its own. A
//! further session that cannot be opened, or that waits for a lock for too long, leaves its part to the others.

use std::fmt::Display;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::parts::{BlockRange, PART_BYTES, SharedWork, TablePart};
use super::source::SourceReader;
use super::target::TargetReader;
use crate::database::DatabaseErrorKind;
use crate::database::postgres::bulk_load::SharedSnapshot;
use crate::error::Cause;
use crate::progress::{RowMeter, metered};
use crate::report::ProgressLine;
use crate::stage::blocking::Running;
use crate::transfer::plan::TransferPlan;
use crate::watchdog::runtime;

/// The state that the readers share.
#[derive(Clone)]
struct ReadContext {
    plan: Arc<TransferPlan>,
    work: Arc<SharedWork>,
    meter: Arc<RowMeter>,
}

/// A further session on a thread of its own. Dropping this value ends the session.
struct FurtherReader {
    thread: Running<()>,
    /// Tells the thread, by its end, that nobody waits for it.
    _waiting: oneshot::Sender<()>,
}

/// Compares the digests of all tables. Returns, for each table, the number of its rows if both sides are equal; and the
/// number of tables, from the first one on, that were reported to be equal.
///
/// # Errors
/// Fails when a side cannot be read.
pub(super) async fn compare(
    sources: &[SourceReader],
    target: &mut TargetReader<'_>,
    sessions: usize,
    plan: &Arc<TransferPlan>,
    progress: &ProgressLine,
) -> Result<(Vec<Option<u64>>, usize), Cause> {
    let (target_parts, bytes) = target.parts(plan).await?;
    let source_parts = sources[0].parts().await?;
    let useful = usize::try_from(bytes.div_ceil(PART_BYTES)).unwrap_or(usize::MAX).min(target_parts.len());
    let sessions = sessions.min(useful);
    let work = Arc::new(SharedWork::new(plan.mappings.len(), source_parts, target_parts));
    let rows = plan.mappings.iter().map(|mapping| mapping.source.rows).sum();
    let meter = Arc::new(RowMeter::new(progress, "comparing".into(), rows));
    let context = ReadContext { plan: Arc::clone(plan), work, meter };
    let further = if sessions > 1 { further_readers(target, sessions - 1, &context).await } else { Vec::new() };
    let reading = async {
        let sources = join_all(sources.iter().map(|source| source.read_parts(Arc::clone(&context.work))));
        let target = async {
            context.read_all(target).await;
            for reader in further {
                reader.thread.ended().await;
            }
            // The parts that the other sessions could not read.
            context.read_all(target).await;
        };
        tokio::join!(sources, target).0.into_iter().collect::<Result<(), Cause>>()
    };
    metered(&context.meter, reading).await?;
    context.work.results()
}

/// Starts further sessions. They are opened while the first one reads already.
async fn further_readers(target: &mut TargetReader<'_>, count: usize, context: &ReadContext) -> Vec<FurtherReader> {
    let snapshot = match target.share().await {
        Ok(snapshot) => snapshot,
        Err(fault) => {
            tracing::info!("one session reads the target, because its snapshot cannot be shared: {fault}");
            return Vec::new();
        }
    };
    (0..count).map(|_| FurtherReader::start(snapshot.clone(), context.clone())).collect()
}

impl FurtherReader {
    fn start(snapshot: SharedSnapshot, context: ReadContext) -> FurtherReader {
        let (waiting, gone) = oneshot::channel();
        let read = move || {
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => return log_fewer_sessions(&error),
            };
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = gone => {}
                    () = context.read_further(&snapshot) => {}
                }
            });
        };
        FurtherReader { thread: Running::start(Arc::default(), move |_| read()), _waiting: waiting }
    }
}

impl ReadContext {
    /// Reads parts in the first session, until none is left.
    async fn read_all(&self, target: &mut TargetReader<'_>) {
        while let Some(part) = self.work.target.take() {
            if let Err(cause) = self.read(target, part).await {
                self.work.fail(part.table, cause);
            }
        }
    }

    /// Reads parts in a further session, until none is left or the session has to wait for a lock.
    async fn read_further(&self, snapshot: &SharedSnapshot) {
        let mut session = match snapshot.open().await {
            Ok(session) => session,
            Err(fault) => return log_fewer_sessions(&fault),
        };
        let mut probe = session.probe();
        while let Some(part) = self.work.target.take() {
            let mut target = TargetReader::new(session.snapshot());
            let read = tokio::select! {
                read = self.read(&mut target, part) => read,
                fault = probe.silence() => {
                    probe.terminate().await;
                    return self.work.fail(part.table, Cause::Database(fault));
                }
            };
            match read {
                Ok(()) => {}
                Err(Cause::Database(fault)) if fault.kind == DatabaseErrorKind::Contended => {
                    self.work.target.put_back(part);
                    log_fewer_sessions(&fault);
                    break;
                }
                Err(cause) => {
                    self.work.fail(part.table, cause);
                    break;
                }
            }
        }
        session.close().await;
    }

    /// Reads a part, and adds its digest to the work.
    async fn read(&self, target: &mut TargetReader<'_>, part: TablePart<BlockRange>) -> Result<(), Cause> {
        let mapping = &self.plan.mappings[part.table];
        self.meter.becomes(format!("comparing {}", mapping.source.name));
        let digest = target.digest(mapping, part.range, &self.meter).await?;
        self.work.add_target(&self.plan, part.table, digest);
        Ok(())
    }
}

/// Reports that a further session does not read, or no longer.
fn log_fewer_sessions(reason: &dyn Display) {
    tracing::info!("the target is read by one session less: {reason}");
}
