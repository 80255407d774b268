//! Parsing of database URLs.
//!
//! PostgreSQL URLs follow libpq (manual of PostgreSQL 14 to 16: 34.1.1.2 connection URIs, 34.1.2 key words, 34.15
//! environment variables, 34.16 the password file; chapter 32 since 17) and SQLAlchemy's `+driver` and
//! `?host=a:1&host=b:2`. SQLite URLs follow SQLAlchemy's slashes.
//!
//! An error names the part that is wrong and never quotes a value, because any value may hold a secret.

mod copy;
mod hosts;
mod passfile;
mod postgres;
mod secret;
mod settings;
mod sqlite;
mod text;

use std::fmt;

use crate::dialect::Dialect;

pub(crate) use copy::{UrlForm, sqlite_url_of};
pub(crate) use hosts::{Address, Host};
pub(crate) use postgres::{PostgresTarget, SslMode, Tls};
pub(crate) use secret::Secret;
pub(crate) use sqlite::{SqliteLocation, SqliteTarget};

const FORMS: &str = "unrecognized database URL; write \
    postgresql://user:password@host:5432/database, sqlite:///relative.db or sqlite:////absolute.db \
    (without quotes; postgres:// and a +driver are fine, host=... dbname=... is not)";
/// Advice for a password that is taken for other parts of the URL.
const RESERVED: &str = "percent-encode reserved characters in the password (@ %40, / %2F, # %23, \
    ? %3F, % %25) and elsewhere, or give the password apart in DATABASE_PASSWORD";

/// The reason why a URL was refused, which quotes no value of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

fn fail<T>(message: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError(message.into()))
}

/// The database that a URL names.
#[derive(Clone, Debug)]
pub enum DatabaseTarget {
    /// A PostgreSQL database.
    Postgres(Box<PostgresTarget>),
    /// An SQLite database.
    Sqlite(SqliteTarget),
}

impl DatabaseTarget {
    /// Returns the dialect of the database.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            DatabaseTarget::Postgres(_) => Dialect::Postgres,
            DatabaseTarget::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Returns the name of the target for the log.
    pub(crate) fn display(&self) -> String {
        match self {
            DatabaseTarget::Postgres(target) => target.display(),
            DatabaseTarget::Sqlite(target) => match &target.location {
                SqliteLocation::File(path) => path.display().to_string(),
                SqliteLocation::Memory => ":memory:".into(),
            },
        }
    }

    /// Returns the servers and the database, or the path of the file, without user and secrets.
    pub(crate) fn place(&self) -> String {
        match self {
            DatabaseTarget::Postgres(target) => target.place(),
            DatabaseTarget::Sqlite(SqliteTarget { location: SqliteLocation::File(path) }) => path.display().to_string(),
            DatabaseTarget::Sqlite(SqliteTarget { location: SqliteLocation::Memory }) => ":memory:".into(),
        }
    }
}

/// Parses a URL. `variable` looks up libpq's environment variables (manual, 34.15), which set what the URL leaves open;
/// an empty variable counts as unset.
///
/// # Errors
/// A part of the URL or a variable is invalid or not supported.
pub fn parse(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<DatabaseTarget, UrlError> {
    let Some((scheme, after_scheme)) = url.trim().split_once(':') else {
        return fail(FORMS);
    };
    let scheme = scheme.to_ascii_lowercase();
    let dialect = scheme.split_once('+').map_or(scheme.as_str(), |(dialect, _)| dialect);
    match (dialect, after_scheme.strip_prefix("//")) {
        ("sqlite", _) => sqlite::read(after_scheme).map(DatabaseTarget::Sqlite),
        ("postgres" | "postgresql", Some(after_scheme)) => {
            postgres::read(after_scheme, variable).map(|found| DatabaseTarget::Postgres(Box::new(found)))
        }
        _ => fail(FORMS),
    }
}

/// Returns the passwords of a URL as they are written in it, perhaps percent-encoded.
pub(crate) fn written_passwords(url: &str) -> Vec<&str> {
    let after_scheme = url.split_once("://").map_or("", |(_, after_scheme)| after_scheme.trim());
    let (authority, after_authority) =
        after_scheme.split_at(after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len()));
    let login = authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
    let query = after_authority.split_once('?').map_or("", |(_, query)| query).split('&');
    let query_passwords = query.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| *name == "password");
    login.into_iter().chain(query_passwords).map(|(_, password)| password).collect()
}

