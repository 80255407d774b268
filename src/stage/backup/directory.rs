//! The directory of the backups: its free space, and how a file in it gets its name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::RevisionRange;
use super::manifest::{Manifest, manifest_of};
use super::names::{free_names, is_backup, stem, suffixes};
use crate::database::postgres::dump::request::DumpForm;
use crate::database::{DatabaseIdentity, with_suffix};
use crate::dialect::Dialect;
use crate::error::BackupError;
use crate::safe_file;
use crate::stage::atomic_file::{AtomicFile, AtomicFileError, has_name, lock_of};

/// The suffix of an unfinished backup. SQLite adds suffixes of its own to it.
pub(super) const PARTIAL_SUFFIX: &str = ".partial";
/// The suffixes of the unfinished files of a backup.
const CONTENT_SUFFIXES: [&str; 4] = [".partial-wal", ".partial-shm", ".partial-journal", PARTIAL_SUFFIX];
/// The suffix of the unfinished file of a manifest.
const PARTIAL_MANIFEST_SUFFIX: &str = ".json.partial";
/// The number of bytes for the manifest, SQLite's journal, and the file system itself.
pub(crate) const MARGIN: u64 = 64 * 1024;

/// Creates the directory, for this user only, and makes its entry in the parent durable.
///
/// # Errors
/// Fails when the directory cannot be created.
pub(crate) fn make(dir: &Path) -> Result<(), BackupError> {
    if dir.is_dir() {
        return Ok(());
    }
    let result = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    result.map_err(|error| write_error(dir, &error))?;
    for parent in dir.ancestors().skip(1) {
        // Errors are ignored: not every file system can sync a directory, and not every parent may be opened.
        let _ = safe_file::open_directory(parent).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// Returns the error for a file or directory that cannot be written.
pub(crate) fn write_error(path: &Path, error: &io::Error) -> BackupError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let uid = rustix::process::geteuid().as_raw();
    let message = format!("{} cannot be written by uid {uid}: {error}", path.display());
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => BackupError::Full(message),
        _ => BackupError::Directory(message),
    }
}

/// Returns the number of bytes that a backup needs at least. A copy of SQLite has the size of the database. A dump is
/// compressed: an eighth of the size of the tables is the least that was observed.
pub(crate) fn needed(dialect: Dialect, size: u64) -> u64 {
    MARGIN
        + match dialect {
            Dialect::Postgres => size / 8,
            Dialect::Sqlite => size,
        }
}

/// Returns the number of free bytes in a directory; `None` if the system cannot tell.
pub(crate) fn free_space(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns whether a directory lies in a container's own layer, which is removed with the container. The layer is
/// recognized by its usual file system (statfs(2), `OVERLAYFS_SUPER_MAGIC`).
pub(crate) fn is_on_container_layer(dir: &Path) -> bool {
    const OVERLAY_MAGIC: u64 = 0x794c_7630;
    rustix::fs::statfs(dir).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(OVERLAY_MAGIC))
}

/// A backup that does not have its final name yet. Dropping it before it is published removes it. The file of its
/// manifest exists from the beginning and is locked, so that other runs can distinguish it from what a killed run has
/// left. The lock is not on the backup's own file: where `flock` and SQLite's locks are of one kind, as on NFS, SQLite
/// could not write it.
pub(crate) struct PartialBackup {
    /// The path to which the backup is written.
    pub(crate) path: PathBuf,
    /// The final path of the backup.
    pub(crate) file: PathBuf,
    /// The open file that is written; or the open directory.
    pub(crate) content: File,
    /// Dropped before the manifest, whose lock tells other runs that the files are in use.
    _remove: RemovePartial,
    /// The unfinished and locked file of the manifest.
    manifest: AtomicFile,
}

impl PartialBackup {
    /// Creates the files under the first free name: a backup of the same second may exist, of this database or of one
    /// that shares the name.
    ///
    /// # Errors
    /// Fails when a file cannot be created.
    pub(crate) fn create(
        dir: &Path,
        identity: &DatabaseIdentity,
        range: &RevisionRange,
        form: DumpForm,
    ) -> Result<PartialBackup, BackupError> {
        let suffixes = suffixes(identity.dialect);
        let suffix = suffixes[usize::from(form != DumpForm::File && suffixes.len() > 1)];
        for name in free_names(&stem(identity, range), suffix) {
            if let Some(partial) = PartialBackup::at(dir.join(name), form)? {
                return Ok(partial);
            }
        }
        unreachable!("there are endless numbers")
    }

