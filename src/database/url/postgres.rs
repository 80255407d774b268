//! PostgreSQL URLs, as libpq reads them (manual, 34.1.1.2 connection URIs and 34.1.2 key words).

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::hosts::{self, Address, Host};
use super::settings::UrlSettings;
use super::text::{decode, refuse_variable};
use super::{RESERVED, Secret, UrlError, fail};

/// The characters that are percent-encoded in a URL for display.
pub(super) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The PostgreSQL database that a URL names: the key words of libpq (manual, 34.1.2) that Lockkeeper uses.
#[derive(Clone, Debug)]
pub struct PostgresTarget {
    /// Servers in the order in which they are tried, never empty; `localhost` if none was named.
    pub(crate) hosts: Vec<Host>,
    /// Role that logs in; the configuration replaces `None` by the environment variable USER.
    pub(crate) user: Option<String>,
    /// Database name; `None` means the name of the user, as in libpq.
    pub(crate) database: Option<String>,
    /// Password from the URL or PGPASSWORD.
    pub(crate) password: Option<Secret>,
    /// Path of the password file.
    pub(crate) passfile: Option<PathBuf>,
    /// TLS settings.
    pub(crate) tls: Tls,
    /// Command-line options for the server, such as `-c search_path=app`.
    pub(crate) options: Option<String>,
}

/// TLS settings of a PostgreSQL URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Mode of encryption and verification.
    pub(crate) mode: SslMode,
    /// Path of the root certificates. `None` means the built-in roots, also for the word `system`, which requires
    /// verify-full.
    pub(crate) root_cert: Option<PathBuf>,
    /// Path of the client certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Path of the client certificate's private key.
    pub(crate) key: Option<PathBuf>,
}

/// The `sslmode` of libpq (manual, 34.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS only if the server refuses a connection without it.
    Allow,
    /// TLS if the server offers it.
    Prefer,
    /// TLS required, without verification of the server.
    Require,
    /// TLS required, with a certificate of a trusted authority.
    VerifyCa,
    /// TLS required, with a trusted certificate for the host's name.
    VerifyFull,
}

/// Parses the text behind `postgresql://`.
pub(super) fn read(after_scheme: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<PostgresTarget, UrlError> {
    let (authority, after_authority) =
        after_scheme.split_at(after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len()));
    // A tail with @ or # is part of a password with an unencoded / ? or #, and must not be taken for another part.
    if after_authority.contains(['@', '#']) {
        return fail(format!("an unencoded @ or # stands after the host part of the database URL: {RESERVED}"));
    }
    let (path, query) = after_authority.split_once('?').unwrap_or((after_authority, ""));
    let mut settings = read_authority(authority)?;
    let path = path.strip_prefix('/').unwrap_or(path);
    refuse_variable(path, "the database name")?;
    let database = decode(path, "the database name")?;
    settings.put("dbname", database, "the database name");
    settings.extend(hosts::split_query(UrlSettings::from_query(query)?)?);
    settings.fill(variable);
    settings.check()?;
    Ok(PostgresTarget {
        hosts: hosts::read(&settings)?,
        tls: read_tls(&settings)?,
        user: settings.optional("user"),
        database: settings.optional("dbname"),
        password: settings.optional("password").map(Secret::new),
        passfile: settings.optional("passfile").map(PathBuf::from),
        options: settings.optional("options"),
    })
}

/// Parses the part before the path. The last `@` ends user and password, so that a password may hold an unencoded `@`.
fn read_authority(authority: &str) -> Result<UrlSettings, UrlError> {
    let mut settings = UrlSettings::default();
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    for (name, text, part) in [("user", user, "the user name"), ("password", password, "the password")] {
        settings.put(name, decode(text, part)?, part);
    }
    hosts::set_authority(&mut settings, hosts)?;
    Ok(settings)
}

