//! The `transfer` command: copies every row of a SQLite file into PostgreSQL, after an upgrade to head.

use std::sync::Arc;

use super::transfer_failure::{log_advice, mapping_failure, planned, planning_failure, usage};
use super::transfer_input::{file, read, transfer_options};
use super::{CommandOutput, OutputFormat, transfer_call, transfer_plan};
use crate::cli::{BadValueArg as Wished, Transfer};
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::sqlite::source::SqliteSource;
use crate::database::{Canceller, Locked};
use crate::entrypoint::{self, lock_settings};
use crate::error::{Cause, Failure, Stage, TransferError, counted};
use crate::request::MigrationRequest;
use crate::revision::target::RevisionName;
use crate::revision::{Direction, Target};
use crate::stage::transfer::{self, OnBadRow, PublishedRejects, RejectDestination, RejectFile};
use crate::stage::with_lock::with_lock;
use crate::transfer::plan::{self, PlanPurpose, TransferOptions};
use crate::transfer::source::SourceContents;

/// Upgrades the schema to head and copies the rows, or with `--plan` shows which columns would be copied to which.
///
/// # Errors
/// Fails as the upgrade or the transfer does. The target has no new row then.
pub(crate) async fn run(
    config: &DatabaseConfig,
    args: &Transfer,
    format: OutputFormat,
    context: &RunContext,
) -> Result<CommandOutput, Failure> {
    match args.plan {
        true => transfer_plan::show(config, args, format, &context.cancel).await.map(CommandOutput::Printed),
        false => transfer(config, args, context).await.map(CommandOutput::Text),
    }
}

/// Upgrades the schema to head, then copies the rows.
async fn transfer(config: &DatabaseConfig, args: &Transfer, context: &RunContext) -> Result<String, Failure> {
    let options = transfer_options(&args.rows.casts, PlanPurpose::Load).map_err(usage)?;
    let path = file(config, &args.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let on_error = on_error(config, args)?;
    // Read before anything is changed, so that a file that cannot be read is found first.
    let opened = read(config, path, &context.cancel).await?;
    plan::check(&opened.1, &options).map_err(mapping_failure)?;
    let request = MigrationRequest::new(config, &Target::At(RevisionName::Head), Direction::Up)?;
    let migrated = entrypoint::run(config, &request, context).await?;
    let max_errors = usize::try_from(args.max_errors).unwrap_or(usize::MAX);
    let limits = transfer::BadValueLimits { on_error, max_errors };
    let settings = lock_settings(config);
    let result = with_lock(&settings, &context.cancel, async |locked: &mut Locked, mut canceller| {
        copy(locked, &mut canceller, opened, &options, limits, context).await
    });
    result.await.map_err(|failure| {
        let failure = log_advice(Failure { done: migrated.done, ..failure }, args);
        advise_casts(config, args, &failure);
        failure
    })
}

/// Decides on the treatment of rows that do not fit. The file for them is created here, before anything is changed.
fn on_error(config: &DatabaseConfig, args: &Transfer) -> Result<OnBadRow, Failure> {
    if args.on_error == Wished::Stop {
        return match &args.rejects {
            Some(_) => Err(usage("--rejects goes with --on-error report or skip".into())),
            None => Ok(OnBadRow::Stop),
        };
    }
    let destination = match &args.rejects {
        Some(file) => RejectDestination::File(file.clone()),
        None => RejectDestination::Directory(config.backup.dir.clone()),
    };
    let failed = |error| Failure::new(Stage::Configure, Cause::Transfer(error));
    let rejects = RejectFile::create(&destination).map_err(failed)?;
    Ok(match args.on_error {
        Wished::Skip => OnBadRow::Skip(rejects),
        Wished::Stop | Wished::Report => OnBadRow::Report(rejects),
    })
}

/// Logs one command line with every cast that was advised.
fn advise_casts(config: &DatabaseConfig, args: &Transfer, failure: &Failure) {
    if let Cause::Transfer(TransferError::Bad { casts, .. } | TransferError::Reported { casts, .. }) = &failure.cause {
        transfer_call::advise(config, args, casts.iter());
    }
}

/// Copies the rows under the lock, and returns the last line.
async fn copy(
    locked: &mut Locked,
    canceller: &mut Canceller,
    (source, contents): (SqliteSource, SourceContents),
    options: &TransferOptions,
    limits: transfer::BadValueLimits,
    context: &RunContext,
) -> Result<String, Failure> {
    let targets = locked.database().target_tables().await.map_err(planning_failure)?;
    let plan = planned(&contents, &targets, options)?;
    for (name, reason) in &plan.skipped {
        tracing::info!("left alone: {name}, {reason}");
    }
    let summary = transfer::transfer(locked, canceller, source, Arc::new(plan), limits, context).await?;
    let rows: u64 = summary.rows.iter().sum();
    let tables = summary.rows.len() as u64;
    let message =
        format!("transferred {}, {}, and compared every one of them", counted(tables, "table"), counted(rows, "row"));
    match summary.rejects {
        None => Ok(message),
        Some(PublishedRejects { file, rows, .. }) => {
            let left_out = TransferError::LeftOut { rows, file, transferred: message };
            Err(Failure::new(Stage::Transfer, Cause::Transfer(left_out)))
        }
    }
}
