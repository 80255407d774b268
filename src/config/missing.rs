//! Finds the variable that was probably meant to be `DATABASE_URL` when that is not set.

use strsim::osa_distance;

/// The variables that name the database.
pub(super) const WANTED: [&str; 2] = ["DATABASE_URL", "DATABASE_URL_FILE"];

/// Names that other tools and platforms use for the database URL.
const ALIASES: [&str; 16] = [
    "DATABASE",
    "DATABASE_DSN",
    "DATABASE_URI",
    "DB_DSN",
    "DB_URI",
    "DB_URL",
    "JDBC_DATABASE_URL",
    "LOCKKEEPER_URL",
    "PGURL",
    "PG_URL",
    "POSTGRESQL_URL",
    "POSTGRES_DSN",
    "POSTGRES_URI",
    "POSTGRES_URL",
    "SQLALCHEMY_DATABASE_URI",
    "SQLITE_URL",
];

/// Names that are similar to the wanted ones without being misspelt.
const OTHER_VARIABLES: [&str; 3] = ["DATABASE_USER", "DATABASE_PORT", "DATABASE_HOST"];

/// The longest name that is compared, in bytes, because the time for a comparison grows with the length.
const MAX_NAME_LENGTH: usize = 100;

/// Returns the variable whose name is most similar to `DATABASE_URL` among those that are set. A variable is considered
/// because of its name, or because its value begins like a database URL.
pub(super) fn nearest<'v>(variables: impl Iterator<Item = (&'v str, &'v str)>) -> Option<&'v str> {
    let candidates = variables.filter_map(|(name, value)| Some((distance(name, value)?, name)));
    candidates.min().map(|(_, name)| name)
}

/// Returns the name of a variable that has a database URL as its value and is certainly a misspelt `DATABASE_URL`. A
/// name that continues after `DATABASE_URL` is not: such a name belongs to another database.
pub(super) fn misspelt<'v>(variables: impl Iterator<Item = (&'v str, &'v str)>) -> Option<&'v str> {
    /// The largest edit distance: two letters, or a swap of neighbours and a letter.
    const MAX_DISTANCE: usize = 2;
    let is_misspelling = |name: &str, value: &str| {
        let upper = name.to_ascii_uppercase();
        let has_suffix = upper.len() > WANTED[0].len() && upper.starts_with(WANTED[0]);
        name.len() <= MAX_NAME_LENGTH
            && name != WANTED[0]
            && !has_suffix
            && is_url(value)
            && osa_distance(&upper, WANTED[0]) <= MAX_DISTANCE
    };
    variables.filter(|(name, value)| is_misspelling(name, value)).map(|(name, _)| name).min()
}

/// Reports whether the value begins like a database URL.
fn is_url(value: &str) -> bool {
    let lower = value.trim_start().to_ascii_lowercase();
    ["postgres:", "postgresql:", "postgres+", "postgresql+", "sqlite:", "sqlite+"]
        .iter()
        .any(|scheme| lower.starts_with(scheme))
}

/// Returns the edit distance of a name from the wanted names, or `None` if the variable is not considered.
fn distance(name: &str, value: &str) -> Option<usize> {
    /// The largest edit distance: two letters and a swap of neighbours.
    const MAX_DISTANCE: usize = 3;
    let upper = name.to_ascii_uppercase();
    if name.len() > MAX_NAME_LENGTH
        || value.is_empty()
        || OTHER_VARIABLES.contains(&upper.as_str())
        || WANTED.contains(&name)
    {
        return None;
    }
    let edit_distance = WANTED.iter().map(|wanted| osa_distance(&upper, wanted)).min()?;
    let is_meant = edit_distance <= MAX_DISTANCE
        || ALIASES.contains(&upper.as_str())
        || ["DATABASE_URL", "DATABASE_URI"].iter().any(|end| upper.ends_with(end))
        || is_url(value);
    is_meant.then_some(edit_distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        for (names, expected) in [
            (&["PATH", "HOME", "DATABASE_PORT", "DATABASE_USER", "EDITOR"][..], None),
            (&["DB_URL", "DATABSE_URL", "POSTGRES_URL"], Some("DATABSE_URL")),
            (&["DATABASE_URI"], Some("DATABASE_URI")),
            (&["database_url"], Some("database_url")),
            (&["DATABASEURL"], Some("DATABASEURL")),
            (&["DATABASE_URL_FLIE"], Some("DATABASE_URL_FLIE")),
            (&["DB_URL"], Some("DB_URL")),
            (&["POSTGRES_URL"], Some("POSTGRES_URL")),
            (&["LOCKKEEPER_DATABASE_URL"], Some("LOCKKEEPER_DATABASE_URL")),
            (&["SQLALCHEMY_DATABASE_URI", "PATH"], Some("SQLALCHEMY_DATABASE_URI")),
        ] {
            assert_eq!(nearest(names.iter().map(|name| (*name, "x"))), expected);
            assert_eq!(nearest(names.iter().map(|name| (*name, ""))), None);
        }
        let url = "sqlite:x.db";
        for (name, value, expected) in [
            ("DATABSE_URL", url, true),
            ("database_url", url, true),
            ("DATABASE_URI", "postgresql+asyncpg://h", true),
            ("DATABASE_ULR", "x", false),
            ("DATABASE_URL", url, false),
            ("DATABASE_URL_RO", url, false),
            ("DATABASE_URL2", url, false),
            ("TEST_DATABASE_URL", url, false),
        ] {
            assert_eq!(misspelt([(name, value)].into_iter()).is_some(), expected, "{name}");
        }
        let urls = [("MAIN_DB", "Postgres://u@h/d"), ("CACHE", "redis://h"), ("FILE", "sqlite:x.db")];
        assert_eq!(nearest(urls.into_iter()), Some("MAIN_DB"));
    }
}
