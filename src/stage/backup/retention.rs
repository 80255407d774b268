//! The backups in a directory: lists them, and deletes those that are not kept any longer.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{PARTIAL_SUFFIX, remove_entry};
use super::manifest::{Manifest, RunState, kind, manifest_of};
use super::names::is_backup;
use crate::clock;
use crate::config::BackupKeep;
use crate::database::{DatabaseIdentity, with_suffix};
use crate::safe_file;

/// A backup in the directory or in the bucket.
#[derive(Debug)]
pub(crate) struct ListedBackup {
    /// The path of the backup, or its URL.
    pub(crate) path: PathBuf,
    /// The manifest; `None` if none fits the backup.
    pub(crate) manifest: Option<Manifest>,
}

/// Lists the backups of a database in a directory, oldest first. A manifest counts only if it has the name and the size
/// of the file, or the names and the sizes of the files in the directory.
///
/// # Errors
/// Fails when the directory cannot be read.
pub(crate) fn list(dir: &Path, identity: &DatabaseIdentity) -> io::Result<Vec<ListedBackup>> {
    let mut backups = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_backup(&name, identity) {
            continue;
        }
        match Manifest::read_beside(&path) {
            Some(manifest) if manifest.file == name && manifest.fits(&path) => {
                if manifest.database == identity.name && manifest.kind == kind(identity.dialect) {
                    backups.push(ListedBackup { path, manifest: Some(manifest) });
                }
            }
            _ => backups.push(ListedBackup { path, manifest: None }),
        }
    }
    // Of two backups that were verified in the same second, the file that was written later is the newer one. The names
    // do not show that: the newer file may have a shorter name, which had become free again.
    backups.sort_by_cached_key(|ListedBackup { path, manifest }| {
        let verified_at = manifest.as_ref().map(|manifest| manifest.verified_at.clone());
        let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        (verified_at, written, path.clone())
    });
    Ok(backups)
}

/// Deletes the oldest verified backups that are not to be kept.
pub(super) fn retire(dir: &Path, identity: &DatabaseIdentity, keep: BackupKeep, newest: &Manifest) {
    let Ok(listed) = list(dir, identity) else {
        return;
    };
    for old in not_to_be_kept(listed, keep, newest, &dir.display().to_string()) {
        // The backup goes first: a manifest without its backup is not listed, and the next run removes it.
        note_deletion(&old, [&old, &manifest_of(&old)].into_iter().try_for_each(remove));
    }
}

/// Logs the deletion of an old backup.
pub(super) fn note_deletion<E: fmt::Display>(old: &Path, result: Result<(), E>) {
    match result {
        Ok(()) => tracing::info!("deleted the old backup {}", old.display()),
        Err(error) => tracing::warn!("{} could not be deleted: {error}", old.display()),
    }
}

/// Returns the oldest verified backups that are not to be kept. Never returns the backup that was just taken, whatever
/// the clock says, nor one that is not certainly of the same database, nor a file without a manifest of Lockkeeper.
/// `place` is where they lie, for the log.
pub(super) fn not_to_be_kept(
    listed: Vec<ListedBackup>,
    keep: BackupKeep,
    newest: &Manifest,
    place: &str,
) -> Vec<PathBuf> {
    let verified = listed.into_iter().filter_map(|ListedBackup { path, manifest }| Some((path, manifest?)));
    let others = verified.filter(|(_, manifest)| manifest.file != newest.file);
    let (older, uncertain): (Vec<(PathBuf, Manifest)>, Vec<_>) =
        others.partition(|(_, manifest)| manifest.is_certainly_of(newest));
    if uncertain.len() >= keep.count {
        tracing::info!(
            "backups in {place} that are not certainly of this database, although of one of its name, and are never deleted: {}",
            uncertain.len()
        );
    }
    surplus(&older, keep).into_iter().cloned().collect()
}

/// Returns the backups that are to be deleted, of those that are older than the one that was just taken.
fn surplus(older: &[(PathBuf, Manifest)], keep: BackupKeep) -> Vec<&PathBuf> {
    let surplus = (older.len() + 1).saturating_sub(keep.count);
    let is_old_enough = is_old_enough(keep);
    let before_failure = before_failed_run(older);
    let deletable = deletion_order(older).filter(|index| before_failure != Some(*index));
    let surplus = deletable.take(surplus).map(|index| &older[index]);
    surplus.filter(|(_, manifest)| is_old_enough(&manifest.verified_at)).map(|(path, _)| path).collect()
}

/// Returns a test of whether a backup of this time is too old to be kept for its age alone.
pub(super) fn is_old_enough(keep: BackupKeep) -> impl Fn(&str) -> bool {
    let oldest_kept = keep.age.map(clock::ago);
    // Times of one form: their order is that of their texts.
    move |time| oldest_kept.as_deref().is_none_or(|oldest_kept| time < oldest_kept)
}

/// Returns the newest backup that was taken before a run that has not succeeded: the one that its users may want back.
/// Of runs that were tried again and again, it is the backup of the first.
fn before_failed_run(older: &[(PathBuf, Manifest)]) -> Option<usize> {
    let is_before_failure = |index: &usize| older[*index].1.run == Some(RunState::Begun) && !is_repeat(older, *index);
    (0..older.len()).rev().find(is_before_failure)
}

/// Returns the backups in the order of deletion: first those that only repeat the one before them, then the others,
/// each time the oldest first. Otherwise, a container that is restarted again and again would soon have deleted the old
/// backup that was taken before its first attempt.
fn deletion_order(older: &[(PathBuf, Manifest)]) -> impl Iterator<Item = usize> {
    let (repeated, others): (Vec<usize>, Vec<usize>) = (0..older.len()).partition(|&index| is_repeat(older, index));
    repeated.into_iter().chain(others)
}

/// Returns whether a backup was taken before the same change as the one before it.
fn is_repeat(older: &[(PathBuf, Manifest)], index: usize) -> bool {
    let revisions = |index: usize| (&older[index].1.from_revision, &older[index].1.to_revision);
    index > 0 && older[index].1.to_revision.is_some() && revisions(index) == revisions(index - 1)
}

/// Removes a file or a directory. Succeeds if somebody else has removed it already. A directory loses its name first:
/// if the run is killed before all of its files are removed, the next run removes the others.
fn remove(path: &PathBuf) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => {
            let partial = with_suffix(path, PARTIAL_SUFFIX);
            safe_file::rename_to_free_name(path, &partial).and_then(|()| remove_entry(&partial))
        }
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
