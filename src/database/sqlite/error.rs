//! SQLite's result codes and file errors as faults. The only place that knows them.

use std::io;
use std::path::Path;

use crate::database::{DatabaseError, DatabaseErrorKind};

/// A fault of the driver's; `path` is the database file.
pub fn from_driver(error: sqlx::Error, path: &Path) -> DatabaseError {
    match &error {
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default();
            classified(code.parse().unwrap_or(1), inner.message(), path)
        }
        _ => DatabaseError::new(DatabaseErrorKind::Io, format!("{}: {error}", path.display())),
    }
}

/// Returns whether a statement failed because what it creates is there already. SQLite has no result code for that, and
/// these are its own words.
pub fn is_duplicate_object(fault: &DatabaseError) -> bool {
    let words = [" already exists", "there is already a", "duplicate column name"];
    fault.code.as_deref() == Some("SQLite 1") && words.iter().any(|words| fault.message.contains(words))
}

const REPLACED: &str = "the file was moved or replaced by another while we ran";

/// The fault of a name that leads to another file than before.
pub fn replaced(path: &Path) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Io, format!("{}: {REPLACED}", path.display()))
}

/// A fault from an extended result code (SQLite manual, "Result and Error Codes"); the low byte is the class.
pub fn classified(code: i32, message: &str, path: &Path) -> DatabaseError {
    // SQLITE_READONLY_DBMOVED: SQLite's own text sends one to look for permissions.
    let moved = code == 1032;
    let message = if moved { REPLACED } else { message };
    let kind = match code & 0xff {
        _ if moved => DatabaseErrorKind::Io,
        3 | 8 | 23 => DatabaseErrorKind::NoPrivilege,
        5 | 6 => DatabaseErrorKind::Busy,
        9 => DatabaseErrorKind::Cancelled,
        10 | 13 => DatabaseErrorKind::Io,
        11 | 26 => DatabaseErrorKind::Corrupt,
        14 => return cannot_open(message, path),
        _ => DatabaseErrorKind::Statement,
    };
    let message = match kind {
        DatabaseErrorKind::Statement | DatabaseErrorKind::Cancelled => message.to_owned(),
        _ => format!("{}: {message}", path.display()),
    };
    DatabaseError { code: Some(format!("SQLite {code}")), ..DatabaseError::new(kind, message) }
}

/// The same for a file that is opened for reading alone: what SQLite says is about files that are written, too.
pub fn of_reading(code: i32, message: &str, path: &Path) -> DatabaseError {
    let (kind, message) = match code {
        // SQLITE_READONLY_ROLLBACK.
        776 => {
            let message = "its last writer died in the middle of a transaction, which must be undone first: \
                           open it once with its application or with sqlite3";
            (DatabaseErrorKind::Corrupt, message)
        }
        _ => match code & 0xff {
            5 | 6 => (DatabaseErrorKind::Busy, "another connection keeps it locked"),
            // `cannot_open` tries whether the file can be written, which does not matter here.
            14 => (
                DatabaseErrorKind::NoPrivilege,
                "what SQLite keeps beside it (-wal, -shm) can neither be read nor made",
            ),
            26 => (DatabaseErrorKind::Corrupt, "this is no SQLite database, or it is encrypted"),
            _ => return classified(code, message, path),
        },
    };
    let message = format!("{}: {message}", path.display());
    DatabaseError { code: Some(format!("SQLite {code}")), ..DatabaseError::new(kind, message) }
}

/// Whether SQLite could not open, or not write, what it needs beside a database with a log: SQLITE_CANTOPEN,
/// SQLITE_READONLY, but not a rollback that is due or a file that was moved.
pub fn is_about_companions(code: i32) -> bool {
    matches!(code & 0xff, 8 | 14) && !matches!(code, 776 | 1032)
}

/// Whether a file could not be read, or holds what SQLite cannot read: while a copy is made, that is the original.
pub fn is_reading(code: i32) -> bool {
    matches!(code, 266 | 522) || matches!(code & 0xff, 11 | 26)
}

/// SQLite says no more than "unable to open": the file system says why.
fn cannot_open(message: &str, path: &Path) -> DatabaseError {
    let wanted = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    // Not by opening it: a file that is closed loses the locks that this process has on it (fcntl(2)).
    match rustix::fs::access(path, wanted) {
        Err(error) => file(path, &error.into()),
        Ok(()) => DatabaseError::new(
            DatabaseErrorKind::NoPrivilege,
            format!("{}: {message}; is its folder writable?", path.display()),
        ),
    }
}

/// A fault from the file system.
pub fn file(path: &Path, error: &io::Error) -> DatabaseError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DatabaseErrorKind::NoPrivilege,
        // The last one is `safe_file`'s: a named pipe, a symbolic link, ...
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => {
            DatabaseErrorKind::Setting
        }
        _ => DatabaseErrorKind::Io,
    };
    let uid = rustix::process::geteuid().as_raw();
    let who = if kind == DatabaseErrorKind::NoPrivilege { format!(" (uid {uid})") } else { String::new() };
    DatabaseError::new(kind, format!("{}: {error}{who}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_have_their_kind() {
        for (code, kind) in [
            (5, DatabaseErrorKind::Busy),
            (517, DatabaseErrorKind::Busy),
            (8, DatabaseErrorKind::NoPrivilege),
            (1032, DatabaseErrorKind::Io),
            (9, DatabaseErrorKind::Cancelled),
            (6410, DatabaseErrorKind::Io),
            (13, DatabaseErrorKind::Io),
            (11, DatabaseErrorKind::Corrupt),
            (26, DatabaseErrorKind::Corrupt),
            (1, DatabaseErrorKind::Statement),
            (2067, DatabaseErrorKind::Statement),
        ] {
            assert_eq!(classified(code, "x", Path::new("a.db")).kind, kind, "{code}");
        }
    }

    #[test]
    fn reading_alone_has_words_of_its_own() {
        for (code, kind, words) in [
            (5, DatabaseErrorKind::Busy, "keeps it locked"),
            (261, DatabaseErrorKind::Busy, "keeps it locked"),
            (776, DatabaseErrorKind::Corrupt, "must be undone first"),
            (26, DatabaseErrorKind::Corrupt, "encrypted"),
            (14, DatabaseErrorKind::NoPrivilege, "beside it"),
            (11, DatabaseErrorKind::Corrupt, "SQLite's own"),
            (1, DatabaseErrorKind::Statement, "SQLite's own"),
        ] {
            let fault = of_reading(code, "SQLite's own", Path::new("a.db"));
            assert_eq!(fault.kind, kind, "{code}");
            assert!(fault.message.contains(words), "{code}: {}", fault.message);
        }
    }

    #[test]
    fn only_files_beside_the_database_send_one_to_other_ways() {
        for (code, is) in [(14, true), (8, true), (1288, true), (264, true), (776, false), (1032, false), (5, false)] {
            assert_eq!(is_about_companions(code), is, "{code}");
        }
    }
}
