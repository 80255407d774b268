//! A file that has its name when all of it is on the disk, and not before.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::database::with_suffix;
use crate::error::ExportError;
use crate::safe_file;
use crate::stage::atomic_file::{has_name, publish};

/// The bytes until then. What a killed export has left, the next one of the same name takes over.
const SUFFIX: &str = ".partial";

pub struct PartialFile {
    name: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
    is_published: bool,
}

impl PartialFile {
    /// # Errors
    /// The name is taken; another export writes there; the folder's.
    pub fn create(name: &Path) -> Result<PartialFile, ExportError> {
        if name.symlink_metadata().is_ok() {
            return Err(ExportError::Taken(name.to_owned()));
        }
        let path = with_suffix(name, SUFFIX);
        let unwritten = |error| ExportError::Unwritten { path: path.clone(), error };
        // The rows are for who has made it alone, like a backup.
        let file = safe_file::open_or_create(&path, 0o600).map_err(unwritten)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::InUse(name.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unwritten(error)),
        }
        // Another export may have given it its name between our opening and locking it.
        if !has_name(&file, &path) {
            return Err(ExportError::InUse(name.to_owned()));
        }
        file.set_len(0).map_err(unwritten)?;
        Ok(PartialFile { name: name.to_owned(), path, file: BufWriter::new(file), is_published: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| ExportError::Unwritten { path: self.path.clone(), error })
    }

    /// Gives it its name, which nobody must have taken meanwhile.
    pub fn publish(mut self) -> Result<(), ExportError> {
        let published = self.rename_into_place();
        self.is_published = published.is_ok();
        published.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ExportError::Taken(self.name.clone()),
            _ => ExportError::Unwritten { path: self.name.clone(), error },
        })
    }

    fn rename_into_place(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        publish(&self.path, &self.name)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_published {
            // What cannot be removed now is taken over by the next export of this name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
