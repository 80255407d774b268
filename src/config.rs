//! Raw flags and environment -> one validated [`Config`]. Refuses, never guesses.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tracing::Level;

use crate::cli::Flags;
use crate::database::url::{self, Place, Secret, Target as Url};
use crate::database::{HistoryName, Identity, Limits};
use crate::error::Cause;
use crate::report::{Colour, Format, LogStyle};
use crate::revision::script::duration;
use crate::revision::{Dialect, Target};

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Config {
    pub database: Locator,
    pub dialect: Dialect,
    pub dir: PathBuf,
    pub target: Target,
    pub patience: Patience,
    pub lock_timeout: Duration,
    pub limits: Limits,
    pub retries: u32,
    pub deadline: Option<Duration>,
    pub grace: Duration,
    pub backup: BackupPolicy,
    pub ahead: Ahead,
    pub history: HistoryName,
    /// Host or pod name, for the history.
    pub applied_by: String,
}

/// How long readiness is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub total: Duration,
    /// One attempt: DNS, TCP, TLS and login together.
    pub attempt: Duration,
    /// How long a refused login or a missing database may still turn good.
    pub grace: Duration,
    pub missing: Missing,
}

/// What is done when the PostgreSQL database does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Refuse,
    Create,
}

/// What revisions in the database that the folder does not know mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    Warn,
    Fail,
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

/// Where the database is. Files are read again at each attempt: secrets rotate.
#[derive(Debug)]
pub struct Locator {
    url: Source,
    password: Option<Source>,
    libpq: HashMap<String, String>,
}

