//! A file that has its name when all of it is on the disk, and not before.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::database::beside;
use crate::error::DumpError;
use crate::safe_file;
use crate::stage::publish::{has_name, publish};

/// The bytes until then. What a killed export has left, the next one of the same name takes over.
const SUFFIX: &str = ".partial";

pub struct Partial {
    name: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
    is_published: bool,
}

impl Partial {
    /// # Errors
    /// The name is taken; another export writes there; the folder's.
    pub fn create(name: &Path) -> Result<Partial, DumpError> {
        if name.symlink_metadata().is_ok() {
            return Err(DumpError::Taken(name.to_owned()));
        }
        let path = beside(name, SUFFIX);
        let unwritten = |error| DumpError::Unwritten { path: path.clone(), error };
        // The rows are for who has made it alone, like a backup.
        let file = safe_file::open_or_create(&path, 0o600).map_err(unwritten)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DumpError::InUse(name.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unwritten(error)),
        }
        // Another export may have given it its name between our opening and locking it.
        if !has_name(&file, &path) {
            return Err(DumpError::InUse(name.to_owned()));
        }
        file.set_len(0).map_err(unwritten)?;
        Ok(Partial { name: name.to_owned(), path, file: BufWriter::new(file), is_published: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DumpError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| DumpError::Unwritten { path: self.path.clone(), error })
    }

    /// Gives it its name, which nobody must have taken meanwhile.
    pub fn publish(mut self) -> Result<(), DumpError> {
        let published = self.named();
        self.is_published = published.is_ok();
        published.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => DumpError::Taken(self.name.clone()),
            _ => DumpError::Unwritten { path: self.name.clone(), error },
        })
    }

    fn named(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        publish(&self.path, &self.name)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_published {
            // What cannot be removed now is taken over by the next export of this name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
