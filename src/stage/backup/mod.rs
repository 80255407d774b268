//! Backs up the database before the first change. The result is a verified file or a logged reason why there is none: a
//! backup is never skipped silently.

mod content;
mod directory;
mod manifest;
mod retention;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use directory::is_on_container_layer;
pub(crate) use manifest::{GuardedChange, Manifest, kind, manifest_of, seal};
pub(crate) use retention::list;

use crate::clock;
use crate::config::{BackupMode, BackupPolicy};
use crate::context::RunContext;
use crate::database::{Canceller, Database, Locked};
use crate::error::{BackupError, Cause, Failure, Stage};
use crate::progress::FileProgress;
use crate::report::ProgressLine;
use crate::revision::plan;
use crate::stage::atomic_file;
use content::{BackupContent, fill};
use directory::PartialBackup;

/// Proof that the run has passed the backup stage; the migrate stage requires it.
#[derive(Debug)]
pub(crate) struct Safety(BackupResult);

/// The result of the backup stage.
#[derive(Debug)]
enum BackupResult {
    /// The path of the verified backup.
    Backup(PathBuf),
    /// The user has switched backups off.
    Waived,
    /// The database is empty.
    NothingToSave,
}

impl Safety {
    /// Returns the path of the backup; `None` if there is none.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            BackupResult::Backup(file) => Some(file),
            BackupResult::Waived | BackupResult::NothingToSave => None,
        }
    }

    /// Returns the file name of the backup, for the history; `None` if there is none.
    pub(crate) fn name(&self) -> Option<&str> {
        self.file().and_then(Path::file_name).and_then(|name| name.to_str())
    }
}

/// The revisions between which a backup is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevisionRange {
    /// The newest revision before the change; `None` if no revision is applied.
    pub(crate) from: Option<String>,
    /// The heads that the change leads to; `None` if it leads to none or no change follows.
    pub(crate) to: Option<String>,
    /// The guarded command that makes the change, if there is one: its tool has revisions of its own.
    pub(crate) guarded: Option<GuardedChange>,
}

impl RevisionRange {
    /// Returns the range that begins at the newest revision of a locked database. The history is read under the lock,
    /// because the previous holder of the lock may have changed it.
    ///
    /// # Errors
    /// Fails when the session is lost, and when the history table is not Lockkeeper's.
    pub(crate) async fn from_newest(locked: &mut Locked, to: Option<String>) -> Result<RevisionRange, Failure> {
        let applied = locked.database().history().await;
        let applied = applied.map_err(|fault| Failure::new(Stage::Backup, Cause::Database(fault)))?;
        let from = plan::newest(&applied).map(ToString::to_string);
        Ok(RevisionRange { from, to, guarded: None })
    }
}

/// Backs up a locked database before it is changed, unless the policy has switched backups off or the database is
/// empty.
///
/// # Errors
/// Fails when a required backup cannot be taken and verified; no file has the final name then.
pub(crate) async fn backup(
    locked: &mut Locked,
    canceller: &mut Canceller,
    policy: &BackupPolicy,
    range: &RevisionRange,
    context: &RunContext,
) -> Result<Safety, Failure> {
    if policy.mode == BackupMode::Off {
        tracing::warn!("no backup: LOCKKEEPER_BACKUP is off");
        return Ok(Safety(BackupResult::Waived));
    }
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    if locked.database().is_empty().await.map_err(failed)? {
        tracing::info!("no backup: the database is empty");
        return Ok(Safety(BackupResult::NothingToSave));
    }
    take(locked, canceller, policy, range, context).await
}

