//! Lists the entries of a directory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::read_error;
use crate::error::Cause;
use crate::layout::Subdirectory;

/// Returns the names of a directory's entries, in no order.
pub(super) fn names(path: &Path) -> Result<Vec<OsString>, Cause> {
    let unreadable = |error: io::Error| read_error(path, &error);
    let entries = fs::read_dir(path).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(unreadable)).collect()
}

/// Returns the subdirectories that can be read, with the names of their files.
pub(super) fn subdirectories(path: &Path) -> Vec<Subdirectory> {
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let files = fs::read_dir(entry.path()).ok()?.flatten();
        let files = files.filter(|file| file.path().is_file());
        Some(Subdirectory { name: name(&entry), files: files.map(|file| name(&file)).collect() })
    });
    found.collect()
}
