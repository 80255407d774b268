//! The `import` command: loads the rows of an export into either kind of database, after an upgrade to head.

use std::sync::Arc;

use super::transfer_failure::{log_bad_values, planned, planning_failure, usage};
use super::transfer_input::transfer_options;
use crate::cli::Import;
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::sqlite::source::SqliteSource;
use crate::database::sqlite::staging::StagedRows;
use crate::database::{Canceller, Database, Locked};
use crate::dialect::Dialect;
use crate::entrypoint::{self, lock_settings};
use crate::error::{Cause, Failure, Stage, counted};
use crate::request::MigrationRequest;
use crate::revision::target::RevisionName;
use crate::revision::{Direction, Target};
use crate::signal::Cancel;
use crate::stage::import::{self, ImportRequest};
use crate::stage::transfer::{self, BadValueLimits, OnBadRow};
use crate::stage::with_lock::with_lock;
use crate::transfer::import::ImportTable;
use crate::transfer::plan::{PlanPurpose, PlanTarget, TransferOptions, TransferPlan};

/// Reads the file, upgrades the schema to head, and loads the rows.
///
/// # Errors
/// Fails when the file is not an export, as the upgrade does, or when rows do not fit; no row is loaded then.
pub(crate) async fn run(config: &DatabaseConfig, args: &Import, context: &RunContext) -> Result<String, Failure> {
    let options = transfer_options(&args.casts, PlanPurpose::Import).map_err(usage)?;
    if config.dialect == Dialect::Sqlite && !args.casts.cast.is_empty() {
        return Err(usage("--cast is for PostgreSQL: a column of SQLite takes values as they are".into()));
    }
    let failed = |cause| Failure::new(Stage::Import, cause);
    // Read before anything is changed, so that a file that is not an export is found first.
    let staged = import::read(&args.file, &context.cancel).await.map_err(failed)?;
    let request = MigrationRequest::new(config, &Target::At(RevisionName::Head), Direction::Up)?;
    let migrated = entrypoint::run(config, &request, context).await?;
    let max_errors = usize::try_from(args.max_errors).unwrap_or(usize::MAX);
    let settings = lock_settings(config);
    let result =
        with_lock(&settings, &context.cancel, async |locked: &mut Locked, mut canceller| match config.dialect {
            Dialect::Postgres => postgres(locked, &mut canceller, staged, &options, max_errors, context).await,
            Dialect::Sqlite => sqlite(config, locked, staged, &options, max_errors, &context.cancel).await,
        });
    match result.await {
        Ok(loaded) => {
            let rows: u64 = loaded.iter().sum();
            let tables = counted(loaded.len() as u64, "table");
            Ok(format!("imported {tables}, {}, and compared every one of them", counted(rows, "row")))
        }
        Err(failure) => Err(log_bad_values(Failure { done: migrated.done, ..failure }, args.max_errors)),
    }
}

/// Loads the rows into PostgreSQL, and returns the number of rows of each table.
async fn postgres(
    locked: &mut Locked,
    canceller: &mut Canceller,
    staged: StagedRows,
    options: &TransferOptions,
    max_errors: usize,
    context: &RunContext,
) -> Result<Vec<u64>, Failure> {
    let targets = locked.database().target_tables().await.map_err(planning_failure)?;
    let plan = plan(&staged, &targets, options)?;
    let limits = BadValueLimits { on_error: OnBadRow::Stop, max_errors };
    let loaded = transfer::transfer(locked, canceller, staged.source, Arc::new(plan), limits, context).await?;
    Ok(loaded.rows)
}

/// Loads the rows into SQLite, and returns the number of rows of each table.
async fn sqlite(
    config: &DatabaseConfig,
    locked: &mut Locked,
    staged: StagedRows,
    options: &TransferOptions,
    max_errors: usize,
    cancel: &Cancel,
) -> Result<Vec<u64>, Failure> {
    let Database::Sqlite(database) = locked.database() else {
        unreachable!("the setting says which one it is");
    };
    let path = database.path().to_owned();
    let timeout = config.limits.busy;
    let tables = crate::stage::run(move |stop| SqliteSource::open(&path, timeout, stop)?.tables());
    let tables = tables.await.map_err(planning_failure)?.tables;
    let targets: Vec<ImportTable> = tables.iter().map(ImportTable::from_source).collect();
    let plan = plan(&staged, &targets, options)?;
    let load = ImportRequest { plan, busy_timeout: timeout, max_errors };
    let row_counts = import::load(database, staged, load, cancel).await;
    let row_counts = row_counts.map_err(|cause| Failure::new(Stage::Transfer, cause))?;
    for (table, rows) in &row_counts {
        tracing::info!(rows, "imported {table}");
    }
    Ok(row_counts.into_iter().map(|(_, rows)| rows).collect())
}

/// Maps the tables and columns of the export to those of the target.
fn plan<T: PlanTarget>(
    staged: &StagedRows,
    targets: &[T],
    options: &TransferOptions,
) -> Result<TransferPlan<T>, Failure> {
    let failed = |error| Failure::new(Stage::Plan, Cause::Export(error));
    let contents = import::contents(staged, targets).map_err(failed)?;
    let plan = planned(&contents, targets, options)?;
    for (name, reason) in &plan.skipped {
        tracing::info!("left alone: {name}, {reason}");
    }
    Ok(plan)
}
