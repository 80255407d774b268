//! The names of pop's files.

use crate::dialect::Dialect;
use crate::layout::text_version;
use crate::revision::Direction;

/// The form of a name.
pub(super) const SYNTAX: &str = "VERSION_NAME.up.sql";

/// The parts of a name.
pub(super) struct FileName<'a> {
    pub(super) version: &'a str,
    pub(super) name: &'a str,
    pub(super) dialect: FileDialect,
    pub(super) is_autocommit: bool,
    pub(super) direction: Direction,
    /// True for a file in pop's own language, which is for every database.
    pub(super) is_fizz: bool,
}

/// The databases that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileDialect {
    /// Every database for which there is no other file.
    Every,
    /// One database.
    One(Dialect),
    /// A database that is not supported here.
    Other,
}

impl<'a> FileName<'a> {
    /// Parses the name of the file at a path.
    pub(super) fn of_path(path: &'a str) -> Option<FileName<'a>> {
        FileName::parse(path.rsplit_once('/').map_or(path, |(_, name)| name))
    }

    /// Parses a name. pop ignores every other name, and names with a dialect that it does not know.
    pub(super) fn parse(name: &'a str) -> Option<FileName<'a>> {
        let (stem, is_fizz) = match (name.strip_suffix(".sql"), name.strip_suffix(".fizz")) {
            (Some(stem), _) => (stem, false),
            (_, Some(stem)) => (stem, true),
            _ => return None,
        };
        let (stem, direction) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, Direction::Up),
            (_, Some(stem)) => (stem, Direction::Down),
            _ => return None,
        };
        let (stem, is_autocommit) = match stem.strip_suffix(".autocommit") {
            Some(stem) => (stem, true),
            None => (stem, false),
        };
        let (stem, dialect) = match stem.split_once('.') {
            Some((stem, dialect)) => (stem, FileDialect::parse(dialect)?),
            None => (stem, FileDialect::Every),
        };
        let (version, rest) = text_version::split_number(stem)?;
        let name = rest.strip_prefix('_').filter(|name| !name.is_empty())?;
        Some(FileName { version, name, dialect, is_autocommit, direction, is_fizz })
    }
}

impl FileDialect {
    /// Parses the name of a dialect or one of its synonyms.
    fn parse(name: &str) -> Option<FileDialect> {
        Some(match name {
            "postgres" | "postgresql" | "pg" => FileDialect::One(Dialect::Postgres),
            "sqlite3" | "sqlite" => FileDialect::One(Dialect::Sqlite),
            "mysql" | "mariadb" | "cockroach" | "cockroachdb" | "crdb" => FileDialect::Other,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_dialect_and_a_mode() {
        let postgres = FileDialect::One(Dialect::Postgres);
        let sqlite = FileDialect::One(Dialect::Sqlite);
        for (name, expected) in [
            ("20190611004000_create_providers.up.sql", Some((FileDialect::Every, false, Direction::Up, false))),
            ("1_a.down.fizz", Some((FileDialect::Every, false, Direction::Down, true))),
            ("1_a.pg.up.sql", Some((postgres, false, Direction::Up, false))),
            ("1_a.autocommit.up.sql", Some((FileDialect::Every, true, Direction::Up, false))),
            ("1_a.sqlite3.autocommit.down.sql", Some((sqlite, true, Direction::Down, false))),
            ("1_a.mysql.autocommit.down.sql", Some((FileDialect::Other, true, Direction::Down, false))),
            ("1_a.oracle.up.sql", None),
            ("1_a.postgres.x.up.sql", None),
            ("1_a.sql", None),
            ("1_.up.sql", None),
            ("a_1.up.sql", None),
            ("1_a.up.sql.bak", None),
        ] {
            let parts = FileName::parse(name).map(|it| (it.dialect, it.is_autocommit, it.direction, it.is_fizz));
            assert_eq!(parts, expected, "{name}");
        }
        let of_path = FileName::of_path("old/0012_add_users.up.sql").unwrap();
        assert_eq!((of_path.version, of_path.name), ("0012", "add_users"));
    }
}
