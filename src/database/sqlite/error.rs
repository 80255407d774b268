//! Maps SQLite's result codes and file errors to [`DatabaseError`]. No other module knows these codes.

use std::io;
use std::path::Path;

use crate::database::{DatabaseError, DatabaseErrorKind};

/// Converts an error of the library; `path` is the database file.
pub(crate) fn from_rusqlite(error: &rusqlite::Error, path: &Path) -> DatabaseError {
    match code_and_message(error) {
        Some((code, message)) => classified(code, &message, path),
        None => DatabaseError::new(DatabaseErrorKind::Io, format!("{}: {error}", path.display())),
    }
}

/// Returns SQLite's extended result code and its message; `None` for an error of the library around it.
pub(crate) fn code_and_message(error: &rusqlite::Error) -> Option<(i32, String)> {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            Some((code.extended_code, message.clone().unwrap_or_else(|| code.to_string())))
        }
        rusqlite::Error::SqlInputError { error: code, msg, .. } => Some((code.extended_code, msg.clone())),
        _ => None,
    }
}

/// Reports whether a statement failed because the object that it creates exists already. SQLite has no result code for
/// that, so the function looks for SQLite's messages.
pub(crate) fn is_duplicate_object(fault: &DatabaseError) -> bool {
    let words = [" already exists", "there is already a", "duplicate column name"];
    fault.code.as_deref() == Some("SQLite 1") && words.iter().any(|words| fault.message.contains(words))
}

const REPLACED: &str = "the file was moved or replaced by another while we ran";

/// Creates the error for a path that leads to another file than before.
pub(crate) fn replaced(path: &Path) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Io, format!("{}: {REPLACED}", path.display()))
}

/// Creates an error from an extended result code (SQLite manual, "Result and Error Codes"), whose low byte is the
/// class.
pub(crate) fn classified(code: i32, message: &str, path: &Path) -> DatabaseError {
    // SQLITE_READONLY_DBMOVED: SQLite's own message misleads a reader into checking permissions.
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

/// Creates an error as [`classified`] does, for a file that is only read: SQLite's messages are also about writing.
pub(crate) fn from_read_error(code: i32, message: &str, path: &Path) -> DatabaseError {
    let (kind, message) = match code {
        // SQLITE_READONLY_ROLLBACK.
        776 => {
            let message = "its last writer died in the middle of a transaction, which must be undone first: \
                           open it once with its application or with sqlite3";
            (DatabaseErrorKind::Corrupt, message)
        }
        _ => match code & 0xff {
            5 | 6 => (DatabaseErrorKind::Busy, "another connection keeps it locked"),
            // `cannot_open` also tests whether the file is writable, which does not matter for reading.
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

/// Reports whether SQLite could not open or write the files that it needs beside a database with a log
/// (SQLITE_CANTOPEN, SQLITE_READONLY), except for a pending rollback or a moved file.
pub(crate) fn is_about_companions(code: i32) -> bool {
    matches!(code & 0xff, 8 | 14) && !matches!(code, 776 | 1032)
}

/// Reports whether a file could not be read or holds invalid data; while a copy is made, that file is the original.
pub(crate) fn is_reading(code: i32) -> bool {
    matches!(code, 266 | 522) || matches!(code & 0xff, 11 | 26)
}

/// Creates the error for "unable to open": SQLite gives no reason, so the function asks the file system for it.
fn cannot_open(message: &str, path: &Path) -> DatabaseError {
    let wanted = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    // Opening it is no option: closing a file drops the locks that this process has on it (fcntl(2)).
    match rustix::fs::access(path, wanted) {
        Err(error) => file(path, &error.into()),
        Ok(()) => DatabaseError::new(
            DatabaseErrorKind::NoPrivilege,
            format!("{}: {message}; is its directory writable?", path.display()),
        ),
    }
}

/// Converts an error of the file system.
pub(crate) fn file(path: &Path, error: &io::Error) -> DatabaseError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DatabaseErrorKind::NoPrivilege,
        // `safe_file` uses the last kind for a named pipe, a symbolic link, ...
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
            let fault = from_read_error(code, "SQLite's own", Path::new("a.db"));
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
