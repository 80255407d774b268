//! The file of an export, which gets its name only when all of it is on the disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::database::with_suffix;
use crate::error::ExportError;
use crate::safe_file;
use crate::stage::atomic_file::{has_name, publish};

/// The suffix of an unfinished file. The next export of the same name takes over what a killed export has left.
const SUFFIX: &str = ".partial";

/// A file that does not have its name yet. Dropping it before it is published removes it.
pub struct PartialFile {
    name: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
    is_published: bool,
}

impl PartialFile {
    /// Creates or takes over the unfinished file of this name, and locks it.
    ///
    /// # Errors
    /// Fails when the name is taken, when another export writes to the file, or when the directory cannot be written.
    pub fn create(name: &Path) -> Result<PartialFile, ExportError> {
        if name.symlink_metadata().is_ok() {
            return Err(ExportError::Taken(name.to_owned()));
        }
        let path = with_suffix(name, SUFFIX);
        let unwritten = |error| ExportError::Unwritten { path: path.clone(), error };
        // Only this user may read the rows, as with a backup.
        let file = safe_file::open_or_create(&path, 0o600).map_err(unwritten)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::InUse(name.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unwritten(error)),
        }
        // Between opening and locking the file, another export may have given it its final name.
        if !has_name(&file, &path) {
            return Err(ExportError::InUse(name.to_owned()));
        }
        file.set_len(0).map_err(unwritten)?;
        Ok(PartialFile { name: name.to_owned(), path, file: BufWriter::new(file), is_published: false })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Fails with the error of the file system.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| ExportError::Unwritten { path: self.path.clone(), error })
    }

    /// Makes the file durable and gives it its final name.
    ///
    /// # Errors
    /// Fails when the name was taken meanwhile, or with the error of the file system.
    pub fn publish(mut self) -> Result<(), ExportError> {
        let published = self.rename_into_place();
        self.is_published = published.is_ok();
        published.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ExportError::Taken(self.name.clone()),
            _ => ExportError::Unwritten { path: self.name.clone(), error },
        })
    }

    /// Makes the file durable, and renames it.
    fn rename_into_place(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        publish(&self.path, &self.name)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_published {
            // A file that cannot be removed now is taken over by the next export of this name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
