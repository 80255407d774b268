//! A directory for copies, which is removed when nobody needs it any more.

use std::io;
use std::path::Path;

use tempfile::{Builder, TempDir};

/// A directory below `TMPDIR`, else `/tmp`, that only this user can read. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(TempDir);

impl TemporaryDirectory {
    /// Creates the directory.
    ///
    /// # Errors
    /// Fails with the error of the file system, and with the name of the directory in which it cannot be created.
    pub(crate) fn new() -> Result<TemporaryDirectory, (io::Error, String)> {
        let parent = std::env::temp_dir();
        let created = Builder::new().prefix("lockkeeper-").tempdir_in(&parent);
        created.map(TemporaryDirectory).map_err(|error| (error, parent.display().to_string()))
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
