//! Gives a file its final name only when its content is complete on the disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::safe_file;

/// Renames a file without replacing another one, and makes the new name durable.
///
/// # Errors
/// Fails with `AlreadyExists` when the name is taken, or with another error of the file system. The new name leads to
/// nothing then, or to the file that had it before.
pub fn publish(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system supports `RENAME_NOREPLACE`.
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

/// Returns whether an open file still has this name: between opening and locking it, another run may have removed or
/// renamed it.
pub fn has_name(file: &File, path: &Path) -> bool {
    let held = file.metadata().map(|held| (held.dev(), held.ino()));
    let named = fs::symlink_metadata(path).map(|named| (named.dev(), named.ino()));
    matches!((held, named), (Ok(held), Ok(named)) if held == named)
}
