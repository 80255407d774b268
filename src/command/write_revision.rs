//! `transfer --write-revision`: writes a first PostgreSQL revision for the tables of a SQLite file, for review. It
//! needs no server.

use std::fs;
use std::path::Path;

use super::revision::{RevisionBase, next_version};
use super::transfer_call::{self, flags};
use super::transfer_failure::{log_problems, usage};
use super::transfer_input::{read, source, transfer_options};
use crate::cli::{CastArgs, Transfer};
use crate::config::DatabaseConfig;
use crate::database::sqlite::source::SqliteSource;
use crate::dialect::Dialect;
use crate::directory::write as files;
use crate::directory::{MigrationDir, dialects};
use crate::error::{Cause, Failure, Stage, TransferError, counted};
use crate::layout::{LayoutChoice, NewContent};
use crate::progress::with_progress;
use crate::signal::Cancel;
use crate::stage::blocking;
use crate::stage::schema_revision::{self as stage, DraftedRevision};
use crate::transfer::plan::{PlanPurpose as For, TransferOptions};
use crate::transfer::schema_conversion::line;
use crate::transfer::source::SourceContents;

/// Writes the files of the revision.
///
/// # Errors
/// Fails when the source cannot be read, when PostgreSQL cannot hold its data as it is, or when the directory is
/// invalid. No file is left then.
pub(crate) async fn write(config: &DatabaseConfig, args: &Transfer, cancel: &Cancel) -> Result<String, Failure> {
    let options = transfer_options(&args.rows.casts, For::Load).map_err(usage)?;
    let path = source(&args.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    // The directory is checked before the source is read, so that a missing one is found first.
    drop(files::lock_directory(&config.dir).map_err(|cause| Failure::new(Stage::Load, cause))?);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let opened = read(config, path, cancel).await?;
    let revision = examine(config, opened, options, cancel).await;
    let revision = revision.map_err(|cause| {
        let failure = log_problems(Failure::new(Stage::Plan, cause));
        if let Cause::Transfer(TransferError::Unwritable { casts, .. }) = &failure.cause {
            transfer_call::advise(config, args, casts.iter());
        }
        failure
    })?;
    for (name, reason) in &revision.skipped {
        tracing::info!("left alone: {name}, {reason}");
    }
    revision.draft.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    save(config, &revision, &about(&name, &args.rows.casts, &revision))
        .map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Reads every row on a thread of its own, and drafts the revision.
async fn examine(
    config: &DatabaseConfig,
    (source, contents): (SqliteSource, SourceContents),
    options: TransferOptions,
    cancel: &Cancel,
) -> Result<DraftedRevision, Cause> {
    let interrupter = source.interrupter();
    let history = config.history.table.clone();
    let scan = blocking::run_interruptible(
        cancel,
        || interrupter.interrupt(),
        move |stop| stage::write(&source, &contents, &options, &history, stop),
    );
    match with_progress("looking at every row of the source", scan).await {
        (_, Some(reason)) => Err(Cause::Stopped(reason)),
        (result, None) => result,
    }
}

/// Returns the comment at the head of the up file. Names follow words of ours on each line, so that no line is taken
/// for a directive.
fn about(name: &str, args: &CastArgs, revision: &DraftedRevision) -> String {
    let tables = counted(revision.tables as u64, "table");
    let mut text = line(&format!("Written from {name} by lockkeeper transfer --write-revision, with {tables}."));
    text += "--\n-- A type is the first of a few that holds every value of its column exactly. Review it, then run\n";
    text += "-- lockkeeper upgrade, and lockkeeper transfer with the same --from and these flags:\n";
    let flags = flags(args);
    if flags.is_empty() {
        text = text.replace(" and these flags:\n", ".\n");
    }
    flags.iter().for_each(|flag| text += &line(&format!("  {flag}")));
    for (name, reason) in &revision.skipped {
        text += &line(&format!("Left alone: {name}, {reason}."));
    }
    text + "\n"
}

/// Writes both files into the directory of PostgreSQL's revisions.
fn save(config: &DatabaseConfig, revision: &DraftedRevision, about: &str) -> Result<String, Cause> {
    let dir = &config.dir;
    let _turn = files::lock_directory(dir)?;
    let created_dir = directory_of_postgres(dir)?;
    let result = write_files(dir, config.layout_choice, revision, about);
    if let (true, Err(_)) = (created_dir.is_some(), &result) {
        // The directory is removed if it is empty.
        created_dir.iter().for_each(|path| drop(fs::remove_dir(path)));
    }
    result
}

/// Creates PostgreSQL's directory if only SQLite's exists. Returns its path if it was created.
fn directory_of_postgres(dir: &Path) -> Result<Option<std::path::PathBuf>, Cause> {
    let dialect_dir = |dialect| dir.join(dialects::name(dialect));
    let (postgres_dir, sqlite_dir) = (dialect_dir(Dialect::Postgres), dialect_dir(Dialect::Sqlite));
    if postgres_dir.is_dir() || !sqlite_dir.is_dir() {
        return Ok(None);
    }
    fs::create_dir(&postgres_dir).map_err(|error| Cause::Unwritten { path: postgres_dir.clone(), error })?;
    Ok(Some(postgres_dir))
}

/// Numbers the revision and writes its files; returns the last line.
fn write_files(dir: &Path, choice: LayoutChoice, revision: &DraftedRevision, about: &str) -> Result<String, Cause> {
    let directories = dialects::for_each_dialect(dir, Dialect::Postgres, |dialect| {
        MigrationDir::load_or_empty(dir, dialect, choice).map(RevisionBase::from_dir)
    })?;
    let version = next_version(&directories)?;
    let base = directories.iter().find(|base| base.directory.dialect == Dialect::Postgres);
    let base = base.ok_or_else(|| Cause::Internal("a directory for PostgreSQL is there by now".into()))?;
    let (up, down) = ([about, &revision.draft.up].concat(), ["\n", &revision.draft.down].concat());
    let new = base.scaffold(&version, "from sqlite", NewContent::Written { up: &up, down: &down })?;
    files::write(&new)?;
    for file in &new {
        tracing::info!("wrote {}", file.path.display());
    }
    let tables = counted(revision.tables as u64, "table");
    let warnings = match revision.draft.warnings.len() as u64 {
        0 => String::new(),
        number => format!(" and {} above", counted(number, "warning")),
    };
    Ok(format!(
        "revision {version} written: {tables}{warnings}; review it, then lockkeeper upgrade, then lockkeeper transfer"
    ))
}
