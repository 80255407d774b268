//! Logging in: translates libpq's connection parameters into the driver's options and tries one host after the other.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::error;
use crate::database::url::{self, Address, Host, SslMode};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::safe_file;
use crate::sql::identifier;

/// The largest password file that is read, in bytes.
const PASSFILE_BYTES: u64 = 1 << 20;
/// The largest file with certificates or a key that is read, in bytes.
const PEM_BYTES: u64 = 16 << 20;

/// A session that one of the hosts has granted, with the driver's options by which it was opened.
pub(crate) struct OpenedSession {
    pub(crate) connection: PgConnection,
    pub(crate) options: PgConnectOptions,
    pub(crate) host: Host,
}

/// Tries the hosts in their order, as libpq does, and returns the result of `ask` for the first host that accepts the
/// login and with which `ask` succeeds.
///
/// # Errors
/// The message lists the error of each host; the kind is that of the last one. An error that another host cannot
/// correct (a wrong password, TLS) ends the search.
pub(crate) async fn first_usable_host<T>(
    target: &url::PostgresTarget,
    attempt: Duration,
    ask: impl AsyncFn(OpenedSession) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let mut met: Option<DatabaseError> = None;
    for host in &target.hosts {
        let answer = match login(target, host, attempt).await {
            Ok(session) => ask(session).await,
            Err(fault) => Err(fault),
        };
        let mut fault = match answer {
            Err(fault) if may_differ_on_another_host(fault.kind) => fault,
            other => return other,
        };
        if target.hosts.len() > 1 {
            let before = met.map_or(String::new(), |before| format!("{before}; "));
            fault.message = format!("{before}{host}: {}", fault.message);
        }
        met = Some(fault);
    }
    Err(met.unwrap_or_else(|| DatabaseError::new(DatabaseErrorKind::Unreachable, "no host is given")))
}

async fn login(target: &url::PostgresTarget, host: &Host, attempt: Duration) -> Result<OpenedSession, DatabaseError> {
    let options = options(target, host)?;
    let answer = tokio::time::timeout(attempt, poll_login_eagerly(options.connect())).await;
    let silent = |_| DatabaseError::new(DatabaseErrorKind::Unreachable, format!("no answer within {attempt:?}"));
    let connection = answer.map_err(silent)?.map_err(|error| {
        let fault = error::connecting(error);
        // The server may also have refused one of the settings in `options`.
        match fault.kind == DatabaseErrorKind::NoPrivilege && fault.code.is_some() && target.options.is_none() {
            true => fault.with_hint(grant_connect(target)),
            false => fault,
        }
    })?;
    Ok(OpenedSession { connection, options, host: host.clone() })
}

fn grant_connect(target: &url::PostgresTarget) -> String {
    format!("GRANT CONNECT ON DATABASE {} TO {}", identifier(target.database_name()), role(target))
}

fn role(target: &url::PostgresTarget) -> String {
    identifier(target.user.as_deref().unwrap_or_default())
}

