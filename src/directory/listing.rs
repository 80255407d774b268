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

/// The number of levels below a subdirectory that are read: a link may lead back to a directory above.
const DEEPEST: usize = 8;

/// Returns an entry with the paths of its files.
fn subdirectory(entry: &fs::DirEntry) -> io::Result<Subdirectory> {
    let (mut files, path) = (Vec::new(), entry.path());
    add_files(&path, "", DEEPEST, &mut files)?;
    let has_directories = fs::read_dir(path)?.flatten().any(|other| other.path().is_dir());
    Ok(Subdirectory { name: name(entry), files, has_directories })
}

/// Adds the paths of the files in a directory and below it, with `prefix` before them. Hidden directories are left out.
fn add_files(directory: &Path, prefix: &str, levels: usize, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), name(&entry));
        if path.is_file() {
            files.push(format!("{prefix}{name}"));
        } else if levels > 0 && !name.starts_with('.') && path.is_dir() {
            add_files(&path, &format!("{prefix}{name}/"), levels - 1, files)?;
        }
    }
    Ok(())
}

fn name(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}
