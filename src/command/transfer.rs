//! The `transfer` command: copies every row of a SQLite file into PostgreSQL, after an upgrade to head.

use crate::dialect::Dialect;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CommandOutput, OutputFormat, transfer_call, transfer_plan};
use crate::cli::{BadValueArg as Wished, CastArgs, Transfer};
use crate::config::Config;
use crate::database::postgres::bulk_load::TargetTable;
use crate::database::sqlite::source::{SourceContents, SqliteSource, wait_for_runs};
use crate::database::url::{self, DatabaseTarget as Url, SqliteLocation};
use crate::database::{Canceller, DatabaseError, Locked};
use crate::entrypoint::{self, lock_settings};
use crate::error::{Cause, Failure, Stage, TransferError, counted};
use crate::progress::with_progress;
use crate::request::MigrationRequest;
use crate::revision::target::RevisionName;
use crate::revision::{Direction, Target};
use crate::signal::Cancel;
use crate::stage::backup::is_on_container_layer;
use crate::stage::blocking;
use crate::stage::transfer::{self, OnBadRow, PublishedRejects, RejectDestination, RejectFile};
use crate::stage::with_lock::with_lock;
use crate::transfer::cast::{CastRule, Zone};
use crate::transfer::plan::{self, CastOverride, MappingError, PlanPurpose, TransferOptions, TransferPlan};

/// Upgrades the schema to head and copies the rows, or with `--plan` shows which columns would be copied to which.
///
/// # Errors
/// Fails as the upgrade or the transfer does. The target has no new row then.
pub async fn run(
    config: &Config,
    asked: &Transfer,
    form: OutputFormat,
    cancel: &Cancel,
) -> Result<CommandOutput, Failure> {
    match asked.plan {
        true => transfer_plan::show(config, asked, form, cancel).await.map(CommandOutput::Printed),
        false => transfer(config, asked, cancel).await.map(CommandOutput::Text),
    }
}

