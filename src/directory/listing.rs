//! Lists the entries of a directory.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{dialects, layout_of, read_error};
use crate::dialect::Dialect;
use crate::error::Cause;
use crate::layout::{Detected, LayoutChoice, Listing, Subdirectory};

/// The directory of a dialect whose entries are listed. Its files are not read yet, except for the beginning of the
/// first one.
#[derive(Debug)]
pub(crate) struct ListedDir {
    /// The directory itself, or its subdirectory for the dialect.
    pub(super) path: PathBuf,
    pub(super) dialect: Dialect,
    pub(super) listing: Listing,
    /// The layout that the entries show.
    pub(crate) detected: Detected,
}

impl ListedDir {
    /// Lists the directory of a dialect and finds its layout.
    ///
    /// # Errors
    /// Fails if there is no directory, or if several layouts claim it.
    pub(crate) fn list(path: &Path, dialect: Dialect, choice: LayoutChoice) -> Result<ListedDir, Cause> {
        let path = dialects::dialect_dir(path, dialect)?;
        let listing = list(&path)?;
        let detected = layout_of(&path, &listing, choice)?;
        Ok(ListedDir { path, dialect, listing, detected })
    }
}

/// Returns the entries of a directory, in no order.
fn list(path: &Path) -> Result<Listing, Cause> {
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

/// Returns an entry with the paths of its files.
fn subdirectory(entry: &fs::DirEntry) -> io::Result<Subdirectory> {
    let (mut files, path) = (Vec::new(), entry.path());
    let has_directories = fs::read_dir(&path)?.flatten().any(|other| other.path().is_dir());
    // A link may lead back to a directory above.
    let mut pending = vec![(path, String::new(), Vec::new())];
    while let Some((directory, prefix, mut above)) = pending.pop() {
        let place = fs::metadata(&directory)?;
        let place = (place.dev(), place.ino());
        if above.contains(&place) {
            continue;
        }
        above.push(place);
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = name(&entry);
            match is_directory(&entry)? {
                true if name.starts_with('.') => {}
                true => pending.push((entry.path(), format!("{prefix}{name}/"), above.clone())),
                false => files.push(format!("{prefix}{name}")),
            }
        }
    }
    Ok(Subdirectory { name: name(entry), files, has_directories })
}

/// Reports whether an entry is a directory, or a link to one. Everything else counts as a file, also what cannot be read: whoever
/// reads it reports that.
fn is_directory(entry: &fs::DirEntry) -> io::Result<bool> {
    let kind = entry.file_type()?;
    if !kind.is_symlink() {
        return Ok(kind.is_dir());
    }
    match fs::metadata(entry.path()) {
        Ok(target) => Ok(target.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn name(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}