    /// Creates the files for a backup with this final path. Returns `None` if the name is taken.
    fn at(file: PathBuf, form: DumpForm) -> Result<Option<PartialBackup>, BackupError> {
        let path = with_suffix(&file, PARTIAL_SUFFIX);
        let manifest_file = manifest_of(&file);
        let manifest = match AtomicFile::create(&manifest_file, PARTIAL_SUFFIX) {
            Ok(manifest) => manifest,
            Err(AtomicFileError::Taken | AtomicFileError::InUse) => return Ok(None),
            Err(AtomicFileError::Io(error)) => {
                return Err(write_error(&with_suffix(&manifest_file, PARTIAL_SUFFIX), &error));
            }
        };
        // The name is checked under the lock, when no other run can get it any more: a backup that has just got its
        // name must not be overwritten.
        let remove = RemovePartial(file.clone());
        match file.exists() {
            true => Ok(None),
            false => {
                let content = create_content(&path, form)?;
                Ok(content.map(|content| PartialBackup { path, file, content, _remove: remove, manifest }))
            }
        }
    }

    /// Returns the final name of the backup.
    pub(super) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns whether the path still leads to the file that was created.
    pub(crate) fn has_its_name(&self) -> bool {
        has_name(&self.content, &self.path)
    }

    /// Gives the backup and its manifest their final names. Before that, the content of both is durable: the backup's
    /// already, the manifest's by this function. The manifest comes first and stays locked until both have their names,
    /// so that no other run takes it for a leftover.
    ///
    /// # Errors
    /// Fails with the error of the file system; neither backup nor manifest remains then.
    pub(crate) fn publish(self, manifest: &Manifest) -> Result<PathBuf, BackupError> {
        let PartialBackup { path, file, manifest: mut manifest_file, .. } = self;
        let failed = |error| write_error(&file, &error);
        let json = serde_json::to_vec_pretty(manifest).map_err(io::Error::other).map_err(failed)?;
        manifest_file.write_all(&json).map_err(failed)?;
        let _lock = manifest_file.publish().map_err(|error| match error {
            AtomicFileError::Taken | AtomicFileError::InUse => failed(io::ErrorKind::AlreadyExists.into()),
            AtomicFileError::Io(error) => failed(error),
        })?;
        let result = fs::rename(&path, &file).and_then(|()| safe_file::sync_parent(&file));
        result.map_err(|error| {
            for published in [&file, &manifest_of(&file)] {
                let _ = remove_entry(published);
            }
            failed(error)
        })?;
        Ok(file)
    }
}

/// Creates a file or a directory for this user only. Returns `None` if there is one already.
fn create_content(path: &Path, form: DumpForm) -> Result<Option<File>, BackupError> {
    let created = match form {
        DumpForm::File => safe_file::create_new(path, 0o600),
        DumpForm::Directory(_) => safe_file::create_directory(path),
    };
    match created {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(write_error(path, &error)),
    }
}

/// Removes a file, or a directory with all that is in it. No symbolic link is followed, not even one that takes the
/// place of a directory meanwhile.
///
/// # Errors
/// Fails with the error of the file system.
pub(super) fn remove_entry(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    // A process of a tool that was just killed may still have added a file.
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(path),
        result => result,
    }
}

/// Removes the unfinished files of a backup, without its manifest's, when it is dropped. After the backup has its name
/// there are none.
struct RemovePartial(PathBuf);

impl Drop for RemovePartial {
    fn drop(&mut self) {
        for suffix in CONTENT_SUFFIXES {
            let _ = remove_entry(&with_suffix(&self.0, suffix));
        }
    }
}

/// Removes what killed runs have left: partial files, and manifests whose backup never got its name or was just being
/// deleted. Locked files remain: a run for another database of this name is writing them.
pub(crate) fn remove_leftovers(dir: &Path, identity: &DatabaseIdentity) {
    let backups: BTreeSet<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            // Of two suffixes with the same end, the longer one comes first.
            let stem = [PARTIAL_MANIFEST_SUFFIX]
                .iter()
                .chain(&CONTENT_SUFFIXES)
                .chain(&[".json"])
                .find_map(|suffix| name.strip_suffix(suffix))?;
            is_backup(stem, identity).then(|| dir.join(stem))
        })
        .collect();
    for backup in backups {
        let manifest = manifest_of(&backup);
        // The locks are held until the files are removed.
        let Ok(_locks) = [with_suffix(&manifest, PARTIAL_SUFFIX), manifest.clone()]
            .map(|path| lock_of(&path))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        // Checked under the lock: a backup that was published meanwhile keeps its manifest.
        let orphan = (!backup.exists()).then_some(manifest);
        let leftovers = CONTENT_SUFFIXES
            .iter()
            .chain(&[PARTIAL_MANIFEST_SUFFIX])
            .map(|suffix| with_suffix(&backup, suffix))
            .chain(orphan);
        for path in leftovers {
            if remove_entry(&path).is_ok() {
                tracing::info!("removed what a stopped run left: {}", path.display());
            }
        }
    }
}