/// Upgrades the schema to head, then copies the rows.
async fn transfer(config: &Config, asked: &Transfer, cancel: &Cancel) -> Result<String, Failure> {
    let wish = wish(&asked.rows.meant, PlanPurpose::Load).map_err(usage)?;
    let path = file(config, &asked.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let on_error = on_error(config, asked)?;
    // Read before anything is changed, so that a file that cannot be read is found first.
    let opened = read(config, path, cancel).await?;
    plan::check(&opened.1, &wish).map_err(mapping_failure)?;
    let request = MigrationRequest::new(config, &Target::At(RevisionName::Head), Direction::Up)?;
    let settled = entrypoint::run(config, &request, cancel).await?;
    let max_errors = usize::try_from(asked.max_errors).unwrap_or(usize::MAX);
    let limits = transfer::BadValueLimits { on_error, max_errors };
    let settings = lock_settings(config);
    let ended = with_lock(&settings, cancel, async |locked: &mut Locked, mut canceller| {
        copy(locked, &mut canceller, opened, &wish, limits, cancel).await
    });
    ended.await.map_err(|failure| {
        let failure = with_advice(Failure { done: settled.done, ..failure }, asked);
        advise_casts(config, asked, &failure);
        failure
    })
}

/// Decides on the treatment of rows that do not fit. The file for them is created here, before anything is changed.
fn on_error(config: &Config, asked: &Transfer) -> Result<OnBadRow, Failure> {
    if asked.on_error == Wished::Stop {
        return match &asked.rejects {
            Some(_) => Err(usage("--rejects goes with --on-error report or skip".into())),
            None => Ok(OnBadRow::Stop),
        };
    }
    let destination = match &asked.rejects {
        Some(file) => RejectDestination::File(file.clone()),
        None => RejectDestination::Folder(config.backup.dir.clone()),
    };
    let failed = |error| Failure::new(Stage::Configure, Cause::Transfer(error));
    let rejects = RejectFile::create(&destination).map_err(failed)?;
    Ok(match asked.on_error {
        Wished::Skip => OnBadRow::Skip(rejects),
        Wished::Stop | Wished::Report => OnBadRow::Report(rejects),
    })
}

/// Logs every problem of the transfer if there are several, because the last line of the log has only the first.
pub(super) fn with_file_name(failure: Failure) -> Failure {
    if let Cause::Transfer(error) = &failure.cause {
        let found = error.found();
        let above = if found.len() > 1 { found } else { Vec::new() };
        above.iter().for_each(|line| tracing::error!("{line}"));
    }
    failure
}

/// Logs every problem of the transfer, and warns when the limit was reached and there may be more.
pub(super) fn all_named(failure: Failure, max_errors: u32) -> Failure {
    let failure = with_file_name(failure);
    if matches!(&failure.cause, Cause::Transfer(TransferError::Bad { found: bad, .. } | TransferError::Unstorable(bad)) if bad.len() >= max_errors as usize)
    {
        tracing::warn!("gave up after {max_errors} bad values: there may be more, --max-errors raises that");
    }
    failure
}

/// Logs one command line with every cast that was advised.
fn advise_casts(config: &Config, asked: &Transfer, failure: &Failure) {
    if let Cause::Transfer(TransferError::Bad { casts, .. } | TransferError::Reported { casts, .. }) = &failure.cause {
        transfer_call::advise(config, asked, casts.iter());
    }
}

/// Logs every problem of the transfer, and the advice that fits the options of the command line.
pub(super) fn with_advice(failure: Failure, asked: &Transfer) -> Failure {
    let failure = all_named(failure, asked.max_errors);
    match &failure.cause {
        Cause::Transfer(TransferError::Refused { .. } | TransferError::Violated(_))
            if asked.on_error == Wished::Skip =>
        {
            tracing::warn!(
                "--on-error skip leaves out values that do not fit and rows without a parent, not rows that a check refuses or that are there twice"
            );
        }
        Cause::Transfer(TransferError::Reported { file, .. } | TransferError::LeftOut { file, .. }) => {
            warn_of_the_layer(file);
        }
        _ => {}
    }
    failure
}

/// Warns when the file is in the container's own layer, because it is removed with the container.
fn warn_of_the_layer(file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if is_on_container_layer(folder.unwrap_or(Path::new("."))) {
        tracing::warn!("{} is in the container's own layer and goes with it: mount a volume there", file.display());
    }
}

/// Copies the rows under the lock, and returns the last line.
async fn copy(
    locked: &mut Locked,
    canceller: &mut Canceller,
    (source, contents): (SqliteSource, SourceContents),
    wish: &TransferOptions,
    limits: transfer::BadValueLimits,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let targets = locked.database().target_tables().await.map_err(planning_failure)?;
    let plan = planned(&contents, &targets, wish)?;
    for (name, why) in &plan.left {
        tracing::info!("left alone: {name}, {why}");
    }
    let transferred = transfer::transfer(locked, canceller, source, Arc::new(plan), limits, cancel).await?;
    let rows: u64 = transferred.tables.iter().map(|table| table.rows).sum();
    let tables = transferred.tables.len() as u64;
    let words =
        format!("transferred {}, {}, and compared every one of them", counted(tables, "table"), counted(rows, "row"));
    match transferred.kept {
        None => Ok(words),
        Some(PublishedRejects { file, rows, .. }) => {
            let left_out = TransferError::LeftOut { rows, file, transferred: words };
            Err(Failure::new(Stage::Transfer, Cause::Transfer(left_out)))
        }
    }
}

/// Maps the tables and columns of the source to those of the target.
pub(super) fn planned(
    contents: &SourceContents,
    targets: &[TargetTable],
    wish: &TransferOptions,
) -> Result<TransferPlan, Failure> {
    plan::plan(contents, targets, wish).map_err(mapping_failure)
}

/// Turns errors of the mapping into a failure of the plan stage.
pub(super) fn mapping_failure(objections: Vec<MappingError>) -> Failure {
    Failure::new(Stage::Plan, Cause::Transfer(TransferError::Unmapped(objections)))
}

/// Turns an error of the database into a failure of the plan stage.
pub(super) fn planning_failure(fault: DatabaseError) -> Failure {
    Failure::new(Stage::Plan, Cause::Database(fault))
}

/// Makes a failure of an invalid command line.
pub(super) fn usage(reason: String) -> Failure {
    Failure::new(Stage::Configure, Cause::Usage(reason))
}

/// Converts the options of the command line to those of the plan.
pub(super) fn wish(asked: &CastArgs, purpose: PlanPurpose) -> Result<TransferOptions, String> {
    let ruled = |text: &String| match text.rsplit_once('=') {
        Some((place, rule)) if place.contains('.') => {
            CastRule::check_name(rule).map_err(|reason| format!("{place}: --cast: {reason}"))?;
            Ok(CastOverride { place: place.into(), rule: rule.into() })
        }
        _ => Err(format!("--cast {text:?} is not of the form TABLE.COLUMN=RULE")),
    };
    Ok(TransferOptions {
        purpose,
        only: asked.chosen.only.clone(),
        exclude: asked.chosen.exclude.clone(),
        casts: asked.cast.iter().map(ruled).collect::<Result<_, _>>()?,
        zone: Zone::parse(&asked.timezone).map_err(|reason| format!("--timezone: {reason}"))?,
    })
}

/// Returns the path of the file that the URL names. Fails unless the target is PostgreSQL.
pub(super) fn file(config: &Config, from: &str) -> Result<PathBuf, Cause> {
    if config.dialect != Dialect::Postgres {
        return Err(Cause::Config("DATABASE_URL is SQLite: rows are transferred into PostgreSQL".into()));
    }
    source(from)
}

/// Returns the path of the file that the URL names.
pub(super) fn source(from: &str) -> Result<PathBuf, Cause> {
    match url::parse(from, &|_| None) {
        Ok(Url::Sqlite(url::SqliteTarget { place: SqliteLocation::File(path) })) => Ok(path),
        Ok(_) => Err(Cause::Usage("--from has to name a SQLite file, as sqlite:///relative.db".into())),
        Err(error) => Err(Cause::Usage(format!("--from: {error}"))),
    }
}

/// Opens the source and lists its tables.
pub(super) async fn read(
    config: &Config,
    path: PathBuf,
    cancel: &Cancel,
) -> Result<(SqliteSource, SourceContents), Failure> {
    let failed = |cause| Failure::new(Stage::Plan, cause);
    let patience = config.patience.total;
    let opening = blocking::run_to_its_end(cancel, move |stop| {
        let turn = wait_for_runs(&path, patience, stop)?;
        let source = SqliteSource::open(&path, patience, stop)?.holding_run_lock(turn);
        source.tables().map(|contents| (source, contents))
    });
    match with_progress("waiting for the source", opening).await {
        (_, Some(reason)) => Err(failed(Cause::Stopped(reason))),
        (opened, None) => opened.map_err(|fault| failed(Cause::Transfer(TransferError::Source(fault)))),
    }
}