#[derive(Debug)]
enum Source {
    Text { name: &'static str, value: Secret },
    File { name: &'static str, path: PathBuf },
}

/// The variables as they are; envy fills it, every field by its name in lower case.
#[derive(Debug, Default, Deserialize)]
struct Raw {
    database_url: Option<String>,
    database_url_file: Option<String>,
    database_password: Option<String>,
    database_password_file: Option<String>,
    lockkeeper_direct_url: Option<String>,
    lockkeeper_direct_url_file: Option<String>,
    lockkeeper_dir: Option<String>,
    lockkeeper_target: Option<String>,
    lockkeeper_wait_timeout: Option<String>,
    lockkeeper_connect_timeout: Option<String>,
    lockkeeper_auth_grace: Option<String>,
    lockkeeper_lock_timeout: Option<String>,
    lockkeeper_ddl_lock_timeout: Option<String>,
    lockkeeper_ddl_retries: Option<String>,
    lockkeeper_statement_timeout: Option<String>,
    lockkeeper_deadline: Option<String>,
    lockkeeper_shutdown_grace: Option<String>,
    lockkeeper_backup: Option<String>,
    lockkeeper_backup_dir: Option<String>,
    lockkeeper_backup_keep: Option<String>,
    lockkeeper_backup_timeout: Option<String>,
    lockkeeper_pg_dump: Option<String>,
    lockkeeper_strict: Option<String>,
    lockkeeper_history_table: Option<String>,
    lockkeeper_termination_log: Option<String>,
    lockkeeper_log: Option<String>,
    lockkeeper_log_format: Option<String>,
}

/// The process's variables: those of ours that are set and not empty, and libpq's.
#[derive(Debug, Default)]
pub struct Environment {
    raw: Raw,
    libpq: HashMap<String, String>,
}

impl Environment {
    /// Takes the variables that concern us; service links (`DB_PORT=tcp://...`) and all others are not looked at.
    ///
    /// # Errors
    /// One of ours that is not UTF-8.
    pub fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Environment, Cause> {
        let mut ours = Vec::new();
        let mut libpq = HashMap::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let is_ours = name.starts_with("DATABASE_") || name.starts_with("LOCKKEEPER_");
            let is_libpq = name.starts_with("PG") || matches!(name, "USER" | "HOME");
            if !is_ours && !is_libpq {
                continue;
            }
            let value = value.to_str().ok_or_else(|| Cause::Config(format!("{name} is not UTF-8")))?;
            if value.is_empty() {
                continue;
            }
            match is_ours {
                true => ours.push((name.to_owned(), value.to_owned())),
                false => drop(libpq.insert(name.to_owned(), value.to_owned())),
            }
        }
        // Every field is an optional string: there is no value that envy could refuse, and so none that it could print.
        let raw =
            envy::from_iter(ours).map_err(|_| Cause::Config("the environment cannot be read".into()))?;
        Ok(Environment { raw, libpq })
    }

    /// How the log looks.
    ///
    /// # Errors
    /// A level or format that there is not.
    pub fn log_style(&self, flags: &Flags) -> Result<LogStyle, Cause> {
        let terminal = std::io::stderr().is_terminal();
        let level = pick(&flags.log, "--log", &self.raw.lockkeeper_log, "LOCKKEEPER_LOG");
        let format =
            pick(&flags.log_format, "--log-format", &self.raw.lockkeeper_log_format, "LOCKKEEPER_LOG_FORMAT");
        let level = match level.as_ref().map_or("info", |setting| setting.value.as_str()) {
            "error" => Some(Level::ERROR),
            "warn" => Some(Level::WARN),
            "info" => Some(Level::INFO),
            "debug" => Some(Level::DEBUG),
            "off" => None,
            _ => {
                return Err(level
                    .expect("the default is known")
                    .refused("write error, warn, info, debug or off"));
            }
        };
        let format = match format.as_ref().map_or("auto", |setting| setting.value.as_str()) {
            "auto" if terminal => Format::Text,
            "auto" | "json" => Format::Json,
            "text" => Format::Text,
            _ => return Err(format.expect("the default is known").refused("write auto, text or json")),
        };
        let plain = !terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(LogStyle { level, format, colour: if plain { Colour::Plain } else { Colour::Ansi } })
    }

    /// Where the termination message goes.
    pub fn termination_log(&self) -> Option<PathBuf> {
        let default = Path::new("/dev/termination-log");
        let given = self.raw.lockkeeper_termination_log.as_ref().map(PathBuf::from);
        given.or_else(|| default.exists().then(|| default.to_owned()))
    }
}

/// A value and what set it.
struct Setting {
    origin: &'static str,
    value: String,
}

impl Setting {
    fn refused(&self, reason: &str) -> Cause {
        let message = format!("{}: {reason}", self.origin);
        if self.origin.starts_with('-') { Cause::Usage(message) } else { Cause::Config(message) }
    }
}

/// Flags go before variables.
fn pick(
    flag: &Option<String>,
    flag_name: &'static str,
    variable: &Option<String>,
    variable_name: &'static str,
) -> Option<Setting> {
    let from = |origin, value: &Option<String>| value.clone().map(|value| Setting { origin, value });
    from(flag_name, flag).or_else(|| from(variable_name, variable))
}

/// A time, or its default.
fn time(setting: Option<Setting>, default: Duration) -> Result<Duration, Cause> {
    setting.map_or(Ok(default), |setting| duration(&setting.value).map_err(|reason| setting.refused(&reason)))
}

/// A time that is off when zero.
fn limit(setting: Option<Setting>) -> Result<Option<Duration>, Cause> {
    time(setting, Duration::ZERO).map(|time| Some(time).filter(|time| !time.is_zero()))
}

fn number(setting: Option<Setting>, default: u32, least: u32) -> Result<u32, Cause> {
    setting.map_or(Ok(default), |setting| match setting.value.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => {
            Err(setting.refused(&format!("\"{}\" is not a whole number of at least {least}", setting.value)))
        }
    })
}

