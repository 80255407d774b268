//! The `backup` command, which takes a backup under the lock, and the `backups` command, which lists them.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::{ChangeSummary, OutputFormat};
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::{Canceller, Database, Locked};
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::report;
use crate::safe_file;
use crate::signal::Cancel;
use crate::stage::backup::{self, ExternalManifest, Manifest, RevisionRange};
use crate::stage::with_lock::{LockDecision, with_lock_unless_done};

/// Takes a verified backup.
///
/// # Errors
/// Fails as the wait, lock and backup stages do.
pub(crate) async fn take(config: &DatabaseConfig, context: &RunContext) -> Result<ChangeSummary, Failure> {
    let decide = async |mut database: Database, _| {
        let is_empty = database.is_empty().await;
        let message = "no backup: the database is empty".into();
        match is_empty.map_err(|error| Failure::new(Stage::Backup, Cause::Database(error)))? {
            true => Ok(LockDecision::Answer(ChangeSummary { message, revision: None, backup: None })),
            false => Ok(LockDecision::Lock(database, ())),
        }
    };
    let work = async |locked: &mut Locked, canceller, ()| back_up(config, locked, canceller, context).await;
    with_lock_unless_done(&lock_settings(config), &context.cancel, decide, |(), _| None, work).await
}

/// Takes a backup of a locked database.
async fn back_up(
    config: &DatabaseConfig,
    locked: &mut Locked,
    mut canceller: Canceller,
    context: &RunContext,
) -> Result<ChangeSummary, Failure> {
    let range = RevisionRange::from_newest(locked, None).await?;
    let safety = backup::take(locked, &mut canceller, &config.backup, &range, context).await?;
    let revision = range.from;
    let backup = safety.shown();
    let is_verified = if safety.file().is_some() { " and verified" } else { "" };
    let message = format!("backup taken{is_verified}: {}", backup.as_deref().unwrap_or_default());
    Ok(ChangeSummary { message, revision, backup })
}

/// A row of `backups --json`.
#[derive(Serialize)]
struct BackupEntry {
    /// The path or the URL of the backup, or the path of the manifest of one that lies elsewhere.
    file: String,
    /// True if the backup has a manifest that can be read.
    verified: bool,
    /// The content of the manifest; `None` for an unverified backup.
    manifest: Option<ListedManifest>,
}

/// The manifest of a backup in the directory, or of one that lies elsewhere.
#[derive(Serialize)]
#[serde(untagged)]
enum ListedManifest {
    InDirectory(Manifest),
    Elsewhere(ExternalManifest),
}

/// Lists the backups of the configured database, oldest first, on standard output.
///
/// # Errors
/// Fails when the directory or the bucket cannot be read (a missing directory counts as an empty list) or when standard output cannot
/// be written.
pub(crate) async fn list(config: &DatabaseConfig, format: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let identity = config.database.identity().map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let place = &config.backup.place;
    let backups = backup::list(place, &identity).await;
    let backups = backups.map_err(|error| Failure::new(Stage::Backup, Cause::Backup(error)))?;
    backups.iter().filter(|backup| backup.manifest.is_none()).for_each(|backup| warn_of_another_user(&backup.path));
    let mut rows: Vec<BackupEntry> = backups
        .into_iter()
        .map(|backup| entry(&backup.path, backup.manifest.map(ListedManifest::InDirectory)))
        .collect();
    let elsewhere = backup::list_external(&config.backup.dir, &identity).unwrap_or_default();
    rows.extend(elsewhere.into_iter().map(|(path, manifest)| entry(&path, Some(ListedManifest::Elsewhere(manifest)))));
    let count = rows.len();
    let text = match format {
        OutputFormat::Json => report::document(&rows),
        OutputFormat::Lines => rows.iter().map(line).collect(),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(format!("backups of {} in {place}: {count}", identity.name))
}

/// Warns that a backup whose manifest belongs to another user cannot be checked: it may be verified all the same.
fn warn_of_another_user(backup: &Path) {
    if let Err(error) = safe_file::open(&backup::manifest_of(backup))
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        let uid = rustix::process::geteuid().as_raw();
        tracing::warn!("we cannot tell whether {} is verified: uid {uid} may not read its manifest", backup.display());
    }
}

fn entry(path: &Path, manifest: Option<ListedManifest>) -> BackupEntry {
    BackupEntry { file: path.display().to_string(), verified: manifest.is_some(), manifest }
}

/// Returns the line of one backup for the list.
fn line(entry: &BackupEntry) -> String {
    match &entry.manifest {
        Some(ListedManifest::Elsewhere(manifest)) => format!(
            "{:<10}  {}  {:>18}  revision {:<14}  {}\n",
            manifest.backup.way(),
            manifest.taken_at,
            "",
            manifest.from_revision.as_deref().unwrap_or("-"),
            manifest.backup
        ),
        Some(ListedManifest::InDirectory(manifest)) => format!(
            "verified    {}  {:>12} bytes  revision {:<14}  {}\n",
            manifest.verified_at,
            manifest.bytes,
            manifest.revision().unwrap_or("-"),
            entry.file
        ),
        None => format!("unverified  {}\n", entry.file),
    }
}
