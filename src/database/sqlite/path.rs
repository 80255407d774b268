//! The path of a database file, and of the files that SQLite keeps beside it.

use std::path::{Path, PathBuf};

use super::error;
use crate::database::{DatabaseError, with_suffix};
use crate::safe_file;

/// The suffixes of the files that SQLite keeps beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Refuses a database, or a file that SQLite keeps beside it, that is not a regular file. SQLite opens them by their
/// names and would wait for a named pipe.
pub(super) fn check_file_types(database: &Path) -> Result<(), DatabaseError> {
    let companions = COMPANIONS.map(|suffix| with_suffix(database, suffix));
    let mut files = std::iter::once(database).chain(companions.iter().map(PathBuf::as_path));
    files.try_for_each(|file| safe_file::check_regular_if_any(file).map_err(|error| error::file(file, &error)))
}

/// Returns the file that a path leads to, whether it exists or not: a link may lead to a file that does not exist.
pub(super) fn resolved(path: &Path) -> PathBuf {
    /// The number of links that Linux follows (path_resolution(7)).
    const LINKS: usize = 40;
    let mut name = path.to_owned();
    for _ in 0..LINKS {
        if let Ok(existing) = name.canonicalize() {
            return existing;
        }
        match std::fs::read_link(&name) {
            Ok(target) => name = name.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    name
}