/// Creates the target's database, in a session of the database `postgres`. When two runs do so at once, both succeed:
/// the second one finds the database, or fails at the unique index of the catalog, which counts as success.
///
/// # Errors
/// Fails when there is no database `postgres`, or when the role lacks CREATEDB.
pub(crate) async fn create(target: &url::PostgresTarget, attempt: Duration) -> Result<(), DatabaseError> {
    let maintenance = url::PostgresTarget { database: Some("postgres".into()), ..target.clone() };
    let name = target.database_name();
    first_usable_host(&maintenance, attempt, async |mut session| {
        let sql = format!("CREATE DATABASE {}", identifier(name));
        let created = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session.connection).await;
        match created.map_err(error::working) {
            Ok(_) => tracing::info!("created the database {name}"),
            Err(fault) if error::is_there_already(&fault) => {}
            Err(fault) if fault.kind == DatabaseErrorKind::NoPrivilege => {
                return Err(fault.with_hint(format!("ALTER ROLE {} CREATEDB", role(target))));
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    })
    .await
}

/// Polls a login several times each time it is woken. The driver yields eight hundred times while it hashes the
/// password, and each time the runtime would ask the system for events first, which takes longer than the hashing.
pub(super) async fn poll_login_eagerly<T>(login: impl Future<Output = T>) -> T {
    const POLLS: usize = 100;
    let mut login = pin!(login);
    poll_fn(|context| {
        let mut polls = (0..POLLS).map(|_| login.as_mut().poll(context));
        polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

fn may_differ_on_another_host(kind: DatabaseErrorKind) -> bool {
    matches!(
        kind,
        DatabaseErrorKind::Unresolved
            | DatabaseErrorKind::Unreachable
            | DatabaseErrorKind::Starting
            | DatabaseErrorKind::Exhausted
            | DatabaseErrorKind::Full
            | DatabaseErrorKind::ReadOnly
            | DatabaseErrorKind::Lost
    )
}

/// Returns the driver's options for one host.
///
/// # Errors
/// Fails when no user is given, when a certificate file cannot be read, or when `options` cannot be translated.
fn options(target: &url::PostgresTarget, host: &Host) -> Result<PgConnectOptions, DatabaseError> {
    let user = target.user.as_deref().ok_or_else(|| {
        DatabaseError::new(DatabaseErrorKind::Setting, "no user is given: write it into DATABASE_URL, or set PGUSER")
    })?;
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(host.port)
        .username(user)
        .database(target.database_name())
        .application_name("lockkeeper")
        .statement_cache_capacity(0)
        .ssl_mode(ssl_mode(&target.tls))
        .disable_statement_logging();
    options = match (&host.address, &host.hostaddr) {
        (Address::Socket(directory), _) => options.socket(directory),
        (Address::Tcp(_), Some(address)) => options.host(address),
        (Address::Tcp(name), None) => options.host(name),
    };
    if let Some(password) = password(target, host, user) {
        options = options.password(password.expose());
    }
    for (file, what) in
        [(&target.tls.root_cert, "sslrootcert"), (&target.tls.cert, "sslcert"), (&target.tls.key, "sslkey")]
    {
        let Some(file) = file else { continue };
        let pem = safe_file::read(file, PEM_BYTES).map_err(|error| {
            DatabaseError::new(DatabaseErrorKind::Tls, format!("{what}: {}: {error}", file.display()))
        })?;
        options = match what {
            "sslrootcert" => options.ssl_root_cert_from_pem(pem),
            "sslcert" => options.ssl_client_cert_from_pem(pem),
            _ => options.ssl_client_key_from_pem(pem),
        };
    }
    match &target.options {
        Some(text) => Ok(options.options(settings(text)?)),
        None => Ok(options),
    }
}

/// Returns the driver's TLS mode. libpq treats `require` with a root certificate as `verify-ca` (manual, 34.19.1); the
/// driver does not. `allow` becomes `prefer`, because the driver would never try TLS with `allow`.
fn ssl_mode(tls: &url::Tls) -> PgSslMode {
    match tls.mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Allow | SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require if tls.root_cert.is_some() => PgSslMode::VerifyCa,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    }
}

/// Returns the password of the target, or else the one in the password file, which is read anew each time.
pub(crate) fn password(target: &url::PostgresTarget, host: &Host, user: &str) -> Option<url::Secret> {
    target.password.clone().or_else(|| {
        let text = safe_file::read_to_string(target.passfile.as_ref()?, PASSFILE_BYTES).ok()?;
        url::PostgresTarget::password_from_passfile(&text, host, target.database_name(), user)
    })
}

/// Parses the text of `options` into names and values: `-c name=value`, `-cname=value` and `--name=value` (manual,
/// 20.1.3), the only forms that a server accepts from a client.
fn settings(text: &str) -> Result<Vec<(String, String)>, DatabaseError> {
    let refused =
        || DatabaseError::new(DatabaseErrorKind::Setting, "options: write them as -c name=value or --name=value");
    let mut found = Vec::new();
    let mut words = value_list(text).into_iter();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().ok_or_else(refused)?,
            Some(pair) => pair.to_owned(),
            None => return Err(refused()),
        };
        let (name, value) = pair.split_once('=').ok_or_else(refused)?;
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

/// Splits a text at white space; a backslash escapes the next character (manual, 34.1.2 `options`).
fn value_list(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let current = found.last_mut().expect("there is always one word");
        match character {
            '\\' => current.extend(characters.next()),
            space if space.is_whitespace() => found.push(String::new()),
            other => current.push(other),
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings(r"-c geqo=off --search-path=a,b -cwork_mem=4\ MB").unwrap(),
            [pair("geqo", "off"), pair("search_path", "a,b"), pair("work_mem", "4 MB")]
        );
        for bad in ["-c", "geqo=off", "-x", "-c geqo"] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }
}
