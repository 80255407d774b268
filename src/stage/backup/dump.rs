//! The backup as a verified file: an archive of `pg_dump`, or a copy of the SQLite file.

use std::path::Path;

use super::content::{BackupContent, fill};
use super::directory::{self, PartialBackup};
use super::dump_form;
use super::manifest::{BackupFormat, Manifest, RunState, kind};
use super::retention;
use super::safety::{PassedOver, Safety};
use super::work::{BackupSubject, BackupWork, RevisionRange};
use crate::clock;
use crate::database::Database;
use crate::error::BackupError;
use crate::progress::FileProgress;
use crate::stage::command_run::LockHold;

/// Writes, verifies and publishes the backup, and deletes old ones. Dropping the future ends the tool and removes the
/// partial file.
pub(super) async fn write(work: BackupWork<'_>, dir: &Path, passed_over: &[PassedOver]) -> Result<Safety, BackupError> {
    let BackupWork { hold: LockHold { locked, canceller }, policy, range, subject, context } = work;
    let database = locked.database();
    let size = subject.size;
    let started_at = clock::now();
    let identity = database.identity();
    directory::make(dir)?;
    directory::remove_leftovers(dir, &identity);
    check_room(dir, directory::needed(identity.dialect, size))?;
    // The partial file must be removed before `with_room` reads the free space.
    let add_free_space = |error| with_room(error, dir, size);
    let form = dump_form::choose(database, policy, size).await.map_err(BackupError::Source)?;
    let partial = PartialBackup::create(dir, &identity, range, form).map_err(add_free_space)?;
    let display = FileProgress::start(&context.progress, format!("backing up {}", identity.name), &partial.path, size);
    let content = fill(database, canceller, policy, &partial, form).await;
    drop(display);
    let content = match content {
        Ok(content) => content,
        Err(error) => {
            drop(partial);
            return Err(add_free_space(error));
        }
    };
    let manifest = manifest(database, subject, range, passed_over, (partial.name(), content, started_at));
    let file = partial.publish(&manifest).map_err(add_free_space)?;
    announce(&file, manifest.bytes, dir);
    retention::retire(dir, &identity, policy.keep, &manifest);
    Ok(Safety::dumped(file, passed_over))
}

/// Returns the manifest of a backup whose content is complete, from its name, its content, and the time at which it began.
pub(super) fn manifest(
    database: &Database,
    subject: &BackupSubject,
    range: &RevisionRange,
    passed_over: &[PassedOver],
    (name, content, started_at): (String, BackupContent, String),
) -> Manifest {
    let (identity, server) = (database.identity(), database.server());
    let BackupContent { tool_version, rows, files, sha256, bytes } = content;
    Manifest {
        file: name,
        format: files.is_some().then_some(BackupFormat::Directory),
        files,
        sha256: sha256.to_string(),
        bytes,
        kind: kind(identity.dialect).into(),
        database: identity.name,
        database_id: subject.database_id.clone(),
        database_bytes: Some(subject.size),
        passed_over: passed_over.to_vec(),
        run: range.leads_somewhere().then_some(RunState::Begun),
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
