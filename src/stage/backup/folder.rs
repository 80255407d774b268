//! The folder of the backups: its room, the names in it, and how a file gets one.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::RevisionRange;
use super::manifest::{Manifest, manifest_of};
use crate::database::{DatabaseIdentity, with_suffix};
use crate::error::BackupError;
use crate::report;
use crate::revision::Dialect;
use crate::safe_file;
use crate::stage::atomic_file::has_name;

/// What lies beside a backup that is not finished: SQLite's own files among it.
const PARTIAL: &str = ".partial";
/// The longer of two that end alike comes first: the first that fits is the one.
const LEFTOVERS: [&str; 5] = [".partial-wal", ".partial-shm", ".partial-journal", ".json.partial", PARTIAL];
/// For the manifest, SQLite's journal, and the file system itself.
pub const MARGIN: u64 = 64 * 1024;
/// A file system takes names of 255 bytes; time, revision and suffixes need their part.
const LONGEST_NAME: usize = 120;

/// Makes the folder, for us alone, and makes its being there durable.
///
/// # Errors
/// Whatever keeps it from being there.
pub fn make(dir: &Path) -> Result<(), BackupError> {
    if dir.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| write_error(dir, &error))?;
    for parent in dir.ancestors().skip(1) {
        // Not every file system can do that to a folder, and not every folder is ours to open.
        let _ = safe_file::open_folder(parent).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// The error that a file or folder there cannot be written.
pub fn write_error(path: &Path, error: &io::Error) -> BackupError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let uid = rustix::process::geteuid().as_raw();
    let message = format!("{} cannot be written by uid {uid}: {error}", path.display());
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => BackupError::Full(message),
        _ => BackupError::Folder(message),
    }
}

/// Bytes that a backup needs at least: a copy of SQLite has its size; a dump is compressed: an eighth of the tables is
/// the least that it has come to.
pub fn needed(dialect: Dialect, size: u64) -> u64 {
    MARGIN
        + match dialect {
            Dialect::Postgres => size / 8,
            Dialect::Sqlite => size,
        }
}

/// Bytes that are free in a folder, as far as the system can tell.
pub fn free_space(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|room| room.f_bavail.saturating_mul(room.f_frsize))
}

/// Whether a folder lies in a container's own layer, which is removed with the container. (By the layers' usual file
/// system: statfs(2), `OVERLAYFS_SUPER_MAGIC`.)
pub fn is_on_container_layer(dir: &Path) -> bool {
    const OVERLAY: u64 = 0x794c_7630;
    rustix::fs::statfs(dir).is_ok_and(|facts| u64::try_from(facts.f_type) == Ok(OVERLAY))
}

/// Whether a file of this name is a backup of this database: `app-20260112T093000Z-from-0004.dump`.
pub fn is_backup(name: &str, identity: &DatabaseIdentity) -> bool {
    let stamp = |text: &str| {
        text.len() == "20260112T093000Z".len()
            && text.chars().all(|character| character.is_ascii_digit() || "TZ".contains(character))
    };
    let rest = name.strip_prefix(&format!("{}-", safe(&identity.name)));
    rest.and_then(|rest| rest.split_once("-from-"))
        .is_some_and(|(time, from)| stamp(time) && from.ends_with(suffix(identity.dialect)))
}

fn suffix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => ".dump",
        Dialect::Sqlite => ".db",
    }
}

