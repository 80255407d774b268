//! The source and the options of a transfer, as the command line names them.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::cli::CastArgs;
use crate::config::DatabaseConfig;
use crate::database::DatabaseError;
use crate::database::sqlite::source::{SqliteSource, wait_for_runs};
use crate::database::url::{self, DatabaseTarget as Url, SqliteLocation};
use crate::dialect::Dialect;
use crate::error::{Cause, Failure, Stage, TransferError};
use crate::progress::with_progress;
use crate::signal::Cancel;
use crate::stage::blocking;
use crate::stage::compare::PART_BYTES;
use crate::transfer::cast::{CastRule, Zone};
use crate::transfer::plan::{CastOverride, PlanPurpose, TransferOptions};
use crate::transfer::source::SourceContents;

/// Converts the options of the command line to those of the plan.
pub(super) fn transfer_options(args: &CastArgs, purpose: PlanPurpose) -> Result<TransferOptions, String> {
    let cast_override = |text: &String| match text.rsplit_once('=') {
        Some((column, rule)) if column.contains('.') => {
            CastRule::check_name(rule).map_err(|reason| format!("{column}: --cast: {reason}"))?;
            Ok(CastOverride { column: column.into(), rule: rule.into() })
        }
        _ => Err(format!("--cast {text:?} is not of the form TABLE.COLUMN=RULE")),
    };
    Ok(TransferOptions {
        purpose,
        only: args.tables.only.clone(),
        exclude: args.tables.exclude.clone(),
        casts: args.cast.iter().map(cast_override).collect::<Result<_, _>>()?,
        zone: Zone::parse(&args.timezone).map_err(|reason| format!("--timezone: {reason}"))?,
    })
}

/// Returns the path of the file that the URL names. Fails unless the target is PostgreSQL.
pub(super) fn file(config: &DatabaseConfig, from: &str) -> Result<PathBuf, Cause> {
    if config.dialect != Dialect::Postgres {
        return Err(Cause::Config("DATABASE_URL is SQLite: rows are transferred into PostgreSQL".into()));
    }
    source(from)
}

/// Returns the path of the file that the URL names.
pub(super) fn source(from: &str) -> Result<PathBuf, Cause> {
    match url::parse(from, &|_| None) {
        Ok(Url::Sqlite(url::SqliteTarget { location: SqliteLocation::File(path) })) => Ok(path),
        Ok(_) => Err(Cause::Usage("--from has to name a SQLite file, as sqlite:///relative.db".into())),
        Err(error) => Err(Cause::Usage(format!("--from: {error}"))),
    }
}

/// Opens the source and lists its tables.
pub(super) async fn read(
    config: &DatabaseConfig,
    path: PathBuf,
    cancel: &Cancel,
) -> Result<(SqliteSource, SourceContents), Failure> {
    let timeout = config.wait_policy.total;
    open(cancel, move |stop| {
        let run_lock = wait_for_runs(&path, timeout, stop)?;
        let source = SqliteSource::open(&path, timeout, stop)?.holding_run_lock(run_lock);
        source.tables().map(|contents| (source, contents))
    })
    .await
}

/// Opens the source for at most this number of connections that read at the same time, and lists its tables.
pub(super) async fn read_by_several(
    config: &DatabaseConfig,
    path: PathBuf,
    connections: usize,
    cancel: &Cancel,
) -> Result<(Vec<SqliteSource>, SourceContents), Failure> {
    let timeout = config.wait_policy.total;
    open(cancel, move |stop| {
        let run_lock = wait_for_runs(&path, timeout, stop)?;
        // A small file is read faster than further connections are opened.
        let useful = std::fs::metadata(&path).map_or(1, |metadata| metadata.len().div_ceil(PART_BYTES));
        let connections = connections.min(usize::try_from(useful).unwrap_or(usize::MAX));
        let mut sources = SqliteSource::open_readers(&path, connections, timeout, stop)?;
        let first = sources.remove(0).holding_run_lock(run_lock);
        let contents = first.tables()?;
        sources.insert(0, first);
        Ok((sources, contents))
    })
    .await
}

/// Opens a source on a thread that may block, and reports that it is waited for.
async fn open<T: Send + 'static>(
    cancel: &Cancel,
    open: impl FnOnce(&AtomicBool) -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, Failure> {
    let failed = |cause| Failure::new(Stage::Plan, cause);
    let opened_source = blocking::run_to_its_end(cancel, open);
    match with_progress("waiting for the source", opened_source).await {
        (_, Some(reason)) => Err(failed(Cause::Stopped(reason))),
        (result, None) => result.map_err(|fault| failed(Cause::Transfer(TransferError::Source(fault)))),
    }
}
