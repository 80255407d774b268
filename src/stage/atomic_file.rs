//! Files that have their name when all of them is on the disk, and not before.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::safe_file;

/// Gives a file its name, but not that of another, and makes that durable.
///
/// # Errors
/// The name is taken, or another of the file system's: nothing has the name then but what had it before.
pub fn publish(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows that.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to)?,
        },
        renamed => renamed?,
    }
    safe_file::sync_parent(to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Whether an open file still has this name: between opening and locking it, another run may have removed or renamed it.
pub fn has_name(file: &File, path: &Path) -> bool {
    let held = file.metadata().map(|held| (held.dev(), held.ino()));
    let named = fs::symlink_metadata(path).map(|named| (named.dev(), named.ino()));
    matches!((held, named), (Ok(held), Ok(named)) if held == named)
}