/// Takes and verifies a backup, whatever the mode of the policy.
///
/// # Errors
/// Fails as [`backup`] does.
pub(crate) async fn take(
    locked: &mut Locked,
    canceller: &mut Canceller,
    policy: &BackupPolicy,
    range: &RevisionRange,
    context: &RunContext,
) -> Result<Safety, Failure> {
    let database = locked.database();
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    let size = database.size().await.map_err(failed)?;
    let subject = BackupSubject { size, database_id: database.give_id().await.map_err(failed)? };
    let limit = async {
        match policy.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let mut probe = canceller.probe();
    let result = tokio::select! {
        fault = probe.silence() => Err(Cause::Database(fault)),
        result = write(database, canceller, policy, range, subject, &context.progress) => result.map_err(Cause::Backup),
        reason = context.cancel.cancelled() => Err(Cause::Stopped(reason)),
        () = limit => Err(Cause::Backup(BackupError::TimedOut(policy.timeout.unwrap_or_default()))),
    };
    result.map_err(|cause| Failure::new(Stage::Backup, cause))
}

/// Adds the revision to which a guarded command has led to the manifest of the backup that was taken before it.
///
/// # Errors
/// Fails with the error of the file system; the manifest is as it was then.
pub(crate) fn record_result(backup: &Path, to_revision: &str) -> io::Result<()> {
    let mut manifest: Manifest = serde_json::from_slice(&Manifest::read(backup)?).map_err(io::Error::other)?;
    if let Some(guarded) = &mut manifest.guarded {
        guarded.to_revision = Some(to_revision.to_owned());
    }
    let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
    atomic_file::replace(&manifest_of(backup), directory::PARTIAL_SUFFIX, &json)
}

/// The facts that are read from the database before it is backed up.
struct BackupSubject {
    /// The number of bytes that the backup may need at most.
    size: u64,
    /// The id of the database; `None` if it has none.
    database_id: Option<String>,
}

/// Writes, verifies and publishes the backup, and deletes old ones. Dropping the future ends the tool and removes the
/// partial file.
async fn write(
    database: &Database,
    canceller: &mut Canceller,
    policy: &BackupPolicy,
    range: &RevisionRange,
    subject: BackupSubject,
    progress: &ProgressLine,
) -> Result<Safety, BackupError> {
    let BackupSubject { size, database_id } = subject;
    let dir = &policy.dir;
    let started_at = clock::now();
    let identity = database.identity();
    directory::make(dir)?;
    directory::remove_leftovers(dir, &identity);
    check_room(dir, directory::needed(identity.dialect, size))?;
    // The partial file must be removed before `with_room` reads the free space.
    let add_free_space = |error| with_room(error, dir, size);
    let partial = PartialBackup::create(dir, &identity, range).map_err(add_free_space)?;
    let display = FileProgress::start(progress, format!("backing up {}", identity.name), &partial.path, size);
    let content = fill(database, canceller, policy, &partial).await;
    drop(display);
    let content = match content {
        Ok(content) => content,
        Err(error) => {
            drop(partial);
            return Err(add_free_space(error));
        }
    };
    let manifest = Manifest { database_id, ..manifest(database, &partial, range, content, started_at) };
    let file = partial.publish(&manifest).map_err(add_free_space)?;
    announce(&file, manifest.bytes, dir);
    retention::retire(dir, &identity, policy.keep, &manifest);
    Ok(Safety(BackupResult::Backup(file)))
}

/// Returns the manifest of a backup whose content is complete.
fn manifest(
    database: &Database,
    partial: &PartialBackup,
    range: &RevisionRange,
    content: BackupContent,
    started_at: String,
) -> Manifest {
    let (identity, server) = (database.identity(), database.server());
    let BackupContent { tool_version, rows, sha256, bytes } = content;
    Manifest {
        file: partial.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: sha256.to_string(),
        bytes,
        kind: kind(identity.dialect).into(),
        database: identity.name,
        database_id: None,
        source: server.address,
        server_version: server.version,
        tool_version,
        lockkeeper_version: env!("CARGO_PKG_VERSION").into(),
        from_revision: range.from.clone(),
        to_revision: range.to.clone(),
        guarded: range.guarded.clone(),
        rows: Some(rows),
        started_at,
        verified_at: clock::now(),
    }
}

/// Logs the backup, and warns if its directory is removed with the container.
fn announce(file: &Path, bytes: u64, dir: &Path) {
    tracing::info!(bytes, "backup taken and verified: {}", file.display());
    if directory::is_on_container_layer(dir) {
        tracing::warn!("{} is in the container's own layer and goes with it: mount a volume there", dir.display());
    }
}

/// Checks that the directory has `needed` free bytes, as far as the system can tell.
fn check_room(dir: &Path, needed: u64) -> Result<(), BackupError> {
    match directory::free_space(dir) {
        Some(free) if free < needed => {
            Err(BackupError::NoRoom { cause: String::new(), directory: dir.to_owned(), needed, free })
        }
        _ => Ok(()),
    }
}

/// Adds the needed and the free bytes to an error that a full disk or quota has caused. Returns other errors as they
/// are.
fn with_room(error: BackupError, dir: &Path, size: u64) -> BackupError {
    match directory::free_space(dir) {
        Some(free) if error.is_no_room() => {
            let cause = format!("{error}: ");
            BackupError::NoRoom { cause, directory: dir.to_owned(), needed: size + directory::MARGIN, free }
        }
        _ => error,
    }
}
