//! The names of Flyway's files (Flyway, `ResourceNameParser` and `Event`).

use super::version;
use crate::revision::Version;

/// The end of the name of a file with settings for the script beside it.
pub(super) const CONFIG: &str = ".conf";

/// The reason why a migration that is no SQL cannot run.
pub(super) const PROGRAM: &str = "it is a program, which only Flyway can run: run Flyway itself with lockkeeper guard";

/// The endings of programs that Flyway or its plugins run as migrations.
const PROGRAMS: [&str; 11] =
    [".java", ".class", ".kt", ".groovy", ".sh", ".bash", ".ps1", ".bat", ".cmd", ".py", ".jar"];

/// The first letters of the names of all migrations and callbacks.
const FIRST_LETTERS: [char; 7] = ['V', 'U', 'B', 'R', 'a', 'b', 'c'];

/// Events of which a callback would run, by parts of their names. All begin with `before`, `after` or `create`.
const EVENTS: [&str; 6] = ["Migrate", "Validate", "Connect", "Versioned", "Repeatable", "CreateSchema"];

/// A file that Flyway does not ignore.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FlywayFile<'a> {
    /// A versioned migration.
    Versioned {
        /// The version.
        version: Version,
        /// The description, as in the name.
        description: &'a str,
        /// True for a migration that is no SQL.
        is_program: bool,
    },
    /// The script that undoes a version.
    Undo(Version),
    /// A repeatable migration, with its description as in the name.
    Repeatable(&'a str),
    /// A file that Lockkeeper cannot run, with a sentence about it.
    Refused(&'static str),
}

/// Reports whether the path of a file may be one of Flyway's: most files are another tool's.
pub(super) fn may_be_ours(path: &str) -> bool {
    path.contains('/') || path.starts_with(FIRST_LETTERS) || path.ends_with(CONFIG)
}

/// Classifies the path of a file. Returns `None` for a file that Flyway ignores.
pub(super) fn classify(path: &str) -> Option<FlywayFile<'_>> {
    let name = path.rsplit('/').next().filter(|name| name.starts_with(FIRST_LETTERS))?;
    let program = PROGRAMS.into_iter().find_map(|ending| name.strip_suffix(ending));
    let (stem, is_program) = match name.strip_suffix(".sql") {
        Some(stem) => (stem, false),
        None => (program?, true),
    };
    let (before, description) = stem.split_once("__").unwrap_or((stem, ""));
    let is_numbered =
        |prefix: char| stem.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let parse = || version::parse(&before[1..]);
    let wrong =
        FlywayFile::Refused("its name has to have the form V1.2__description.sql: numbers, then two underscores");
    Some(match before {
        _ if is_numbered('V') => match parse() {
            Some(version) => FlywayFile::Versioned { version, description, is_program },
            None => wrong,
        },
        _ if is_numbered('U') => parse().map_or(wrong, FlywayFile::Undo),
        _ if is_numbered('B') => {
            FlywayFile::Refused("Lockkeeper does not run baseline migrations: leave the file out of this directory")
        }
        "R" if is_program && stem.contains("__") => FlywayFile::Refused(PROGRAM),
        "R" if stem.contains("__") => FlywayFile::Repeatable(description),
        _ if is_callback(before) => FlywayFile::Refused(
            "Lockkeeper does not run callbacks: run Flyway itself with lockkeeper guard, or leave the file out of this directory",
        ),
        _ => return None,
    })
}

fn is_callback(event: &str) -> bool {
    event == "createSchema"
        || (["before", "after"].iter().any(|when| event.starts_with(when))
            && EVENTS.iter().any(|part| event.contains(part)))
}

/// Returns whether a name is one that Flyway reads and refinery does not, or that means something else there.
pub(super) fn is_certain(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    match classify(path) {
        Some(FlywayFile::Versioned { version, description, is_program }) => {
            version.as_str().contains('.') || !description.chars().all(is_word) || is_program
        }
        Some(FlywayFile::Refused(_)) => !name.starts_with(['V', 'U']),
        Some(FlywayFile::Repeatable(_)) => true,
        Some(FlywayFile::Undo(_)) => false,
        None => name.ends_with(".sql.conf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_flyway() {
        let versioned = |version: &str, description, is_program| {
            Some(FlywayFile::Versioned { version: version::parse(version).unwrap(), description, is_program })
        };
        for (path, expected) in [
            ("V1__a.sql", versioned("1", "a", false)),
            ("sub/V1_2__a b-c.sql", versioned("1.2", "a b-c", false)),
            ("V1.2.3__a__b.sql", versioned("1.2.3", "a__b", false)),
            ("V7.sql", versioned("7", "", false)),
            ("V2__A.java", versioned("2", "A", true)),
            ("U1__a.sql", Some(FlywayFile::Undo(version::parse("1").unwrap()))),
            ("views/R__a_view.sql", Some(FlywayFile::Repeatable("a_view"))),
        ] {
            assert_eq!(classify(path), expected, "{path}");
        }
        for refused in [
            "V1_a.sql",
            "V1a__b.sql",
            "R__view.java",
            "B1__all.sql",
            "beforeMigrate.sql",
            "afterMigrate__x.sql",
            "afterEachMigrate.sql",
        ] {
            assert!(matches!(classify(refused), Some(FlywayFile::Refused(_))), "{refused}");
        }
        for ignored in [
            "Views.sql",
            "V1__a.SQL",
            "v1__a.sql",
            "README.md",
            "R_a.sql",
            "afterClean.sql",
            "V1__a.sql.bak",
            "V1__a.sql.conf",
        ] {
            assert_eq!(classify(ignored), None, "{ignored}");
        }
    }
}
