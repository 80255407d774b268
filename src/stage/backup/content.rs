//! The content of a backup: written with the tool or the library of the database, and read back.

use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use super::archive_directory::{self, ArchiveError};
use super::archive_file::BackupFile;
use super::directory::{self, PartialBackup};
use super::manifest;
use crate::config::BackupPolicy;
use crate::database::postgres::dump::request::{DumpForm, DumpRequest};
use crate::database::postgres::dump::{DumpTools, ToolError};
use crate::database::postgres::rows::SnapshotRows;
use crate::database::postgres::{MonitorSession, Postgres};
use crate::database::row_counts::RowCounts;
use crate::database::sqlite::copy::{self, CopyError};
use crate::database::{BackupSource, Canceller, Database, DatabaseError, DatabaseErrorKind};
use crate::error::BackupError;
use crate::revision::Fingerprint;
use crate::safe_file;
use crate::stage::blocking::run;

/// The content of a backup, which is verified and durable.
pub(crate) struct BackupContent {
    /// The version of the tool or library that has written the backup.
    pub(crate) tool_version: String,
    /// The number of rows of each table.
    pub(crate) rows: RowCounts,
    /// The files of a directory; `None` for a single file.
    pub(crate) files: Option<Vec<BackupFile>>,
    /// The SHA-256 of the file, or of all files of the directory.
    pub(crate) sha256: Fingerprint,
    /// The size of the file or of the directory in bytes.
    pub(crate) bytes: u64,
}

/// Fills the partial file, reads it back, and makes it durable. Dropping the future ends the tool.
///
/// # Errors
/// Fails when the content cannot be read, written or verified.
pub(crate) async fn fill(
    database: &Database,
    canceller: &mut Canceller,
    policy: &BackupPolicy,
    partial: &PartialBackup,
    form: DumpForm,
) -> Result<BackupContent, BackupError> {
    let file = partial.path.as_path();
    let (tool_version, rows, files) = match (database.source(), canceller) {
        (BackupSource::Postgres(server), Canceller::Postgres(monitor)) => {
            from_postgres(server, monitor, policy, (partial, form)).await?
        }
        (BackupSource::Sqlite(path), _) => {
            let (version, rows) = from_sqlite(path, file).await?;
            (version, rows, None)
        }
        (BackupSource::Postgres(_), _) => unreachable!("the canceller is the database's"),
    };
    refuse_replaced(partial)?;
    let (sha256, bytes) = match &files {
        Some(files) => archive_directory::sum(files),
        None => {
            let sealed_file = file.to_owned();
            let result = run(move |stop| manifest::seal(&sealed_file, stop)).await;
            result.map_err(|error| directory::write_error(file, &error))?
        }
    };
    refuse_replaced(partial)?;
    Ok(BackupContent { tool_version, rows, files, sha256, bytes })
}

/// Fails when another file has taken the place of the one that was written: its content is not what was backed up.
fn refuse_replaced(partial: &PartialBackup) -> Result<(), BackupError> {
    match partial.has_its_name() {
        true => Ok(()),
        false => Err(BackupError::Unverified(format!("{} was replaced by another file", partial.path.display()))),
    }
}

/// Runs `pg_dump`, counts the rows in the same snapshot, and reads the backup back. Returns the version of the tool, the
/// numbers of rows, and the files of a directory.
async fn from_postgres(
    server: &Postgres,
    monitor: &mut MonitorSession,
    policy: &BackupPolicy,
    (partial, form): (&PartialBackup, DumpForm),
) -> Result<(String, RowCounts, Option<Vec<BackupFile>>), BackupError> {
    let tools = find_tools(server, policy).await?;
    let output = (form, &partial.content, partial.path.as_path());
    let rows = dump_and_count(&tools, server, monitor, policy, output).await?;
    match form {
        DumpForm::File => read_file_back(&tools, partial).await.map(|()| (tools.version, rows.counts, None)),
        DumpForm::Directory(jobs) => {
            let (files, rows) = read_directory_back(&tools, partial, rows, jobs).await?;
            Ok((tools.version, rows, Some(files)))
        }
    }
}

/// Finds the tools that fit the server.
pub(super) async fn find_tools(server: &Postgres, policy: &BackupPolicy) -> Result<DumpTools, BackupError> {
    DumpTools::find(policy.pg_dump.as_deref(), server.major()).await.map_err(BackupError::Tool)
}