impl Config {
    /// Validates everything.
    ///
    /// # Errors
    /// The first setting that is wrong, by its name.
    pub fn new(flags: &Flags, environment: Environment) -> Result<Config, Cause> {
        let Environment { raw, libpq } = environment;
        let database = Locator::new(flags, &raw, libpq)?;
        let url = database.locate()?;
        let seconds = Duration::from_secs;
        let limits_lock = time(
            pick(
                &flags.ddl_lock_timeout,
                "--ddl-lock-timeout",
                &raw.lockkeeper_ddl_lock_timeout,
                "LOCKKEEPER_DDL_LOCK_TIMEOUT",
            ),
            seconds(5),
        )?;
        let lock_timeout = time(
            pick(
                &flags.lock_timeout,
                "--lock-timeout",
                &raw.lockkeeper_lock_timeout,
                "LOCKKEEPER_LOCK_TIMEOUT",
            ),
            seconds(300),
        )?;
        let statement = limit(pick(
            &flags.statement_timeout,
            "--statement-timeout",
            &raw.lockkeeper_statement_timeout,
            "LOCKKEEPER_STATEMENT_TIMEOUT",
        ))?;
        Ok(Config {
            dialect: match &url {
                Url::Postgres(_) => Dialect::Postgres,
                Url::Sqlite(_) => Dialect::Sqlite,
            },
            dir: dir(pick(&flags.dir, "--dir", &raw.lockkeeper_dir, "LOCKKEEPER_DIR")),
            target: target(raw.lockkeeper_target.as_deref())?,
            patience: patience(flags, &raw)?,
            lock_timeout,
            limits: Limits {
                lock: limits_lock,
                statement: statement.unwrap_or_default(),
                busy: lock_timeout,
            },
            retries: number(
                pick(
                    &flags.ddl_retries,
                    "--ddl-retries",
                    &raw.lockkeeper_ddl_retries,
                    "LOCKKEEPER_DDL_RETRIES",
                ),
                8,
                0,
            )?,
            deadline: limit(pick(
                &flags.deadline,
                "--deadline",
                &raw.lockkeeper_deadline,
                "LOCKKEEPER_DEADLINE",
            ))?,
            grace: time(
                pick(
                    &flags.shutdown_grace,
                    "--shutdown-grace",
                    &raw.lockkeeper_shutdown_grace,
                    "LOCKKEEPER_SHUTDOWN_GRACE",
                ),
                seconds(8),
            )?,
            backup: backup_policy(flags, &raw, &url)?,
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

fn dir(setting: Option<Setting>) -> PathBuf {
    match setting {
        Some(setting) => setting.value.into(),
        None if Path::new("migrations").exists() => "migrations".into(),
        None => "/migrations".into(),
    }
}

fn target(variable: Option<&str>) -> Result<Target, Cause> {
    Target::parse(variable.unwrap_or("head"))
        .map_err(|reason| Cause::Config(format!("LOCKKEEPER_TARGET: {reason}")))
}

fn patience(flags: &Flags, raw: &Raw) -> Result<Patience, Cause> {
    let seconds = Duration::from_secs;
    let total =
        pick(&flags.wait_timeout, "--wait-timeout", &raw.lockkeeper_wait_timeout, "LOCKKEEPER_WAIT_TIMEOUT");
    let attempt = pick(
        &flags.connect_timeout,
        "--connect-timeout",
        &raw.lockkeeper_connect_timeout,
        "LOCKKEEPER_CONNECT_TIMEOUT",
    );
    let grace = pick(&flags.auth_grace, "--auth-grace", &raw.lockkeeper_auth_grace, "LOCKKEEPER_AUTH_GRACE");
    let attempt_time = time(attempt, seconds(5))?;
    Ok(Patience {
        total: time(total, seconds(60))?,
        attempt: attempt_time.max(Duration::from_millis(10)),
        grace: time(grace, seconds(10))?,
        missing: if flags.create_database { Missing::Create } else { Missing::Refuse },
    })
}

fn backup_policy(flags: &Flags, raw: &Raw, url: &Url) -> Result<BackupPolicy, Cause> {
    let mode = pick(&flags.backup, "--backup", &raw.lockkeeper_backup, "LOCKKEEPER_BACKUP");
    let dir = pick(&flags.backup_dir, "--backup-dir", &raw.lockkeeper_backup_dir, "LOCKKEEPER_BACKUP_DIR");
    let keep =
        pick(&flags.backup_keep, "--backup-keep", &raw.lockkeeper_backup_keep, "LOCKKEEPER_BACKUP_KEEP");
    let timeout = pick(
        &flags.backup_timeout,
        "--backup-timeout",
        &raw.lockkeeper_backup_timeout,
        "LOCKKEEPER_BACKUP_TIMEOUT",
    );
    let pg_dump = pick(&flags.pg_dump, "--pg-dump", &raw.lockkeeper_pg_dump, "LOCKKEEPER_PG_DUMP");
    Ok(BackupPolicy {
        mode: match mode.as_ref().map_or("required", |setting| setting.value.as_str()) {
            "required" => BackupMode::Required,
            "off" => BackupMode::Off,
            _ => return Err(mode.expect("the default is known").refused("write required or off")),
        },
        dir: dir.map_or_else(|| default_backup_dir(url), |setting| setting.value.into()),
        keep: number(keep, 5, 1)? as usize,
        timeout: limit(timeout)?,
        pg_dump: pg_dump.map(|setting| setting.value.into()),
    })
}

fn default_backup_dir(url: &Url) -> PathBuf {
    match url {
        Url::Sqlite(url::Sqlite { place: Place::File(path) }) => path.with_file_name("backups"),
        _ if Path::new("/backups").exists() => "/backups".into(),
        _ => "backups".into(),
    }
}

fn ahead(flags: &Flags, raw: &Raw) -> Result<Ahead, Cause> {
    let variable = match raw.lockkeeper_strict.as_deref() {
        None | Some("false" | "0" | "no" | "off") => Ahead::Warn,
        Some("true" | "1" | "yes" | "on") => Ahead::Fail,
        Some(_) => return Err(Cause::Config("LOCKKEEPER_STRICT: write true or false".into())),
    };
    Ok(if flags.strict { Ahead::Fail } else { variable })
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

impl Locator {
    fn new(flags: &Flags, raw: &Raw, libpq: HashMap<String, String>) -> Result<Locator, Cause> {
        let direct = Source::new(
            ("LOCKKEEPER_DIRECT_URL", &raw.lockkeeper_direct_url),
            ("LOCKKEEPER_DIRECT_URL_FILE", &raw.lockkeeper_direct_url_file),
        )?;
        let usual =
            Source::new(("DATABASE_URL", &raw.database_url), ("DATABASE_URL_FILE", &raw.database_url_file))?;
        let flag = flags.url.clone().map(|url| Source::Text { name: "--url", value: Secret::new(url) });
        let default = || Source::Text {
            name: "DATABASE_URL",
            value: Secret::new("sqlite:///./data/devops_hub.db".into()),
        };
        Ok(Locator {
            url: flag.or(direct).or(usual).unwrap_or_else(default),
            password: Source::new(
                ("DATABASE_PASSWORD", &raw.database_password),
                ("DATABASE_PASSWORD_FILE", &raw.database_password_file),
            )?,
            libpq,
        })
    }

    /// The database's identity as far as the settings know it.
    ///
    /// # Errors
    /// As [`Locator::locate`].
    pub fn identity(&self) -> Result<Identity, Cause> {
        let (dialect, name) = match self.locate()? {
            Url::Postgres(target) => (Dialect::Postgres, target.database_name().to_owned()),
            Url::Sqlite(url::Sqlite { place: Place::File(path) }) => {
                // Through a link, as the database itself is opened and named.
                let path = path.canonicalize().unwrap_or(path);
                let name = path.file_name().unwrap_or(path.as_os_str());
                (Dialect::Sqlite, name.to_string_lossy().into_owned())
            }
            Url::Sqlite(_) => (Dialect::Sqlite, ":memory:".into()),
        };
        Ok(Identity { dialect, name, version: String::new() })
    }

    /// Reads URL and password as they are now.
    ///
    /// # Errors
    /// A URL that cannot be read, a file that is not there.
    pub fn locate(&self) -> Result<Url, Cause> {
        let text = self.url.read()?;
        let variable = |name: &str| self.libpq.get(name).cloned();
        let mut url = url::parse(text.expose(), &variable).map_err(|error| {
            let message = format!("{}: {error}", self.url.name());
            if self.url.name().starts_with('-') { Cause::Usage(message) } else { Cause::Config(message) }
        })?;
        if let Url::Postgres(target) = &mut url {
            if let Some(password) = &self.password {
                target.password = Some(password.read()?);
            }
            target.user = target.user.take().or_else(|| variable("USER"));
            let home = variable("HOME").map(|home| Path::new(&home).join(".pgpass"));
            target.passfile = target.passfile.take().or(home);
            if let Some(password) = &target.password {
                let user = target.user.clone().unwrap_or_default();
                crate::report::hide(password, &[&user, target.database_name()]);
            }
        }
        Ok(url)
    }
}

impl Source {
    /// A variable or its `_FILE` twin.
    fn new(
        text: (&'static str, &Option<String>),
        file: (&'static str, &Option<String>),
    ) -> Result<Option<Source>, Cause> {
        match (text.1, file.1) {
            (Some(_), Some(_)) => {
                Err(Cause::Config(format!("{} and {} are both set; set one of them", text.0, file.0)))
            }
            (Some(value), None) => Ok(Some(Source::Text { name: text.0, value: Secret::new(value.clone()) })),
            (None, Some(path)) => Ok(Some(Source::File { name: file.0, path: path.into() })),
            (None, None) => Ok(None),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Source::Text { name, .. } | Source::File { name, .. } => name,
        }
    }

    fn read(&self) -> Result<Secret, Cause> {
        match self {
            Source::Text { value, .. } => Ok(value.clone()),
            Source::File { name, path } => {
                let uid = rustix::process::geteuid().as_raw();
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Cause::Secret(format!("{name}: {} cannot be read by uid {uid}: {error}", path.display()))
                })?;
                Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}
