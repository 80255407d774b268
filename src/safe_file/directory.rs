//! Files in a directory that is open already: its name may lead elsewhere by now.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{FileTypeError, invalid_input, open_our_directory, open_without_waiting, wait_for_reads};

/// Creates a directory for this user only, and opens it. The name must not exist, not even as a symbolic link.
///
/// # Errors
/// Fails when the name exists, or with the error of the file system.
pub(crate) fn create_directory(path: &Path) -> io::Result<File> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    open_our_directory(path)
}

/// Returns the names in an open directory, sorted.
///
/// # Errors
/// Fails with the error of the file system, or when a name is not UTF-8.
pub(crate) fn names_in(directory: &File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => names.push(name.to_owned()),
            Err(_) => return Err(io::Error::new(ErrorKind::InvalidData, "a name in it is not UTF-8")),
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a regular file of an open directory for reading. A symbolic link is refused, and so is a name that leads to
/// another directory.
///
/// # Errors
/// Fails as [`super::open`] does.
pub(crate) fn open_in(directory: &File, name: &str) -> io::Result<File> {
    if name.contains('/') {
        return Err(ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
    let is_link = |error: &io::Error| error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    let opened = open_without_waiting(directory.as_fd(), Path::new(name), flags, 0);
    let (file, _) = opened.map_err(|error| match is_link(&error) {
        true => invalid_input(FileTypeError::SymbolicLink),
        false => error,
    })?;
    wait_for_reads(&file)?;
    Ok(file)
}