/// Runs `pg_dump`, and counts the rows in the same snapshot. The output is of this form; it may be a pipe for a file.
pub(super) async fn dump_and_count(
    tools: &DumpTools,
    server: &Postgres,
    monitor: &mut MonitorSession,
    policy: &BackupPolicy,
    (form, output, path): (DumpForm, &File, &Path),
) -> Result<SnapshotRows, BackupError> {
    let lock_wait = Duration::from_secs(60);
    let snapshot = monitor.snapshot(lock_wait).await.map_err(BackupError::Source)?;
    let request = DumpRequest { snapshot: &snapshot, lock_wait, form, compression: policy.compression, output, path };
    let (dump_result, rows) = tokio::join!(tools.dump(server, &request), monitor.count());
    let rows = both(dump_result, rows)?;
    monitor.end_snapshot().await.map_err(BackupError::Source)?;
    Ok(rows)
}

/// Returns the rows if the dump has succeeded, too; or the error of the one that has met the cause.
fn both(
    dump_result: Result<(), ToolError>,
    rows: Result<SnapshotRows, DatabaseError>,
) -> Result<SnapshotRows, BackupError> {
    match (dump_result, rows) {
        // The snapshot was lost with the session that counted, so the error of the tool is only a consequence.
        (Err(_), Err(fault)) if fault.kind == DatabaseErrorKind::Lost => Err(BackupError::Source(fault)),
        // Both have met an error of the server's disk, and only this one has its SQLSTATE.
        (Err(_), Err(fault))
            if matches!(
                fault.kind,
                DatabaseErrorKind::Io | DatabaseErrorKind::ServerFile | DatabaseErrorKind::Corrupt
            ) =>
        {
            Err(BackupError::Source(fault))
        }
        (dump_result, rows) => {
            dump_result.map_err(BackupError::Tool)?;
            rows.map_err(BackupError::Source)
        }
    }
}

/// Reads a single file back.
async fn read_file_back(tools: &DumpTools, partial: &PartialBackup) -> Result<(), BackupError> {
    let metadata = partial.content.metadata().map_err(|error| directory::write_error(&partial.path, &error))?;
    if metadata.len() == 0 {
        return Err(BackupError::Empty("pg_dump"));
    }
    tools.read_back(&partial.content).await.map_err(|error| BackupError::Unverified(error.to_string()))
}

/// Reads the files of a directory back, makes them durable, and compares their rows with those of the snapshot.
async fn read_directory_back(
    tools: &DumpTools,
    partial: &PartialBackup,
    rows: SnapshotRows,
    jobs: NonZero<usize>,
) -> Result<(Vec<BackupFile>, RowCounts), BackupError> {
    let unreadable = |error| directory::write_error(&partial.path, &error);
    if safe_file::names_in(&partial.content).map_err(unreadable)?.is_empty() {
        return Err(BackupError::Empty("pg_dump"));
    }
    let list = tools.list(&partial.content, &partial.path).await;
    let list = list.map_err(|error| BackupError::Unverified(error.to_string()))?;
    let content = partial.content.try_clone().map_err(unreadable)?;
    let reading = run(move |stop| {
        let files = archive_directory::read_back(&content, (&list, &rows), jobs, stop)?;
        Ok((files, rows.counts))
    });
    reading.await.map_err(|error: ArchiveError| match error {
        ArchiveError::Sync(name, error) => directory::write_error(&partial.path.join(name), &error),
        error => BackupError::Unverified(error.to_string()),
    })
}

/// Copies the file, checks the copy, and counts its rows. Returns the version of SQLite and the numbers of rows.
pub(super) async fn from_sqlite(source: &Path, file: &Path) -> Result<(String, RowCounts), BackupError> {
    let (source, copy) = (source.to_owned(), file.to_owned());
    let counts = run(move |stop| {
        copy::copy(&source, &copy, stop).map_err(|error| match error {
            CopyError::Source(fault) => BackupError::Source(fault),
            CopyError::Copy(fault) => BackupError::Copy(fault),
        })?;
        let Err(fault) = copy::check(&copy) else {
            return copy::count(&copy, stop).map_err(BackupError::Copy);
        };
        // If the source is damaged as well, the copy is faithful, and another run would end with the same error.
        match copy::check(&source) {
            Err(source_fault) if source_fault.kind == DatabaseErrorKind::Corrupt => {
                Err(BackupError::Source(source_fault))
            }
            _ if fault.kind == DatabaseErrorKind::Corrupt => Err(BackupError::Unverified(fault.to_string())),
            _ => Err(BackupError::Copy(fault)),
        }
    });
    Ok((format!("SQLite {}", copy::library_version()), counts.await?))
}