/// Reads the TLS settings. `sslrootcert=system` allows no weaker mode than verify-full (manual, 34.1.2).
fn read_tls(settings: &UrlSettings) -> Result<Tls, UrlError> {
    let system = settings.value("sslrootcert") == "system";
    let mode = match settings.value("sslmode") {
        "" if system => SslMode::VerifyFull,
        "verify-full" => SslMode::VerifyFull,
        _ if system => return settings.invalid("sslmode", "must be verify-full with sslrootcert=system"),
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        _ => SslMode::Prefer,
    };
    let path = |name| settings.optional(name).map(PathBuf::from);
    Ok(Tls { mode, root_cert: path("sslrootcert").filter(|_| !system), cert: path("sslcert"), key: path("sslkey") })
}

impl PostgresTarget {
    /// Returns `postgresql://user@host:5432/database` for display, never with a password.
    pub fn display(&self) -> String {
        let user = self.user.as_deref().map_or(String::new(), |user| shown(user) + "@");
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("postgresql://{user}{}/{}", hosts.join(","), shown(self.database_name()))
    }

    /// Returns `host:port/database`, with all hosts.
    pub(crate) fn place(&self) -> String {
        let host = |host: &Host| match &host.address {
            Address::Tcp(name) if name.contains(':') => format!("[{name}]:{}", host.port),
            Address::Tcp(name) => format!("{name}:{}", host.port),
            Address::Socket(directory) => format!("{}:{}", directory.display(), host.port),
        };
        format!("{}/{}", self.hosts.iter().map(host).collect::<Vec<_>>().join(","), self.database_name())
    }

    /// Returns the name of the database, or else of the user as in libpq (manual, 34.1.2 `dbname`), or an empty text.
    pub(crate) fn database_name(&self) -> &str {
        self.database.as_deref().or(self.user.as_deref()).unwrap_or("")
    }
}

/// Formats the host and port for a URL, percent-encoded.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(name) if name.contains(':') => {
                write!(f, "[{}]:{}", shown(name).replace("%3A", ":"), self.port)
            }
            Address::Tcp(name) => write!(f, "{}:{}", shown(name), self.port),
            Address::Socket(directory) => write!(f, "{}:{}", shown(&directory.to_string_lossy()), self.port),
        }
    }
}

