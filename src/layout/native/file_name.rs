//! The file names of Lockkeeper's own layout.

use std::ffi::OsString;

use super::number;
use crate::revision::{Direction, Version};

/// A file of the directory, with the parts of its name.
pub(super) struct ListedFile<'a> {
    /// The version of the revision.
    pub(crate) version: Version,
    /// The direction of the script.
    pub(crate) direction: Direction,
    /// The text between the number and the ending, with underscores.
    pub(crate) description: &'a str,
    /// The whole name of the file.
    pub(crate) name: &'a str,
}

/// The beginning of the names of repeatable scripts.
pub(super) const REPEATABLE: &str = "R__";

/// The files of a directory.
#[derive(Default)]
pub(super) struct ListedFiles<'a> {
    /// The files of the revisions, in the order of these.
    pub(crate) revisions: Vec<ListedFile<'a>>,
    /// The names of the repeatable scripts, in the order in which they are applied.
    pub(crate) repeatables: Vec<&'a str>,
}

/// Returns the files in the order in which they are applied. Hidden files, files left by editors and files without `.sql` are
/// not migrations; every other name in UTF-8 that cannot be read is a problem.
pub(super) fn list<'a>(names: &'a [OsString], problems: &mut Vec<String>) -> ListedFiles<'a> {
    let mut files = ListedFiles::default();
    for whole in names {
        let Some(name) = whole.to_str() else { continue };
        if name.starts_with('.') || !has_ending(name, ".sql") {
            continue;
        }
        if repeatable(name).is_some() {
            files.repeatables.push(name);
            continue;
        }
        match parse(name) {
            Some(file) => files.revisions.push(file),
            None => problems.push(format!("{name}: {}", why_no_name(name))),
        }
    }
    files.revisions.sort_unstable_by(|one, other| (&one.version, one.name).cmp(&(&other.version, other.name)));
    files.repeatables.sort_unstable();
    files
}

/// Returns the description in the name of a repeatable script, with underscores. Returns `None` for any other name.
pub(super) fn repeatable(name: &str) -> Option<&str> {
    let description = name.strip_prefix(REPEATABLE)?.strip_suffix(".sql")?;
    // Such a script has no direction.
    (!description.is_empty() && !has_direction(description)).then_some(description)
}

/// Reports whether a text ends in a direction, however that is spelled.
fn has_direction(text: &str) -> bool {
    has_ending(text, ".up") || has_ending(text, ".down")
}

fn has_ending(text: &str, ending: &str) -> bool {
    let at = text.len().checked_sub(ending.len());
    at.is_some_and(|at| text.as_bytes()[at..].eq_ignore_ascii_case(ending.as_bytes()))
}

/// Parses `0007_add_index.up.sql`, `0007_add_index.down.sql` or `0007_add_index.sql`. Returns `None` for any other
/// name.
fn parse(name: &str) -> Option<ListedFile<'_>> {
    let stem = name.strip_suffix(".sql")?;
    let (stem, direction) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
        (Some(stem), _) => (stem, Direction::Up),
        (_, Some(stem)) => (stem, Direction::Down),
        _ => (stem, Direction::Up),
    };
    let (number, description) = stem.split_once('_')?;
    let version = number::parse(number)?;
    // Without this check, `.DOWN.sql` would be an up migration.
    let fits = !description.is_empty() && !has_direction(description);
    fits.then_some(ListedFile { version, direction, description, name })
}

/// Reports whether a name is that of a migration.
pub(super) fn is_migration(name: &str) -> bool {
    parse(name).is_some()
}

/// Returns the name of a file of a new revision.
pub(super) fn format(version: &Version, slug: &str, direction: Direction) -> String {
    let ending = match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    };
    format!("{version}_{slug}.{ending}.sql")
}

/// Returns the reason why a name is not that of a migration.
fn why_no_name(name: &str) -> String {
    const FORM: &str = "write NNNN_description.up.sql";
    if name.get(..REPEATABLE.len()).is_some_and(|start| start.eq_ignore_ascii_case(REPEATABLE)) {
        return "not the name of a repeatable script; write R__description.sql".into();
    }
    let number = name.split('_').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match is_number && number::parse(number).is_none() {
        true => format!(
            "its version number has {} digits and is larger than {}; {FORM} with a number of at most 19 digits, such as YYYYMMDDhhmmss",
            number.len(),
            u64::MAX
        ),
        false => format!("not a migration's name; {FORM}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_number_a_description_and_a_direction() {
        for (name, expected) in [
            ("0007_add_index.up.sql", Some(("0007", "add_index", Direction::Up))),
            ("7_a.down.sql", Some(("7", "a", Direction::Down))),
            ("0007_a.sql", Some(("0007", "a", Direction::Up))),
            ("0007_a.b.sql", Some(("0007", "a.b", Direction::Up))),
            ("0007_a.DOWN.sql", None),
            ("0007_a.SQL", None),
            ("0007_.up.sql", None),
            ("0007.sql", None),
            ("x_a.sql", None),
            ("_a.sql", None),
        ] {
            let parts = parse(name);
            let parts = parts.as_ref().map(|it| (it.version.as_str(), it.description, it.direction));
            assert_eq!(parts, expected, "{name}");
        }
    }

    #[test]
    fn hidden_files_and_other_files_are_no_migrations_and_every_other_name_is_a_problem() {
        let names = ["10_b.sql", ".1_a.sql", "README.md", "9_a.down.sql", "9_a.up.sql", "notes.sql", "1_a.sql~"];
        let names = [&names[..], &["R__b.sql", "R__a.sql", "R__.sql", "r__c.sql", "R__d.up.sql"]].concat();
        let names: Vec<OsString> = names.into_iter().map(OsString::from).collect();
        let mut problems = Vec::new();
        let files = list(&names, &mut problems);
        let names: Vec<&str> = files.revisions.iter().map(|file| file.name).collect();
        assert_eq!(names, ["9_a.down.sql", "9_a.up.sql", "10_b.sql"]);
        assert_eq!(files.repeatables, ["R__a.sql", "R__b.sql"]);
        let wrong = |name: &str| format!("{name}: not the name of a repeatable script; write R__description.sql");
        let mut expected = vec!["notes.sql: not a migration's name; write NNNN_description.up.sql".to_owned()];
        expected.extend(["R__.sql", "r__c.sql", "R__d.up.sql"].map(wrong));
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_written_name_is_read_as_what_was_meant() {
        let version = number::parse("0012").unwrap();
        for direction in [Direction::Up, Direction::Down] {
            let name = format(&version, "add_index", direction);
            let parts = parse(&name).unwrap();
            assert_eq!((parts.version, parts.description, parts.direction), (version.clone(), "add_index", direction));
        }
    }
}
