//! A run without `DATABASE_URL`: which variable was meant to be it.

use strsim::osa_distance;

/// The variables that name the database.
pub(super) const WANTED: [&str; 2] = ["DATABASE_URL", "DATABASE_URL_FILE"];

/// Names that other tools and platforms use for the same.
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

/// Names that are near without being misspelt.
const OTHERS: [&str; 3] = ["DATABASE_USER", "DATABASE_PORT", "DATABASE_HOST"];

/// The longest name that is looked at: the time for a comparison grows with its length.
const LONGEST: usize = 100;

/// Returns the name that is most like `DATABASE_URL` among those of variables that are set, if one may be meant to be it:
/// by its name, or because its value begins like a database URL.
pub(super) fn nearest<'v>(variables: impl Iterator<Item = (&'v str, &'v str)>) -> Option<&'v str> {
    let candidates = variables.filter_map(|(name, value)| Some((distance(name, value)?, name)));
    candidates.min().map(|(_, name)| name)
}

/// Returns the name of a variable that is set to a database URL and is certainly meant to be called `DATABASE_URL`: a name
/// that only goes on after that word is the one of another database.
pub(super) fn misspelt<'v>(variables: impl Iterator<Item = (&'v str, &'v str)>) -> Option<&'v str> {
    /// Two letters, or an exchange of neighbours and a letter.
    const NEAR: usize = 2;
    let is_one = |name: &str, value: &str| {
        let upper = name.to_ascii_uppercase();
        let goes_on = upper.len() > WANTED[0].len() && upper.starts_with(WANTED[0]);
        name.len() <= LONGEST
            && name != WANTED[0]
            && !goes_on
            && is_url(value)
            && osa_distance(&upper, WANTED[0]) <= NEAR
    };
    variables.filter(|(name, value)| is_one(name, value)).map(|(name, _)| name).min()
}

fn is_url(value: &str) -> bool {
    let lower = value.trim_start().to_ascii_lowercase();
    ["postgres:", "postgresql:", "postgres+", "postgresql+", "sqlite:", "sqlite+"]
        .iter()
        .any(|scheme| lower.starts_with(scheme))
}

/// Returns how many letters a name differs in, or nothing if it is not meant.
fn distance(name: &str, value: &str) -> Option<usize> {
    /// Two letters and an exchange of neighbours.
    const NEAR: usize = 3;
    let upper = name.to_ascii_uppercase();
    if name.len() > LONGEST || value.is_empty() || OTHERS.contains(&upper.as_str()) || WANTED.contains(&name) {
        return None;
    }
    let edits = WANTED.iter().map(|wanted| osa_distance(&upper, wanted)).min()?;
    let is_meant = edits <= NEAR
        || ALIASES.contains(&upper.as_str())
        || ["DATABASE_URL", "DATABASE_URI"].iter().any(|end| upper.ends_with(end))
        || is_url(value);
    is_meant.then_some(edits)
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
