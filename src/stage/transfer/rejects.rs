//! The file of the rows that are not transferred. It gets its name before the COMMIT, so that at no moment a row is
//! missing on both sides.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::database::with_suffix;
use crate::error::TransferError;
use crate::safe_file;
use crate::stage::atomic_file::{has_name, publish};
use crate::transfer::rejected_value::{RejectedValue, write_line};
use crate::transfer::value::Value;

/// The suffix of the file until all rows are in it.
const PARTIAL: &str = ".lockkeeper-partial";
/// The beginning of the name of a file that the user has not named.
const STEM: &str = "transfer-rejects-";
/// The end of the name of a file that the user has not named.
const SUFFIX: &str = ".jsonl";

/// The destination of rejected rows.
#[derive(Clone, Debug)]
pub enum RejectDestination {
    /// A file that must not exist yet.
    File(PathBuf),
    /// A new file in this directory, which is created if it does not exist.
    Folder(PathBuf),
}

/// A file of rejected rows that does not have its name yet. Dropping it before it is published removes it.
#[derive(Debug)]
pub struct RejectFile {
    file: PathBuf,
    out: BufWriter<File>,
    /// The number of rows in the file.
    pub rows: u64,
    /// The number of rejected values; a row may have several.
    pub values: u64,
}

/// A file that has its name and all its rows.
#[derive(Debug)]
pub struct PublishedRejects {
    /// The path of the file.
    pub file: PathBuf,
    /// The number of rows in the file.
    pub rows: u64,
    /// The number of rejected values; a row may have several.
    pub values: u64,
}

impl RejectFile {
    /// Creates a file before anything is changed, so that one that cannot be written is known early.
    ///
    /// # Errors
    /// Fails when there is such a file already, or when it cannot be created.
    pub fn create(place: &RejectDestination) -> Result<RejectFile, TransferError> {
        match place {
            RejectDestination::File(file) => RejectFile::at(file).map_err(write_error(file)),
            RejectDestination::Folder(folder) => {
                // Only this user may read the rows, because they may be confidential.
                let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
                made.map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => write_error(folder)(ErrorKind::NotADirectory.into()),
                    _ => write_error(folder)(error),
                })?;
                remove_leftovers(folder);
                let stamp = clock::now_for_names();
                let names = (1..).map(|number| match number {
                    1 => folder.join(format!("{STEM}{stamp}{SUFFIX}")),
                    _ => folder.join(format!("{STEM}{stamp}-{number}{SUFFIX}")),
                });
                let mut tried = names.map(|file| RejectFile::at(&file).map_err(write_error(&file)));
                let taken = |made: &Result<_, TransferError>| matches!(made, Err(TransferError::Unkept { error, .. }) if error.kind() == ErrorKind::AlreadyExists);
                tried.find(|made| !taken(made)).expect("there are endless numbers")
            }
        }
    }

    /// Creates and locks the file for this final name.
    fn at(file: &Path) -> io::Result<RejectFile> {
        let partial = with_suffix(file, PARTIAL);
        remove_leftover(&partial);
        let out = safe_file::create_new(&partial, 0o600)?;
        lock(&out, &partial)?;
        let rejects = RejectFile { file: file.to_owned(), out: BufWriter::new(out), rows: 0, values: 0 };
        match fs::symlink_metadata(file) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => Ok(rejects),
        }
    }

    /// Adds a row with its table, its key, the problems in it, and its values.
    ///
    /// # Errors
    /// Fails when the disk is full, or with another error of the file system.
    pub fn add<'a>(
        &mut self,
        table: &str,
        key: &str,
        wrong: &[RejectedValue],
        row: &mut dyn Iterator<Item = (&'a str, Value<'a>)>,
    ) -> Result<(), TransferError> {
        write_line(&mut self.out, table, key, wrong, row).map_err(write_error(&self.file))?;
        self.rows += 1;
        self.values += wrong.len() as u64;
        Ok(())
    }

    /// Makes the rows durable, and gives the file its name. Returns `None` when there are no rows; there is no file
    /// then.
    ///
    /// # Errors
    /// Fails with the error of the file system; there is no file then.
    pub fn publish(mut self) -> Result<Option<PublishedRejects>, TransferError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let written = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        written.map_err(write_error(&self.file))?;
        publish(&with_suffix(&self.file, PARTIAL), &self.file).map_err(write_error(&self.file))?;
        Ok(Some(PublishedRejects { file: self.file.clone(), rows: self.rows, values: self.values }))
    }
}

impl Drop for RejectFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(with_suffix(&self.file, PARTIAL));
    }
}

impl PublishedRejects {
    /// Removes the file after a commit that has failed: its rows are in the source, like all others.
    pub fn discard(&self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::warn!("{} is of no use, and cannot be removed: {error}", self.file.display());
        }
    }
}

fn write_error(file: &Path) -> impl Fn(io::Error) -> TransferError {
    move |error| TransferError::Unkept { file: file.to_owned(), error }
}

/// Removes the files that killed runs have left: those runs have committed nothing.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(STEM) && name.ends_with(&format!("{SUFFIX}{PARTIAL}")) {
            remove_leftover(&entry.path());
        }
    }
}

/// Locks the new file, which another run may have removed as a leftover meanwhile.
fn lock(out: &File, partial: &Path) -> io::Result<()> {
    // A file system without locks is accepted: no other run can take the file for a leftover there, either.
    let _ = out.lock();
    match has_name(out, partial) {
        true => Ok(()),
        false => Err(ErrorKind::AlreadyExists.into()),
    }
}

/// Removes an unfinished file, unless it is locked: then another run is writing it.
fn remove_leftover(partial: &Path) {
    let unlocked = |file: &File| file.try_lock().is_ok();
    let left = safe_file::open_for_writing(partial).ok().filter(unlocked);
    if left.is_some() && fs::remove_file(partial).is_ok() {
        tracing::info!("removed what a stopped run left: {}", partial.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_another_run_took_for_a_leftover_before_it_was_locked_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let partial = folder.path().join("rows.jsonl.lockkeeper-partial");
        let ours = File::create_new(&partial).expect("our file");
        lock(&ours, &partial).expect("it is ours");
        ours.unlock().expect("as before it was locked");
        remove_leftover(&partial);
        assert!(lock(&ours, &partial).is_err(), "it has no name any more");
        let theirs = File::create_new(&partial).expect("their file");
        lock(&theirs, &partial).expect("it is theirs");
        assert!(lock(&ours, &partial).is_err(), "the name is theirs");
    }
}
