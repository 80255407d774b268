//! Raw flags and environment -> one validated [`Config`]. Refuses, never guesses.

mod backup;
mod env_file;
mod environment;
mod missing;
mod settings;
mod url_source;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use env_file::EnvFile;
pub use environment::Environment;
use environment::RawEnvironment;
use settings::{Setting, number, pick, time};
pub use url_source::DatabaseUrlSource;

use crate::cli::Flags;
use crate::database::url::{DatabaseTarget as Url, SqliteLocation, SqliteTarget};
use crate::database::{HistoryName, SessionLimits};
use crate::error::Cause;
use crate::revision::{Dialect, Target};

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Config {
    pub database: DatabaseUrlSource,
    /// Server and database, or the file, as everybody may see them; nothing for a command without a database.
    pub shown: Option<String>,
    pub dialect: Dialect,
    pub dir: PathBuf,
    pub target: Target,
    pub patience: WaitPolicy,
    pub lock_timeout: Duration,
    pub limits: SessionLimits,
    pub retries: u32,
    /// From a signal or the deadline to the end.
    pub grace: Duration,
    pub backup: BackupPolicy,
    pub on_failure: OnFailure,
    pub rehearse: RehearsalMode,
    pub ahead: AheadPolicy,
    pub history: HistoryName,
    /// Host or pod name, for the history.
    pub applied_by: String,
}

/// How long readiness is waited for.
#[derive(Clone, Copy, Debug)]
pub struct WaitPolicy {
    pub total: Duration,
    /// One attempt: DNS, TCP, TLS and login together.
    pub attempt: Duration,
    /// How long a refused login or a missing database is retried.
    pub grace: Duration,
    pub missing: MissingDatabase,
}

/// What is done when the PostgreSQL database does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingDatabase {
    Refuse,
    Create,
}

/// What revisions in the database that the folder does not know mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AheadPolicy {
    Warn,
    Fail,
}

/// What becomes of the database after a failed migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// What was done stands.
    Keep,
    /// SQLite: the backup is put back.
    Restore,
}

/// Whether the pending revisions run on the backup first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RehearsalMode {
    No,
    Yes,
}

/// Whether, where and how long backups are kept.
#[derive(Clone, Debug)]
pub struct BackupPolicy {
    pub mode: BackupMode,
    pub dir: PathBuf,
    /// Verified backups kept per database, at least one.
    pub keep: usize,
    pub timeout: Option<Duration>,
    pub pg_dump: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupMode {
    Required,
    Off,
}

/// What a command needs to know of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseNeed {
    /// Where it is.
    Url,
    /// Whose SQL the migrations are in, unless their folder tells.
    Dialect,
    Nothing,
}

impl Config {
    /// Validates everything.
    ///
    /// # Errors
    /// The first setting that is wrong, by its name; no database URL where one is needed.
    pub fn new(flags: &Flags, environment: Environment, need: DatabaseNeed) -> Result<Config, Cause> {
        let Environment { raw, libpq, hint, .. } = environment;
        let database = DatabaseUrlSource::new(flags, &raw, libpq, hint)?;
        let dir = dir(pick(&flags.dir, "--dir", &raw.lockkeeper_dir, "LOCKKEEPER_DIR"));
        // A folder that is not there is refused as such.
        let tells = || !dir.is_dir() || ["postgres", "sqlite"].iter().any(|dialect| dir.join(dialect).is_dir());
        let url = match need {
            DatabaseNeed::Nothing if !database.is_given() => {
                Url::Sqlite(SqliteTarget { place: SqliteLocation::Memory })
            }
            DatabaseNeed::Dialect if !database.is_given() && tells() => {
                Url::Sqlite(SqliteTarget { place: SqliteLocation::Memory })
            }
            _ => database.resolve()?,
        };
        let limits = limits(flags, &raw)?;
        let backup = backup::policy(flags, &raw, &url)?;
        Ok(Config {
            dialect: match &url {
                Url::Postgres(_) => Dialect::Postgres,
                Url::Sqlite(_) => Dialect::Sqlite,
            },
            shown: (need == DatabaseNeed::Url).then(|| url.place()),
            dir,
            target: target(raw.lockkeeper_target.as_deref())?,
            patience: patience(flags, &raw)?,
            lock_timeout: limits.busy,
            limits,
            retries: retries(flags, &raw)?,
            grace: grace(flags, &raw)?,
            on_failure: backup::on_failure(flags, &raw, &url, backup.mode)?,
            rehearse: backup::rehearse(flags, &raw, backup.mode)?,
            backup,
            ahead: ahead(flags, &raw)?,
            history: history_name(pick(
                &flags.history_table,
                "--history-table",
                &raw.lockkeeper_history_table,
                "LOCKKEEPER_HISTORY_TABLE",
            ))?,
            applied_by: host_name(),
            database,
        })
    }
}

