//! The names of backups, in a directory and in a bucket: `app-20260112T093000Z-from-0004.dump`.

use super::RevisionRange;
use crate::clock;
use crate::database::DatabaseIdentity;
use crate::dialect::Dialect;

/// The largest number of bytes of a database name in a file name. A file system takes names of 255 bytes, and time,
/// revision and suffixes need their part.
const LONGEST_NAME: usize = 120;

/// Returns whether a file of this name is a backup of this database: `app-20260112T093000Z-from-0004.dump`.
pub(crate) fn is_backup(name: &str, identity: &DatabaseIdentity) -> bool {
    suffixes(identity.dialect)
        .iter()
        .any(|suffix| name.strip_suffix(suffix).is_some_and(|stem| is_stem(stem, identity)))
}

/// Returns whether a name without its suffix is that of a backup of this database.
pub(super) fn is_stem(stem: &str, identity: &DatabaseIdentity) -> bool {
    let is_timestamp = |text: &str| {
        text.len() == "20260112T093000Z".len()
            && text.chars().all(|character| character.is_ascii_digit() || "TZ".contains(character))
    };
    let remainder = stem.strip_prefix(&format!("{}-", sanitize(&identity.name)));
    remainder.and_then(|remainder| remainder.split_once("-from-")).is_some_and(|(time, _)| is_timestamp(time))
}

/// Returns the suffix of a backup that is a file.
pub(super) fn file_suffix(dialect: Dialect) -> &'static str {
    suffixes(dialect)[0]
}

/// Returns the suffixes of the backups of a dialect: that of a file, and that of a directory if there are such backups.
pub(super) fn suffixes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Postgres => &[".dump", ".dumpdir"],
        Dialect::Sqlite => &[".db"],
    }
}

/// Returns the name of a backup that is taken now, without its suffix.
pub(super) fn stem(identity: &DatabaseIdentity, range: &RevisionRange) -> String {
    let timestamp = clock::now_for_names();
    let guarded = range.guarded.as_ref().and_then(|change| change.from_revision.as_deref());
    let from = range.from.as_deref().map(str::to_owned).or_else(|| guarded.map(sanitize_revision));
    let from = from.unwrap_or_else(|| "unversioned".into());
    format!("{}-{timestamp}-from-{from}", sanitize(&identity.name))
}

/// Returns the names to try for this stem and suffix: the first one that is free is taken.
pub(super) fn free_names(stem: &str, suffix: &str) -> impl Iterator<Item = String> {
    let first = format!("{stem}{suffix}");
    std::iter::once(first).chain((2..).map(move |number: u32| format!("{stem}-{number}{suffix}")))
}

/// Returns a revision of another tool as a part of a file name: the beginning of what may be the name of a file.
fn sanitize_revision(revision: &str) -> String {
    const LONGEST: usize = 40;
    revision.chars().take(LONGEST).map(plain_character).collect()
}

/// Returns a character of a name that other programs take as it is: a letter or digit of ASCII, `.`, `_` or `-`, and `_`
/// for every other one.
pub(super) fn plain_character(character: char) -> char {
    if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' }
}

/// Returns the name of a database as a part of a file name: cut to its length, with `_` for special characters.
fn sanitize(name: &str) -> String {
    let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    let name = &name[..end.unwrap_or(0)];
    name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_database() {
        let identity = |name: &str| DatabaseIdentity { dialect: Dialect::Postgres, name: name.into() };
        for (file, database, expected) in [
            ("app-20260112T093000Z-from-0004.dump", "app", true),
            ("app-20260112T093000Z-from-0004-2.dump", "app", true),
            ("app-20260112T093000Z-from-0004.dumpdir", "app", true),
            ("app-20260112T093000Z-from-0004.dumpdir.json", "app", false),
            ("app-20260112T093000Z-from-unversioned.dump", "app", true),
            ("a_b-20260112T093000Z-from-0004.dump", "a/b", true),
            ("app-blue-20260112T093000Z-from-0004.dump", "app", false),
            ("app-20260112T093000Z-from-0004.dump", "app-blue", false),
            ("app-20260112T093000Z-from-0004.db", "app", false),
            ("app-20260112T093000Z-from-0004.dump.json", "app", false),
            ("app-taken-from-production.dump", "app", false),
        ] {
            assert_eq!(is_backup(file, &identity(database)), expected, "{file} of {database}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(sanitize(&"é".repeat(200)).len(), 120);
        assert_eq!(sanitize("a b/c;d"), "a_b_c_d");
    }
}
