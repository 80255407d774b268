//! The file of the rows that are not transferred. It gets its name before the COMMIT, so that at no moment a row is
//! missing on both sides.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::error::TransferError;
use crate::stage::atomic_file::{AtomicFile, AtomicFileError, PARTIAL, remove_leftover};
use crate::transfer::rejected_value::{RejectedValue, write_line};
use crate::transfer::value::Value;

/// The beginning of the name of a file that the user has not named.
const STEM: &str = "transfer-rejects-";
/// The end of the name of a file that the user has not named.
const SUFFIX: &str = ".jsonl";

/// The destination of rejected rows.
#[derive(Clone, Debug)]
pub(crate) enum RejectDestination {
    /// A file that must not exist yet.
    File(PathBuf),
    /// A new file in this directory, which is created if it does not exist.
    Directory(PathBuf),
}

/// A file of rejected rows that does not have its name yet. Dropping it before it is published removes it.
#[derive(Debug)]
pub(crate) struct RejectFile {
    file: PathBuf,
    out: AtomicFile,
    /// The number of rows in the file.
    pub(crate) rows: u64,
    /// The number of rejected values; a row may have several.
    pub(crate) values: u64,
}

/// A file that has its name and all its rows.
#[derive(Debug)]
pub(crate) struct PublishedRejects {
    /// The path of the file.
    pub(crate) file: PathBuf,
    /// The number of rows in the file.
    pub(crate) rows: u64,
    /// The number of rejected values; a row may have several.
    pub(crate) values: u64,
}

impl RejectFile {
    /// Creates a file before anything is changed, so that one that cannot be written is known early.
    ///
    /// # Errors
    /// Fails when there is such a file already, or when it cannot be created.
    pub(crate) fn create(destination: &RejectDestination) -> Result<RejectFile, TransferError> {
        match destination {
            RejectDestination::File(file) => RejectFile::at(file).map_err(publish_error(file)),
            RejectDestination::Directory(directory) => {
                // Only this user may read the rows, because they may be confidential.
                let result = DirBuilder::new().recursive(true).mode(0o700).create(directory);
                result.map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => write_error(directory)(ErrorKind::NotADirectory.into()),
                    _ => write_error(directory)(error),
                })?;
                remove_leftovers(directory);
                let timestamp = clock::now_for_names();
                let paths = (1..).map(|number| match number {
                    1 => directory.join(format!("{STEM}{timestamp}{SUFFIX}")),
                    _ => directory.join(format!("{STEM}{timestamp}-{number}{SUFFIX}")),
                });
                for file in paths {
                    match RejectFile::at(&file) {
                        Err(AtomicFileError::Taken | AtomicFileError::InUse) => {}
                        result => return result.map_err(publish_error(&file)),
                    }
                }
                unreachable!("there are endless numbers")
            }
        }
    }

    /// Creates and locks the file for this final name.
    fn at(file: &Path) -> Result<RejectFile, AtomicFileError> {
        let out = AtomicFile::create(file, PARTIAL)?;
        Ok(RejectFile { file: file.to_owned(), out, rows: 0, values: 0 })
    }

    /// Adds a row with its table, its key, the problems in it, and its values.
    ///
    /// # Errors
    /// Fails when the disk is full, or with another error of the file system.
    pub(crate) fn add<'a>(
        &mut self,
        table: &str,
        key: &str,
        rejected_values: &[RejectedValue],
        row: &mut dyn Iterator<Item = (&'a str, Value<'a>)>,
    ) -> Result<(), TransferError> {
        write_line(&mut self.out, table, key, rejected_values, row).map_err(write_error(&self.file))?;
        self.rows += 1;
        self.values += rejected_values.len() as u64;
        Ok(())
    }

    /// Makes the rows durable, and gives the file its name. Returns `None` when there are no rows; there is no file
    /// then.
    ///
    /// # Errors
    /// Fails with the error of the file system; there is no file then.
    pub(crate) fn publish(self) -> Result<Option<PublishedRejects>, TransferError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let RejectFile { file, out, rows, values } = self;
        out.publish().map_err(publish_error(&file))?;
        Ok(Some(PublishedRejects { file, rows, values }))
    }
}

impl PublishedRejects {
    /// Removes the file after a commit that has failed: its rows are in the source, like all others.
    pub(crate) fn discard(&self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::warn!("{} is of no use, and cannot be removed: {error}", self.file.display());
        }
    }
}

fn write_error(file: &Path) -> impl Fn(io::Error) -> TransferError {
    move |error| TransferError::Unkept { file: file.to_owned(), error }
}

/// Returns the error for a file that cannot be created or published.
fn publish_error(file: &Path) -> impl Fn(AtomicFileError) -> TransferError {
    move |error| {
        write_error(file)(match error {
            AtomicFileError::Taken | AtomicFileError::InUse => ErrorKind::AlreadyExists.into(),
            AtomicFileError::Io(error) => error,
        })
    }
}

/// Removes the files that killed runs have left: those runs have committed nothing.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(STEM) && name.ends_with(&format!("{SUFFIX}{PARTIAL}")) {
            remove_leftover(&entry.path());
        }
    }
}
