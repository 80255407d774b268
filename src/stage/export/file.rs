//! The file of an export, which gets its name only when all of it is on the disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::database::with_suffix;
use crate::error::ExportError;
use crate::stage::atomic_file::{AtomicFile, AtomicFileError, PARTIAL};

/// A file that does not have its name yet. Dropping it before it is published removes it.
pub(crate) struct ExportFile {
    name: PathBuf,
    file: AtomicFile,
}

impl ExportFile {
    /// Creates the unfinished file of this name, and locks it.
    ///
    /// # Errors
    /// Fails when the name is taken, when another export writes to the file, or when the directory cannot be written.
    pub(crate) fn create(name: &Path) -> Result<ExportFile, ExportError> {
        if name.symlink_metadata().is_ok() {
            return Err(ExportError::Taken(name.to_owned()));
        }
        let file = AtomicFile::create(name, PARTIAL).map_err(|error| match error {
            AtomicFileError::Taken => ExportError::Taken(name.to_owned()),
            AtomicFileError::InUse => ExportError::InUse(name.to_owned()),
            AtomicFileError::Io(error) => unwritten(name, error),
        })?;
        Ok(ExportFile { name: name.to_owned(), file })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Fails with the error of the file system.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.file.write_all(bytes).map_err(|error| unwritten(&self.name, error))
    }

    /// Makes the file durable and gives it its final name.
    ///
    /// # Errors
    /// Fails when the name was taken meanwhile, or with the error of the file system.
    pub(crate) fn publish(self) -> Result<(), ExportError> {
        let name = self.name;
        let result = self.file.publish().map(|_| ());
        result.map_err(|error| match error {
            AtomicFileError::Taken | AtomicFileError::InUse => ExportError::Taken(name),
            AtomicFileError::Io(error) => ExportError::Unwritten { path: name, error },
        })
    }
}

/// Returns the error for an unfinished file that cannot be written.
fn unwritten(name: &Path, error: io::Error) -> ExportError {
    ExportError::Unwritten { path: with_suffix(name, PARTIAL), error }
}
