//! The content of a backup: written with the tool or the library of the database, and read back.

use std::path::Path;
use std::time::Duration;

use super::directory::{self, PartialBackup};
use super::manifest;
use crate::config::BackupPolicy;
use crate::database::postgres::{MonitorSession, Postgres, dump};
use crate::database::row_counts::RowCounts;
use crate::database::sqlite::copy::{self, CopyError};
use crate::database::{BackupSource, Canceller, Database, DatabaseErrorKind};
use crate::error::BackupError;
use crate::revision::Fingerprint;
use crate::stage::blocking::run;

/// The content of a backup, which is verified and durable.
pub(crate) struct BackupContent {
    /// The version of the tool or library that has written the backup.
    pub(crate) tool_version: String,
    /// The number of rows of each table.
    pub(crate) rows: RowCounts,
    /// The SHA-256 of the file.
    pub(crate) sha256: Fingerprint,
    /// The size of the file in bytes.
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
) -> Result<BackupContent, BackupError> {
    let file = partial.path.as_path();
    let (tool_version, rows) = match (database.source(), canceller) {
        (BackupSource::Postgres(server), Canceller::Postgres(monitor)) => {
            from_postgres(server, monitor, policy, partial).await?
        }
        (BackupSource::Sqlite(path), _) => from_sqlite(path, file).await?,
        (BackupSource::Postgres(_), _) => unreachable!("the canceller is the database's"),
    };
    refuse_replaced(partial)?;
    let sealed_file = file.to_owned();
    let result = run(move |stop| manifest::seal(&sealed_file, stop)).await;
    let (sha256, bytes) = result.map_err(|error| directory::write_error(file, &error))?;
    refuse_replaced(partial)?;
    Ok(BackupContent { tool_version, rows, sha256, bytes })
}

/// Fails when another file has taken the place of the one that was written: its content is not what was backed up.
fn refuse_replaced(partial: &PartialBackup) -> Result<(), BackupError> {
    match partial.has_its_name() {
        true => Ok(()),
        false => Err(BackupError::Unverified(format!("{} was replaced by another file", partial.path.display()))),
    }
}

/// Runs `pg_dump`, and counts the rows in the same snapshot. Returns the version of the tool and the numbers of rows.
async fn from_postgres(
    server: &Postgres,
    monitor: &mut MonitorSession,
    policy: &BackupPolicy,
    partial: &PartialBackup,
) -> Result<(String, RowCounts), BackupError> {
    let lock_wait = Duration::from_secs(60);
    let tools = dump::DumpTools::find(policy.pg_dump.as_deref(), server.major()).await.map_err(BackupError::Tool)?;
    let snapshot = monitor.snapshot(lock_wait).await.map_err(BackupError::Source)?;
    let dump = tools.dump(server, &snapshot, lock_wait, &partial.content);
    let (dump_result, rows) = tokio::join!(dump, monitor.count());
    let rows = match (dump_result, rows) {
        // The snapshot was lost with the session that counted, so the error of the tool is only a consequence.
        (Err(_), Err(fault)) if fault.kind == DatabaseErrorKind::Lost => {
            return Err(BackupError::Source(fault));
        }
        // Both have met an error of the server's disk, and only this one has its SQLSTATE.
        (Err(_), Err(fault))
            if matches!(
                fault.kind,
                DatabaseErrorKind::Io | DatabaseErrorKind::ServerFile | DatabaseErrorKind::Corrupt
            ) =>
        {
            return Err(BackupError::Source(fault));
        }
        (dump_result, rows) => {
            dump_result.map_err(BackupError::Tool)?;
            rows.map_err(BackupError::Source)?
        }
    };
    monitor.end_snapshot().await.map_err(BackupError::Source)?;
    let metadata = partial.content.metadata().map_err(|error| directory::write_error(&partial.path, &error))?;
    if metadata.len() == 0 {
        return Err(BackupError::Empty("pg_dump"));
    }
    tools.read_back(&partial.content).await.map_err(|error| BackupError::Unverified(error.to_string()))?;
    Ok((tools.version, rows))
}

/// Copies the file, checks the copy, and counts its rows. Returns the version of SQLite and the numbers of rows.
async fn from_sqlite(source: &Path, file: &Path) -> Result<(String, RowCounts), BackupError> {
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
