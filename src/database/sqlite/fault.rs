//! SQLite's result codes and file errors as faults. The only place that knows them.

use std::io;
use std::path::Path;

use crate::database::{Fault, Kind};

/// A fault of the driver's; `path` is the database file.
pub fn of(error: sqlx::Error, path: &Path) -> Fault {
    match &error {
        sqlx::Error::Database(inner) => {
            let code = inner.code().unwrap_or_default();
            classified(code.parse().unwrap_or(1), inner.message(), path)
        }
        _ => Fault::new(Kind::Io, format!("{}: {error}", path.display())),
    }
}

/// A fault from an extended result code (SQLite manual, "Result and Error Codes"); the low byte is the class.
pub fn classified(code: i32, message: &str, path: &Path) -> Fault {
    // SQLITE_READONLY_DBMOVED: SQLite's own text sends one to look for permissions.
    let moved = code == 1032;
    let message = if moved { "the file was moved or replaced by another while we ran" } else { message };
    let kind = match code & 0xff {
        _ if moved => Kind::Io,
        3 | 8 | 23 => Kind::NoPrivilege,
        5 | 6 => Kind::Busy,
        9 => Kind::Cancelled,
        10 | 13 => Kind::Io,
        11 | 26 => Kind::Corrupt,
        14 => return cannot_open(message, path),
        _ => Kind::Statement,
    };
    let message = match kind {
        Kind::Statement | Kind::Cancelled => message.to_owned(),
        _ => format!("{}: {message}", path.display()),
    };
    Fault { code: Some(format!("SQLite {code}")), ..Fault::new(kind, message) }
}

/// Whether a file could not be read, or holds what SQLite cannot read: while a copy is made, that is the original.
pub fn is_reading(code: i32) -> bool {
    matches!(code, 266 | 522) || matches!(code & 0xff, 11 | 26)
}

/// SQLite says no more than "unable to open": the file system says why.
fn cannot_open(message: &str, path: &Path) -> Fault {
    match std::fs::OpenOptions::new().read(true).append(true).open(path) {
        Err(error) => file(path, &error),
        Ok(_) => {
            Fault::new(Kind::NoPrivilege, format!("{}: {message}; is its folder writable?", path.display()))
        }
    }
}

/// A fault from the file system.
pub fn file(path: &Path, error: &io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::NoPrivilege,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Kind::Setting,
        _ => Kind::Io,
    };
    let uid = rustix::process::geteuid().as_raw();
    let who = if kind == Kind::NoPrivilege { format!(" (uid {uid})") } else { String::new() };
    Fault::new(kind, format!("{}: {error}{who}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_have_their_kind() {
        for (code, kind) in [
            (5, Kind::Busy),
            (517, Kind::Busy),
            (8, Kind::NoPrivilege),
            (1032, Kind::Io),
            (9, Kind::Cancelled),
            (6410, Kind::Io),
            (13, Kind::Io),
            (11, Kind::Corrupt),
            (26, Kind::Corrupt),
            (1, Kind::Statement),
            (2067, Kind::Statement),
        ] {
            assert_eq!(classified(code, "x", Path::new("a.db")).kind, kind, "{code}");
        }
    }
}