fn limits(flags: &Flags, raw: &RawEnvironment) -> Result<SessionLimits, Cause> {
    let (flag, variable) = ("--ddl-lock-timeout", "LOCKKEEPER_DDL_LOCK_TIMEOUT");
    let ddl = pick(&flags.ddl_lock_timeout, flag, &raw.lockkeeper_ddl_lock_timeout, variable);
    let (flag, variable) = ("--statement-timeout", "LOCKKEEPER_STATEMENT_TIMEOUT");
    let statement = pick(&flags.statement_timeout, flag, &raw.lockkeeper_statement_timeout, variable);
    let (flag, variable) = ("--lock-timeout", "LOCKKEEPER_LOCK_TIMEOUT");
    let lock = pick(&flags.lock_timeout, flag, &raw.lockkeeper_lock_timeout, variable);
    Ok(SessionLimits {
        lock: time(ddl, Duration::from_secs(5))?,
        statement: time(statement, Duration::ZERO)?,
        busy: time(lock, Duration::from_secs(300))?,
    })
}

fn retries(flags: &Flags, raw: &RawEnvironment) -> Result<u32, Cause> {
    let (flag, variable) = ("--ddl-retries", "LOCKKEEPER_DDL_RETRIES");
    number(pick(&flags.ddl_retries, flag, &raw.lockkeeper_ddl_retries, variable), 8, 0)
}

fn grace(flags: &Flags, raw: &RawEnvironment) -> Result<Duration, Cause> {
    let (flag, variable) = ("--shutdown-grace", "LOCKKEEPER_SHUTDOWN_GRACE");
    let setting = pick(&flags.shutdown_grace, flag, &raw.lockkeeper_shutdown_grace, variable);
    time(setting, Duration::from_secs(8))
}

fn dir(setting: Option<Setting>) -> PathBuf {
    match setting {
        Some(setting) => setting.value.into(),
        None if Path::new("migrations").exists() => "migrations".into(),
        None => "/migrations".into(),
    }
}

fn target(variable: Option<&str>) -> Result<Target, Cause> {
    let wrong = |reason: String| Cause::Config(format!("LOCKKEEPER_TARGET: {reason}"));
    match Target::parse(variable.unwrap_or("head")).map_err(wrong)? {
        Target::Relative(steps) => Err(wrong(format!(
            "{steps:+} would go further with each restart; write a revision here, or {steps:+} on the command line"
        ))),
        target => Ok(target),
    }
}

fn patience(flags: &Flags, raw: &RawEnvironment) -> Result<WaitPolicy, Cause> {
    let seconds = Duration::from_secs;
    let total = pick(&flags.wait_timeout, "--wait-timeout", &raw.lockkeeper_wait_timeout, "LOCKKEEPER_WAIT_TIMEOUT");
    let attempt = pick(
        &flags.connect_timeout,
        "--connect-timeout",
        &raw.lockkeeper_connect_timeout,
        "LOCKKEEPER_CONNECT_TIMEOUT",
    );
    let grace = pick(&flags.auth_grace, "--auth-grace", &raw.lockkeeper_auth_grace, "LOCKKEEPER_AUTH_GRACE");
    let attempt_time = time(attempt, seconds(5))?;
    Ok(WaitPolicy {
        total: time(total, seconds(60))?,
        attempt: attempt_time.max(Duration::from_millis(10)),
        grace: time(grace, seconds(10))?,
        missing: if flags.create_database { MissingDatabase::Create } else { MissingDatabase::Refuse },
    })
}

fn ahead(flags: &Flags, raw: &RawEnvironment) -> Result<AheadPolicy, Cause> {
    let variable = truth(raw.lockkeeper_strict.as_deref(), "LOCKKEEPER_STRICT")?;
    Ok(if flags.strict || variable { AheadPolicy::Fail } else { AheadPolicy::Warn })
}

fn truth(value: Option<&str>, name: &str) -> Result<bool, Cause> {
    match value {
        None | Some("false" | "0" | "no" | "off") => Ok(false),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some(_) => Err(Cause::Config(format!("{name}: write true or false"))),
    }
}

/// `table` or `schema.table`.
fn history_name(setting: Option<Setting>) -> Result<HistoryName, Cause> {
    let Some(setting) = setting else {
        return Ok(HistoryName { schema: None, table: "lockkeeper_history".into() });
    };
    let (schema, table) = match setting.value.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, setting.value.as_str()),
    };
    // PostgreSQL cuts longer names off without an error (manual, 4.1.1).
    let fits = |name: &str| (1..=63).contains(&name.len()) && !name.contains(['.', '\0']);
    if !fits(table) || !schema.is_none_or(fits) {
        return Err(setting.refused("write table or schema.table, each of 1 to 63 bytes"));
    }
    Ok(HistoryName { schema: schema.map(Into::into), table: table.into() })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