#[cfg(test)]
mod tests {
    use super::settings::SETTINGS;
    use super::*;

    /// Canary secrets; only the second one could be the name of a setting.
    const CANARIES: [&str; 2] = ["canary-S3cr3t", "S3cr3t"];

    pub(super) fn read(url: &str, variables: &[(&str, &str)]) -> Result<DatabaseTarget, UrlError> {
        parse(url, &|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    pub(super) fn postgres(url: &str, variables: &[(&str, &str)]) -> PostgresTarget {
        match read(url, variables) {
            Ok(DatabaseTarget::Postgres(found)) => *found,
            other => panic!("{url}: {other:?}"),
        }
    }

    pub(super) fn error(url: &str, variables: &[(&str, &str)]) -> String {
        match read(url, variables) {
            Ok(found) => panic!("{url}: {found:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn forms() {
        for (url, part) in [
            ("", "unrecognized database URL"),
            ("x.db", "unrecognized database URL"),
            ("mysql://u:canary-S3cr3t@h/d", "unrecognized database URL"),
            ("jdbc:postgresql://h/d", "unrecognized database URL"),
            ("postgres:h", "unrecognized database URL"),
            ("\"postgres://h\"", "without quotes"),
            ("host=h password=canary-S3cr3t dbname=d", "unrecognized database URL"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn no_error_prints_a_password() {
        let broken = "*://u:*@h:x *://u:*@h:0/d *://u:*%zz@h *://u:*%ff@h *://u:*@[::1 *://*:h:1 \
            *://u:*/x@h *://u:1/*@h/d *://u:1#*@h/d *://u:1?*@h/d *://u:1?*=a@h/d *://u:a@b/*@h/d \
            *://u:*@h/%ff *://u:*@h?sslmod=require *://u:*@h?sslmode=* *://u:*@h?port=* \
            *://h?password=a&*=b *://h?password=a&* *://h?passwrd=* *://h?password=*%zz *://h?*=1 \
            *://u:1?*=a *://u:1?*=a&b=* *://u:1?a=b&*=c *://h?hostaddr=* *://h?sslpassword=* \
            *://h?service=* *://h?target_session_attrs=* \
            *://u:*@h,g?port=1,2,3 *://u:*@h?channel_binding=require *://u:*";
        let forms = broken.split(' ').filter(|form| !form.is_empty());
        for (form, canary) in forms.flat_map(|form| CANARIES.map(|canary| (form, canary))) {
            for scheme in ["postgres", "postgresql+asyncpg", "mysql", "", "sqlite+pysqlcipher"] {
                let url = scheme.to_owned() + &form[1..].replace('*', canary);
                // The URL sqlite://u:... names a file.
                if let Err(error) = read(&url, &[("PGPASSWORD", canary)]) {
                    let printed = format!("{error} {error:?}");
                    assert!(!printed.contains("S3cr3t"), "{url}: {printed}");
                } else {
                    assert!(scheme.starts_with("sqlite"), "{url}");
                }
            }
        }
        for (_, name, _) in SETTINGS.iter().filter(|(_, name, _)| !name.is_empty()) {
            if let Err(error) = read("postgres://u@h", &[(name, CANARIES[0])]) {
                let printed = format!("{error} {error:?}");
                assert!(printed.contains(name) && !printed.contains("S3cr3t"), "{name}: {printed}");
            }
        }
    }

    #[test]
    fn no_target_prints_a_password() {
        for url in ["postgres://u:*@h/d", "postgres://h?password=*", "postgres://u:a@*@h"] {
            let url = url.replace('*', CANARIES[0]);
            let found = read(&url, &[]);
            let printed = format!("{found:?} {found:#?}");
            assert!(printed.contains("***") && !printed.contains("S3cr3t"), "{printed}");
            assert!(!postgres(&url, &[]).display().contains("S3cr3t"));
        }
    }
}
