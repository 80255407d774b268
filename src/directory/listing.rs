//! Lists the entries of a directory.

use std::fs;
use std::io;
use std::path::Path;

use super::read_error;
use crate::error::Cause;
use crate::layout::{Listing, Subdirectory};

/// Returns the entries of a directory, in no order.
pub(super) fn list(path: &Path) -> Result<Listing, Cause> {
    let unreadable = |error: io::Error| read_error(path, &error);
    let mut listing = Listing::default();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            listing.directories.extend(subdirectory(&entry));
        }
        listing.names.push(entry.file_name());
    }
    Ok(listing)
}

/// Returns the subdirectories that can be read, with the names of their files.
pub(super) fn subdirectories(path: &Path) -> Vec<Subdirectory> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| subdirectory(&entry)).collect()
}

/// Returns an entry with the names of its files if it is a directory that can be read.
fn subdirectory(entry: &fs::DirEntry) -> Option<Subdirectory> {
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let files = fs::read_dir(entry.path()).ok()?.flatten();
    let files = files.filter(|file| file.path().is_file());
    Some(Subdirectory { name: name(entry), files: files.map(|file| name(&file)).collect() })
}
