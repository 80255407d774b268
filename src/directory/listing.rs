//! Lists the entries of a directory.

use std::fs;
use std::io::{self, ErrorKind};
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
            match subdirectory(&entry) {
                Ok(subdirectory) => listing.directories.push(subdirectory),
                Err(error) if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => {}
                Err(error) => {
                    let uid = rustix::process::geteuid().as_raw();
                    listing.unreadable.push(format!("{}: cannot be read (uid {uid}): {error}", name(&entry)));
                }
            }
        }
        listing.names.push(entry.file_name());
    }
    Ok(listing)
}

/// Returns an entry with the names of its files.
fn subdirectory(entry: &fs::DirEntry) -> io::Result<Subdirectory> {
    let entries = fs::read_dir(entry.path())?.collect::<io::Result<Vec<_>>>()?;
    let (files, others): (Vec<_>, Vec<_>) = entries.iter().partition(|file| file.path().is_file());
    Ok(Subdirectory {
        name: name(entry),
        files: files.into_iter().map(name).collect(),
        has_directories: others.iter().any(|other| other.path().is_dir()),
    })
}

fn name(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}
