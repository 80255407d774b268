//! The URL of a copy of a database, for a program that takes its database from a URL.

use std::path::Path;

use percent_encoding::utf8_percent_encode;

use super::hosts::{Address, Host};
use super::postgres::{PostgresTarget, UNRESERVED};
use super::secret::Secret;

/// The settings of a query that name a place or a login: those of the copy stand elsewhere in its URL.
const PLACE_SETTINGS: [&str; 7] = ["host", "hostaddr", "port", "user", "password", "dbname", "passfile"];

/// The form that a program expects of its URL, taken from the one that it has: the scheme (`postgresql+asyncpg`), and the
/// settings behind the question mark.
#[derive(Clone, Debug)]
pub(crate) struct UrlForm {
    scheme: String,
    settings: Vec<String>,
}

impl UrlForm {
    /// Takes the form from a URL, or a plain one if there is none.
    pub(crate) fn from_url(url: Option<&str>, plain_scheme: &str) -> UrlForm {
        let (scheme, rest) = url.and_then(|url| url.trim().split_once(':')).unwrap_or((plain_scheme, ""));
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let is_kept = |pair: &&str| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !pair.is_empty() && !PLACE_SETTINGS.contains(&name)
        };
        let settings = query.split('&').filter(is_kept).map(str::to_owned).collect();
        UrlForm { scheme: scheme.to_owned(), settings }
    }

    fn finish(mut self, place: &str, more: Vec<String>) -> Secret {
        self.settings.splice(0..0, more);
        let query = if self.settings.is_empty() { String::new() } else { format!("?{}", self.settings.join("&")) };
        Secret::new(format!("{}:{place}{query}", self.scheme))
    }
}

impl PostgresTarget {
    /// Returns the URL of a database on a host, with the login of this target.
    pub(crate) fn url_of(&self, database: &str, host: &Host, form: UrlForm) -> Secret {
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let user = self.user.as_deref().map(encoded).unwrap_or_default();
        let password =
            self.password.as_ref().map_or(String::new(), |password| ":".to_owned() + &encoded(password.expose()));
        let login = if user.is_empty() { String::new() } else { format!("{user}{password}@") };
        let database = encoded(database);
        match &host.address {
            Address::Tcp(_) => form.finish(&format!("//{login}{host}/{database}"), Vec::new()),
            Address::Socket(directory) => {
                let settings =
                    vec![format!("host={}", encoded(&directory.to_string_lossy())), format!("port={}", host.port)];
                form.finish(&format!("//{login}/{database}"), settings)
            }
        }
    }
}

/// Returns the URL of a SQLite file, whose path is absolute. Prisma writes `file:` and the path alone.
pub(crate) fn sqlite_url_of(file: &Path, form: UrlForm) -> Secret {
    let slashes = if form.scheme == "file" { "" } else { "///" };
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    form.finish(&format!("{slashes}{path}"), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::super::tests::postgres;
    use super::*;

    #[test]
    fn the_url_of_a_copy_has_the_form_of_the_original() {
        for (own, variable, expected) in [
            ("postgresql://u:p@h:5433/d", None, "postgresql://u:p@h:5433/copy"),
            ("postgresql://u@h/d", None, "postgresql://u@h:5432/copy"),
            (
                "postgresql://u:p%40w@h/d?sslmode=require",
                Some("postgresql+asyncpg://x:y@pooler:6432/d?ssl=require&host=elsewhere"),
                "postgresql+asyncpg://u:p%40w@h:5432/copy?ssl=require",
            ),
            (
                "postgresql://u:p@%2Frun%2Fpg/d",
                Some("postgres://d?a=b"),
                "postgres://u:p@/copy?host=%2Frun%2Fpg&port=5432&a=b",
            ),
        ] {
            let target = postgres(own, &[]);
            let form = UrlForm::from_url(variable, "postgresql");
            assert_eq!(target.url_of("copy", &target.hosts[0], form).expose(), expected, "{own}");
        }
    }

    #[test]
    fn the_url_of_a_copied_file_is_absolute() {
        for (variable, expected) in [
            (None, "sqlite:////d/copy.db"),
            (Some("sqlite+aiosqlite:///./app.db?timeout=5"), "sqlite+aiosqlite:////d/copy.db?timeout=5"),
            (Some("file:./dev.db"), "file:/d/copy.db"),
        ] {
            let form = UrlForm::from_url(variable, "sqlite");
            assert_eq!(sqlite_url_of(Path::new("/d/copy.db"), form).expose(), expected);
        }
        let odd = sqlite_url_of(Path::new("/d/a?b%c.db"), UrlForm::from_url(None, "sqlite"));
        assert_eq!(odd.expose(), "sqlite:////d/a%3Fb%25c.db");
    }
}
