//! SQLite URLs, with SQLAlchemy's slashes: three slashes begin a relative path, four an absolute one.

use std::path::PathBuf;

use super::text::{decode, parse_query, refuse_variable, suggest_name};
use super::{FORMS, UrlError, fail};

/// The SQLite database that a URL names.
#[derive(Clone, Debug)]
pub struct SqliteTarget {
    /// Location of the database.
    pub(crate) location: SqliteLocation,
}

/// The location of an SQLite database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SqliteLocation {
    /// Path of the database file.
    File(PathBuf),
    /// Memory: the database ends with the program.
    Memory,
}

/// Settings of SQLite's URIs and of Python's driver. Only `mode` is evaluated; the others are ignored.
const KNOWN_SETTINGS: &str = "mode cache timeout check_same_thread uri";
const UNKNOWN_SETTING_ERROR: &str = "the query has a setting that is not known: take it out (only mode, cache, \
    timeout, check_same_thread and uri may stay; a ? in the path is written %3F)";

/// Parses the text behind `sqlite:`.
pub(super) fn read(after_scheme: &str) -> Result<SqliteTarget, UrlError> {
    let (path, query) = after_scheme.split_once('?').unwrap_or((after_scheme, ""));
    let without_slashes = path.strip_prefix("//");
    let path = match without_slashes
        .and_then(|without_slashes| without_slashes.strip_prefix('/'))
        .or(without_slashes)
        .unwrap_or(path)
    {
        "" if without_slashes.is_none() => return fail(FORMS),
        path if path.contains('@') && without_slashes == Some(path) => {
            return fail("a sqlite URL has no user and no host: sqlite:///relative.db");
        }
        path => {
            refuse_variable(path, "the path")?;
            decode(path, "the path")?
        }
    };
    let mut location = match path.as_str() {
        "" | ":memory:" => SqliteLocation::Memory,
        _ => SqliteLocation::File(PathBuf::from(&path)),
    };
    for (key, value) in parse_query(query)? {
        match (key.as_str(), value.as_str()) {
            ("mode", "memory") => location = SqliteLocation::Memory,
            ("mode", "ro") => return fail("mode=ro: a migration has to write to the database"),
            ("mode", "rw" | "rwc") => {}
            ("mode", _) => return fail("mode in the query must be rw, rwc or memory"),
            (known, _) if KNOWN_SETTINGS.split(' ').any(|name| name == known) => {}
            _ => {
                return fail(
                    suggest_name(&key, KNOWN_SETTINGS.split(' ')).unwrap_or_else(|| UNKNOWN_SETTING_ERROR.to_owned()),
                );
            }
        }
    }
    if location != SqliteLocation::Memory && path.starts_with("file:") {
        return fail("the path is a file: URI; give the path alone: sqlite:///relative.db");
    }
    Ok(SqliteTarget { location })
}

#[cfg(test)]
mod tests {
    use super::super::DatabaseTarget;
    use super::super::tests::{error, read};
    use super::*;

    #[test]
    fn sqlite_places() {
        for (url, path) in [
            ("sqlite:///relative.db", "relative.db"),
            ("sqlite:////absolute.db", "/absolute.db"),
            ("sqlite:///./data/x.db", "./data/x.db"),
            ("sqlite:relative.db", "relative.db"),
            ("sqlite:./x.db", "./x.db"),
            ("sqlite:../x.db", "../x.db"),
            ("sqlite:/absolute.db", "/absolute.db"),
            ("sqlite://relative.db", "relative.db"),
            ("sqlite://data/x.db", "data/x.db"),
            ("sqlite+pysqlite:///x.db", "x.db"),
            ("sqlite+aiosqlite:////srv/x.db", "/srv/x.db"),
            ("SQLite:///X.db", "X.db"),
            (" sqlite:///x.db\r\n", "x.db"),
            ("sqlite:///a%20b c+d.db", "a b c+d.db"),
            ("sqlite:///données/%C3%A9.db", "données/é.db"),
            ("sqlite:///a@b#c%3Fd%25.db", "a@b#c?d%.db"),
            ("sqlite:///a$b/%24c.db", "a$b/$c.db"),
            ("sqlite:///x.db?mode=rwc&cache=shared&timeout=5", "x.db"),
            ("sqlite:///x.db?check_same_thread=false&uri=true&mode=rw", "x.db"),
            ("sqlite://", ""),
            ("sqlite:///", ""),
            ("sqlite:///:memory:", ""),
            ("sqlite://:memory:", ""),
            ("sqlite::memory:", ""),
            ("sqlite:///x.db?mode=memory", ""),
            ("sqlite:///file:x?mode=memory&cache=shared&uri=true", ""),
        ] {
            let place = match read(url, &[]) {
                Ok(DatabaseTarget::Sqlite(found)) => found.location,
                other => panic!("{url}: {other:?}"),
            };
            let wanted = match path {
                "" => SqliteLocation::Memory,
                path => SqliteLocation::File(path.into()),
            };
            assert_eq!(place, wanted, "{url}");
        }
    }

    #[test]
    fn sqlite_refusals() {
        for (url, part) in [
            ("sqlite:", "unrecognized database URL"),
            ("sqlite:?mode=rw", "unrecognized database URL"),
            ("sqlite:///x.db?mode=ro", "mode=ro"),
            ("sqlite:///x.db?mode=x", "rw, rwc or memory"),
            ("sqlite:///x.db?mod=rw", "\"mod\" in the query (did you mean mode?)"),
            ("sqlite:///x.db?key=1", "that is not known: take it out"),
            ("sqlite:///x.db?mode", "has no value"),
            ("sqlite:///x%zz.db", "the path has an invalid percent sequence"),
            ("sqlite:///x%ff.db", "the path is not UTF-8"),
            ("sqlite:///x%00.db", "the path holds a NUL"),
            ("sqlite:///${DATA}/x.db", "the path has a variable that nothing has replaced"),
            ("sqlite:////data/$(NAME).db", "the path has a variable that nothing has replaced"),
            ("sqlite:///$DATA/x.db", "the path has a variable that nothing has replaced"),
            ("sqlite:///file:x.db?uri=true", "file: URI"),
            ("sqlite://u:canary-S3cr3t@h/x.db", "no user and no host"),
            ("sqlite+pysqlcipher://:canary-S3cr3t@/x.db", "no user and no host"),
            ("sqlite+pysqlcipher://:canary/S3cr3t@/x.db", "no user and no host"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
