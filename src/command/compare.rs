//! The `compare` command: checks that PostgreSQL has exactly the rows of a SQLite file. It only reads, and blocks
//! neither readers nor writers.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use super::transfer_failure::{log_problems, planned, planning_failure, usage};
use super::transfer_input::{file, read_by_several, transfer_options};
use crate::cli::RowArgs;
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::Database;
use crate::error::{Cause, Failure, Stage, counted};
use crate::stage::compare::{self, ComparisonSummary};
use crate::stage::wait::wait;
use crate::transfer::plan::{PlanPurpose, TransferOptions};
use crate::transfer::target::TargetTable;

/// The largest number of sessions that read at the same time.
const MAX_SESSIONS: usize = 4;

/// Compares the rows of the SQLite file with those of the PostgreSQL database.
///
/// # Errors
/// Fails when one side cannot be read, when tables or columns are missing, and when rows differ.
pub(crate) async fn compare(config: &DatabaseConfig, args: &RowArgs, context: &RunContext) -> Result<String, Failure> {
    let options = transfer_options(&args.casts, PlanPurpose::Compare).map_err(usage)?;
    // The source is not kept open while the run waits for the server.
    let path = file(config, &args.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let (mut database, _) = wait(&config.database, &config.history, &config.wait_policy, &context.cancel).await?;
    let failed = |cause| Failure::new(Stage::Compare, cause);
    let mut probe = database.probe();
    tokio::select! {
        fault = probe.silence() => Err(failed(Cause::Database(fault))),
        reason = context.cancel.cancelled() => Err(failed(Cause::Stopped(reason))),
        result = open_both(config, path, &mut database, &options, context) => {
            let ComparisonSummary { tables, rows } = result?;
            Ok(format!("equal: {}, {}", counted(tables as u64, "table"), counted(rows, "row")))
        }
    }
}

/// Reads both sides and compares them.
async fn open_both(
    config: &DatabaseConfig,
    path: PathBuf,
    database: &mut Database,
    options: &TransferOptions,
    context: &RunContext,
) -> Result<ComparisonSummary, Failure> {
    let sessions = sessions(config);
    let (sources, contents) = read_by_several(config, path, sessions, &context.cancel).await?;
    let targets = database.target_tables().await.map_err(planning_failure)?;
    let plan = planned(&contents, &targets, options).map_err(log_problems)?;
    for (name, reason) in &plan.skipped {
        tracing::info!("left alone: {name}, {reason}");
    }
    let tables: Vec<TargetTable> = plan.mappings.iter().map(|mapping| mapping.target.clone()).collect();
    let failed = |fault| Failure::new(Stage::Compare, Cause::Database(fault));
    let snapshot = database.snapshot(&tables).await.map_err(failed)?;
    let result = compare::compare(snapshot, sources, sessions, Arc::new(plan), &context.progress).await;
    result.map_err(|cause| log_problems(Failure::new(Stage::Compare, cause)))
}

/// Returns the number of sessions that may read at the same time: one for each processor, within the bound of the
/// settings.
fn sessions(config: &DatabaseConfig) -> usize {
    let processors = available_parallelism().map_or(1, NonZero::get);
    processors.min(MAX_SESSIONS).min(config.session_limit.unwrap_or(MAX_SESSIONS))
}
