//! Backs up the database before the first change. The result is a verified file or a logged reason why there is none: a
//! backup is never skipped silently.

mod archive_directory;
mod archive_file;
mod budget;
mod choice;
mod command;
mod content;
mod directory;
mod dump;
mod dump_form;
mod estimate;
mod external;
mod external_manifest;
mod in_bucket;
mod manifest;
mod names;
mod point;
mod program;
mod retention;
mod rows_in_file;
mod safety;
mod work;

use std::io;
use std::path::Path;

pub(crate) use archive_directory::verify as verify_directory;
pub(crate) use directory::is_on_container_layer;
pub(crate) use external_manifest::{ExternalManifest, list as list_external};
pub(crate) use in_bucket::{DownloadedBackup, download};
use manifest::RunState;
pub(crate) use manifest::{GuardedChange, Manifest, kind, manifest_of, seal};
pub(crate) use retention::ListedBackup;
pub(crate) use safety::Safety;
pub(crate) use work::RevisionRange;

use crate::bucket::BucketUrl;
use crate::config::{BackupPlace, BackupPolicy, BackupWay};
use crate::context::RunContext;
use crate::database::{Canceller, DatabaseIdentity, Locked};
use crate::error::{BackupError, Cause, Failure, Stage};
use crate::stage::atomic_file;
use crate::stage::command_run::LockHold;
use choice::first_that_fits;
use work::{BackupSubject, BackupWork};

/// Backs up a locked database before it is changed, unless the policy has switched backups off or the database is
/// empty.
///
/// # Errors
/// Fails when none of the ways to back up fits, and when the backup cannot be taken and verified; no file has the final
/// name then.
pub(crate) async fn backup(
    locked: &mut Locked,
    canceller: &mut Canceller,
    policy: &BackupPolicy,
    range: &RevisionRange,
    context: &RunContext,
) -> Result<Safety, Failure> {
    if policy.ways.is_off() {
        tracing::warn!("no backup: LOCKKEEPER_BACKUP is off");
        return Ok(Safety::waived(&[]));
    }
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    if locked.database().is_empty().await.map_err(failed)? {
        tracing::info!("no backup: the database is empty");
        return Ok(Safety::nothing_to_save());
    }
    let ways: Vec<BackupWay> = policy.ways.iter().collect();
    take_by_first_that_fits(locked, canceller, (policy, &ways), range, context).await
}

/// Takes and verifies a backup, even of an empty database or when the policy has switched backups off.
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
    let mut ways: Vec<BackupWay> = policy.ways.iter().filter(|way| *way != BackupWay::Off).collect();
    if ways.is_empty() {
        ways.push(BackupWay::Dump);
    }
    take_by_first_that_fits(locked, canceller, (policy, &ways), range, context).await
}

/// Takes a backup by the first of these ways that fits.
async fn take_by_first_that_fits(
    locked: &mut Locked,
    canceller: &mut Canceller,
    (policy, ways): (&BackupPolicy, &[BackupWay]),
    range: &RevisionRange,
    context: &RunContext,
) -> Result<Safety, Failure> {
    let database = locked.database();
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    let size = database.size().await.map_err(failed)?;
    let subject = BackupSubject { size, database_id: database.give_id().await.map_err(failed)? };
    let work = BackupWork { hold: LockHold { locked, canceller }, policy, range, subject: &subject, context };
    first_that_fits(work, ways).await.map_err(|cause| Failure::new(Stage::Backup, cause))
}

/// Notes in the manifest of a backup that the run has succeeded, and the revision to which a guarded command has led.
/// The backup of a run that has not succeeded is kept longer. An error is logged: the database is changed and verified.
pub(crate) async fn note_success(safety: &Safety, guarded_to: Option<&str>) {
    let Some(file) = safety.file() else { return };
    let shown = file.display().to_string();
    let noted = match BucketUrl::is_meant(&shown) {
        true => in_bucket::change_manifest(&shown, |manifest| succeeded(manifest, guarded_to)).await,
        false => change_manifest(file, |manifest| succeeded(manifest, guarded_to)).map_err(|error| error.to_string()),
    };
    if let Err(error) = noted {
        tracing::warn!("the manifest of {shown} does not say that the run has succeeded: {error}");
    }
}

fn succeeded(manifest: &mut Manifest, guarded_to: Option<&str>) {
    manifest.run = Some(RunState::Succeeded);
    if let (Some(guarded), Some(revision)) = (&mut manifest.guarded, guarded_to) {
        guarded.to_revision = Some(revision.to_owned());
    }
}

fn change_manifest(file: &Path, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
    let mut manifest: Manifest = serde_json::from_slice(&Manifest::read(file)?).map_err(io::Error::other)?;
    change(&mut manifest);
    let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
    atomic_file::replace(&manifest_of(file), directory::PARTIAL_SUFFIX, &json)
}

/// Lists the backups of a database, oldest first. A directory that does not exist has none.
///
/// # Errors
/// Fails when the directory or the bucket cannot be read.
pub(crate) async fn list(place: &BackupPlace, identity: &DatabaseIdentity) -> Result<Vec<ListedBackup>, BackupError> {
    match place {
        BackupPlace::Bucket(url) => in_bucket::list(url, identity).await.map_err(BackupError::Bucket),
        BackupPlace::Directory(dir) => match retention::list(dir, identity) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|error| BackupError::Directory(format!("{}: {error}", dir.display()))),
        },
    }
}
