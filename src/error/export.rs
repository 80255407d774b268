//! The errors of exports to a file and of reading such a file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::database::DatabaseError;

/// The reason why there is no export, or nothing to import. No database was changed.
#[derive(Debug)]
pub enum ExportError {
    /// The file to write exists already.
    Taken(PathBuf),
    /// Another export is writing the file.
    InUse(PathBuf),
    /// The file at `path` cannot be written.
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// The file at `path` cannot be read.
    Unread {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// The file is not an export; the text is the position and the reason.
    Malformed(String),
    /// The temporary database that holds the rows while they are checked reports an error.
    Staging(DatabaseError),
}

impl ExportError {
    /// Returns the advice for the error.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            ExportError::Taken(_) => "remove it, or give another name: nothing is ever overwritten",
            ExportError::InUse(_) => "let the other export finish, or give another name",
            ExportError::Unwritten { .. } => "give a path in a directory that this user can write and that has room",
            ExportError::Unread { .. } => "give the path of an export that this user can read",
            ExportError::Malformed(_) => "correct the file there, or export it again",
            ExportError::Staging(_) => {
                "set TMPDIR to a directory that can be written and has room for about the size of the file"
            }
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::Taken(path) => write!(f, "{} is there already", path.display()),
            ExportError::InUse(path) => write!(f, "another export writes {}", path.display()),
            ExportError::Unwritten { path, error } => {
                let uid = rustix::process::geteuid().as_raw();
                write!(f, "{} cannot be written by uid {uid}: {error}", path.display())
            }
            ExportError::Unread { path, error } => write!(f, "{}: {error}", path.display()),
            ExportError::Malformed(message) => f.write_str(message),
            ExportError::Staging(fault) => {
                write!(f, "the rows cannot be kept while they are looked at: {fault}")
            }
        }
    }
}
