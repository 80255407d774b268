//! `backup` takes one now, under the lock; `backups` lists them.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::{ChangeSummary, OutputFormat};
use crate::config::Config;
use crate::entrypoint::{lock_request, release_lock};
use crate::error::{BackupError, Cause, Failure, Stage};
use crate::report;
use crate::safe_file;
use crate::signal::Cancel;
use crate::stage::backup::{self, Manifest, RevisionRange};
use crate::stage::lock::{LockOutcome, lock};
use crate::stage::wait::wait;

/// Takes a verified backup.
///
/// # Errors
/// As the wait, lock and backup stages.
pub async fn take(config: &Config, cancel: &Cancel) -> Result<ChangeSummary, Failure> {
    let (mut database, _) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    if database.is_empty().await.map_err(failed)? {
        let message = "no backup: the database is empty".into();
        return Ok(ChangeSummary { message, revision: None, backup: None });
    }
    let LockOutcome::Ours(mut locked, mut canceller) =
        lock(database, &lock_request(config, &|_| false), cancel).await?
    else {
        unreachable!("a backup is always needed")
    };
    let taken = async {
        let span = RevisionRange::from_newest(&mut locked, None).await?;
        let safety = backup::take(&mut locked, &mut canceller, &config.backup, &span, cancel).await?;
        Ok((safety, span.from))
    };
    let taken: Result<_, Failure> = taken.await;
    release_lock(locked).await;
    let (safety, revision) = taken?;
    let file = safety.file().map(|file| file.display().to_string()).unwrap_or_default();
    let message = format!("backup taken and verified: {file}");
    Ok(ChangeSummary { message, revision, backup: safety.file().map(Into::into) })
}

/// A row of `--json`.
#[derive(Serialize)]
struct BackupEntry {
    file: String,
    verified: bool,
    manifest: Option<Manifest>,
}

/// Lists the backups of the configured database, oldest first, on standard output.
///
/// # Errors
/// A folder that cannot be read (none at all is an empty list); an output that takes no more.
pub async fn list(config: &Config, form: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let identity = config.database.identity().map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let dir = &config.backup.dir;
    let listed = match backup::list(dir, &identity) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let message = format!("{}: {error}", dir.display());
            return Err(Failure::new(Stage::Backup, Cause::Backup(BackupError::Folder(message))));
        }
    };
    listed.iter().filter(|listed| listed.manifest.is_none()).for_each(|listed| warn_of_another_user(&listed.path));
    let count = listed.len();
    let rows: Vec<BackupEntry> = listed
        .into_iter()
        .map(|listed| BackupEntry {
            file: listed.path.display().to_string(),
            verified: listed.manifest.is_some(),
            manifest: listed.manifest,
        })
        .collect();
    let text = match form {
        OutputFormat::Json => report::document(&rows),
        OutputFormat::Lines => rows.iter().map(line).collect(),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(format!("backups of {} in {}: {count}", identity.name, dir.display()))
}

/// A backup of another user's is not unverified: it cannot be told.
fn warn_of_another_user(backup: &Path) {
    if let Err(error) = safe_file::open(&backup::manifest_of(backup))
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        let uid = rustix::process::geteuid().as_raw();
        tracing::warn!("whether {} is verified cannot be told: uid {uid} may not read its manifest", backup.display());
    }
}

fn line(row: &BackupEntry) -> String {
    match &row.manifest {
        Some(manifest) => format!(
            "verified    {}  {:>12} bytes  revision {:<14}  {}\n",
            manifest.verified_at,
            manifest.bytes,
            manifest.from_revision.as_deref().unwrap_or("-"),
            row.file
        ),
        None => format!("unverified  {}\n", row.file),
    }
}