fn shown(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, postgres};
    use super::*;

    #[test]
    fn parts_of_a_url() {
        // Each entry: the URL, its display form, the password.
        for (url, shown, password) in [
            ("postgresql://", "localhost:5432/", None),
            ("postgres://h", "h:5432/", None),
            ("postgres:///d", "localhost:5432/d", None),
            ("POSTGRES://h:1/d", "h:1/d", None),
            ("postgresql+psycopg2://u:p@h/d", "u@h:5432/d", Some("p")),
            ("postgresql+asyncpg://u:p@h/d", "u@h:5432/d", Some("p")),
            ("postgres+psycopg://u@h/d", "u@h:5432/d", None),
            ("postgres://u:p@h:6543", "u@h:6543/u", Some("p")),
            ("postgres://u:p@h:6543/d\n", "u@h:6543/d", Some("p")),
            ("postgres://u:@h:/d?", "u@h:5432/d", None),
            ("postgres://:p@/", "localhost:5432/", Some("p")),
            ("postgres://u:a@b@c@h/d", "u@h:5432/d", Some("a@b@c")),
            ("postgres://u:a:b@h/d", "u@h:5432/d", Some("a:b")),
            ("postgres://u:%40%3A%2F%3F%23%25%26%3D%2B%2C%5B@h", "u@h:5432/u", Some("@:/?#%&=+,[")),
            ("postgres://u:a+b&c=d,e@h", "u@h:5432/u", Some("a+b&c=d,e")),
            ("postgres://u:%252F@h", "u@h:5432/u", Some("%2F")),
            ("postgres://a%40b:%C3%A9@h/x%2Fy%3F", "a%40b@h:5432/x%2Fy%3F", Some("é")),
            ("postgres://h/a/b", "h:5432/a%2Fb", None),
            ("postgres://[::1]:5433/d", "[::1]:5433/d", None),
            ("postgres://u:p@[2001:db8::1]/d", "u@[2001:db8::1]:5432/d", Some("p")),
            ("postgres://[fe80::1%25eth0]/d", "[fe80::1%25eth0]:5432/d", None),
            ("postgres://a:1,b:2,[::1]/d", "a:1,b:2,[::1]:5432/d", None),
            ("postgres://a,,b:3/d", "a:5432,localhost:5432,b:3/d", None),
            ("postgres://a,b/d?port=7", "a:7,b:7/d", None),
            ("postgres://%2Fvar%2Frun/d", "%2Fvar%2Frun:5432/d", None),
            ("postgres://%2Fvar%2Frun:5433/d", "%2Fvar%2Frun:5433/d", None),
            ("postgres:///d?host=/a,b", "%2Fa:5432,b:5432/d", None),
            ("postgres:///d?host=a,b&port=1,2", "a:1,b:2/d", None),
            ("postgres:///d?host=a%2Cb&port=1%2C2", "a:1,b:2/d", None),
            ("postgres:///d?host=a:1&host=b:2", "a:1,b:2/d", None),
            ("postgres:///d?host=::1", "[::1]:5432/d", None),
            ("postgres://:7/d?host=x", "x:7/d", None),
            ("postgres:///d?hostaddr=::1,10.0.0.1", "[::1]:5432,10.0.0.1:5432/d", None),
            ("postgres://h?dbname=a+b&user=u&password=p%26", "u@h:5432/a%2Bb", Some("p&")),
            ("postgres://u:p@h/d?user=v&password=q&dbname=e", "v@h:5432/e", Some("q")),
        ] {
            let found = postgres(url, &[]);
            assert_eq!(found.display(), format!("postgresql://{shown}"), "{url}");
            assert_eq!(found.password.as_ref().map(Secret::expose), password, "{url}");
            assert_eq!(postgres(&found.display(), &[]).display(), found.display(), "{url}");
        }
    }

    #[test]
    fn tls_modes() {
        for (query, mode) in [
            ("", SslMode::Prefer),
            ("sslmode=disable", SslMode::Disable),
            ("sslmode=allow", SslMode::Allow),
            ("sslmode=prefer", SslMode::Prefer),
            ("sslmode=require", SslMode::Require),
            ("sslmode=verify-ca", SslMode::VerifyCa),
            ("sslmode=verify-full", SslMode::VerifyFull),
            ("ssl=true", SslMode::Require),
            ("ssl=verify-full", SslMode::VerifyFull),
            ("sslrootcert=system", SslMode::VerifyFull),
            ("sslrootcert=system&sslmode=verify-full", SslMode::VerifyFull),
            ("sslmode=require&sslmode=disable", SslMode::Disable),
        ] {
            let tls = postgres(&format!("postgres://h?{query}"), &[]).tls;
            assert_eq!((tls.mode, tls.root_cert), (mode, None), "{query}");
        }
    }

    #[test]
    fn refusals() {
        for (url, part) in [
            ("postgres://u:p/w@h/d", "or give the password apart in DATABASE_PASSWORD"),
            ("postgres://u:1/w@h/d", "DATABASE_PASSWORD"),
            ("postgres://u:1@x/w@h/d", "DATABASE_PASSWORD"),
            ("postgres://u:p#w@h/d", "DATABASE_PASSWORD"),
            ("postgres://u:p?w@h/d", "DATABASE_PASSWORD"),
            ("postgres://u:1?w=x@h/d", "DATABASE_PASSWORD"),
            ("postgres://h?sslmode=require&sslrootcert=system", "must be verify-full with"),
            ("postgres://u@h/${NAME}", "the database name has a variable that nothing has replaced"),
            ("postgres://u@h/app_$(STAGE)", "the database name has a variable that nothing has replaced"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