/// A database's name as a part of a file name.
fn safe(name: &str) -> String {
    let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    let name = &name[..end.unwrap_or(0)];
    name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// A backup that has no name yet; when it is dropped before it is published, it is gone. Its manifest's file is there
/// from the beginning and locked, so that others know it from what a killed run left. (Not the backup's own file: where
/// `flock` and SQLite's locks are of one kind, as on NFS, SQLite could not write it.)
pub struct PartialBackup {
    /// Where the backup is written.
    pub path: PathBuf,
    /// Where it will be.
    pub file: PathBuf,
    /// The file that is written, open.
    pub content: File,
    manifest: File,
}

impl PartialBackup {
    /// Takes the first free name: that second may have one already, of ours or of a database that shares the name.
    ///
    /// # Errors
    /// Whatever keeps the file from being created.
    pub fn create(dir: &Path, identity: &DatabaseIdentity, span: &RevisionRange) -> Result<PartialBackup, BackupError> {
        let stamp: String = report::now().chars().filter(|character| !"-:".contains(*character)).collect();
        let from = span.from.as_deref().unwrap_or("unversioned");
        let stem = format!("{}-{stamp}-from-{from}", safe(&identity.name));
        let suffix = suffix(identity.dialect);
        for number in 1.. {
            let file = match number {
                1 => dir.join(format!("{stem}{suffix}")),
                _ => dir.join(format!("{stem}-{number}{suffix}")),
            };
            if let Some(partial) = PartialBackup::at(file)? {
                return Ok(partial);
            }
        }
        unreachable!("there are endless numbers")
    }

    /// `None`: that name is taken.
    fn at(file: PathBuf) -> Result<Option<PartialBackup>, BackupError> {
        let path = with_suffix(&file, PARTIAL);
        let vouching = with_suffix(&manifest_of(&file), PARTIAL);
        let Some(manifest) = created(&vouching)? else {
            return Ok(None);
        };
        // A file system without locks: then nobody else can take it for a leftover, either.
        let _ = manifest.lock();
        // Somebody who tidied up may have been faster than our lock. Asked only now, when the name can no more be given
        // to another: a backup that has just got it must not be overwritten.
        let lost = manifest.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        let taken = file.exists() || manifest_of(&file).exists();
        let content = if lost || taken { Ok(None) } else { created(&path) };
        match content {
            Ok(Some(content)) => Ok(Some(PartialBackup { path, file, content, manifest })),
            other => {
                remove_partial(&file);
                other.map(|_| None)
            }
        }
    }

    /// Returns whether the name still leads to the file that was created.
    pub fn has_its_name(&self) -> bool {
        has_name(&self.content, &self.path)
    }

    /// Makes everything durable before the final name appears: the file (which is so already), the manifest, then the
    /// name, then the folder.
    ///
    /// # Errors
    /// The file system's; neither backup nor manifest stays then.
    pub fn publish(self, manifest: &Manifest) -> Result<PathBuf, BackupError> {
        let vouching = manifest_of(&self.file);
        self.give_names(manifest, &vouching).map_err(|error| {
            for path in [&self.file, &vouching, &with_suffix(&vouching, PARTIAL)] {
                let _ = fs::remove_file(path);
            }
            write_error(&self.file, &error)
        })?;
        Ok(self.file.clone())
    }

    fn give_names(&self, manifest: &Manifest, vouching: &Path) -> io::Result<()> {
        (&self.manifest).write_all(&serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?)?;
        self.manifest.sync_all()?;
        fs::rename(with_suffix(vouching, PARTIAL), vouching)?;
        fs::rename(&self.path, &self.file)?;
        safe_file::sync_parent(&self.file)
    }
}

/// Creates a file for us alone; `None` when there is one.
fn created(path: &Path) -> Result<Option<File>, BackupError> {
    match safe_file::create_new(path, 0o600) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(write_error(path, &error)),
    }
}

impl Drop for PartialBackup {
    fn drop(&mut self) {
        remove_partial(&self.file);
    }
}

/// Removes what is left of a backup that was not finished.
fn remove_partial(file: &Path) {
    for suffix in LEFTOVERS {
        let _ = fs::remove_file(with_suffix(file, suffix));
    }
}

/// Removes what runs that were killed have left: partial files, and manifests whose backup never got its name or was
/// just being retired. What is locked is being written by a run for another database of this name.
pub fn remove_leftovers(dir: &Path, identity: &DatabaseIdentity) {
    let backups: BTreeSet<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            let stem = LEFTOVERS.iter().chain(&[".json"]).find_map(|suffix| name.strip_suffix(suffix))?;
            is_backup(stem, identity).then(|| dir.join(stem))
        })
        .collect();
    for backup in backups {
        let manifest = manifest_of(&backup);
        // Held until the files are gone.
        let Ok(_locks) =
            [with_suffix(&manifest, PARTIAL), manifest.clone()].map(lock_of).into_iter().collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        // Asked after the lock: a backup that was published meanwhile keeps its manifest.
        let orphan = (!backup.exists()).then_some(manifest);
        let leftovers = LEFTOVERS.iter().map(|suffix| with_suffix(&backup, suffix)).chain(orphan);
        for path in leftovers {
            if fs::remove_file(&path).is_ok() {
                tracing::info!("removed what a stopped run left: {}", path.display());
            }
        }
    }
}

/// The lock of a file, unless there is no file.
fn lock_of(path: PathBuf) -> Result<Option<File>, TryLockError> {
    match safe_file::open_for_writing(&path) {
        Ok(file) => file.try_lock().map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_database() {
        let identity = |name: &str| DatabaseIdentity { dialect: Dialect::Postgres, name: name.into() };
        for (file, database, ours) in [
            ("app-20260112T093000Z-from-0004.dump", "app", true),
            ("app-20260112T093000Z-from-0004-2.dump", "app", true),
            ("app-20260112T093000Z-from-unversioned.dump", "app", true),
            ("a_b-20260112T093000Z-from-0004.dump", "a/b", true),
            ("app-blue-20260112T093000Z-from-0004.dump", "app", false),
            ("app-20260112T093000Z-from-0004.dump", "app-blue", false),
            ("app-20260112T093000Z-from-0004.db", "app", false),
            ("app-20260112T093000Z-from-0004.dump.json", "app", false),
            ("app-taken-from-production.dump", "app", false),
        ] {
            assert_eq!(is_backup(file, &identity(database)), ours, "{file} of {database}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(safe(&"é".repeat(200)).len(), 120);
        assert_eq!(safe("a b/c;d"), "a_b_c_d");
    }
}
