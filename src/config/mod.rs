//! Validates the flags and the environment: [`ProcessConfig`] has the settings of the process, [`DatabaseConfig`] those
//! of a database. A wrong setting is refused, never guessed.

mod backup;
mod backup_commands;
mod backup_jobs;
mod backup_keep;
mod backup_place;
mod backup_ways;
mod env_file;
mod environment;
mod layout;
mod missing;
mod pool;
mod process;
mod settings;
mod url_source;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use backup::{BackupBudget, BackupPolicy};
pub(crate) use backup_jobs::BackupJobs;
pub(crate) use backup_keep::BackupKeep;
pub(crate) use backup_place::BackupPlace;
pub(crate) use backup_ways::{BackupWay, BackupWays};
pub use env_file::EnvFile;
pub use environment::Environment;
use environment::RawEnvironment;
pub use process::ProcessConfig;
use settings::{Setting, number, pick, time};
pub(crate) use url_source::DatabaseUrlSource;

use crate::cli::Flags;
use crate::database::{HistoryName, SessionLimits};
use crate::dialect::Dialect;
use crate::directory::ListedDir;
use crate::error::Cause;
use crate::layout::{Layout, LayoutChoice};
use crate::revision::Target;

/// The settings of one database and of the runs on it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The source of the database URL and the password.
    pub database: DatabaseUrlSource,
    /// The server and the database, or the file, without secrets; `None` for a command without a database.
    pub shown: Option<String>,
    /// The dialect of the migrations.
    pub(crate) dialect: Dialect,
    /// The migration directory.
    pub(crate) dir: PathBuf,
    /// The entries of the directory, until its files are read.
    listed: Arc<Mutex<Option<ListedDir>>>,
    /// The configured target of an upgrade.
    pub(crate) target: Target,
    /// The time limits of the wait for readiness.
    pub(crate) wait_policy: WaitPolicy,
    /// The longest wait for the lock.
    pub(crate) lock_timeout: Duration,
    /// The time limits of statements and locks.
    pub(crate) limits: SessionLimits,
    /// The number of retries of a migration that could not lock its tables in time.
    pub(crate) retries: u32,
    /// The settings of backups.
    pub(crate) backup: BackupPolicy,
    /// The action after a failed migration.
    pub(crate) on_failure: OnFailure,
    /// The choice of a rehearsal before the migration.
    pub(crate) rehearse: RehearsalMode,
    /// The treatment of unknown revisions in the database.
    pub(crate) ahead: AheadPolicy,
    /// The choice of the layout of the migration directory.
    pub(crate) layout_choice: LayoutChoice,
    /// The layout of the migration directory.
    pub(crate) layout: &'static dyn Layout,
    /// The reason why the directory is of that layout, if it is the directory that decides.
    layout_reason: Option<String>,
    /// True if only the tables of the database can tell which layout the directory has.
    pub(crate) layout_is_undecided: bool,
    /// The name of the history table.
    pub history: HistoryName,
    /// The name of the history table in the settings; `None` is the usual name of the layout.
    history_setting: Option<layout::TableName>,
    /// The target of an upgrade in the settings.
    target_setting: Option<String>,
    /// The largest number of sessions that read at the same time; `None` without a bound.
    pub(crate) session_limit: Option<usize>,
    /// The host or pod name, for the history.
    pub(crate) applied_by: String,
}

/// The time limits of the wait for readiness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPolicy {
    /// The longest wait in total.
    pub(crate) total: Duration,
    /// The longest time for one attempt: DNS, TCP, TLS and login together.
    pub(crate) attempt: Duration,
    /// The longest time for which a refused login or a missing database is retried.
    pub(crate) grace: Duration,
    /// The treatment of a missing database.
    pub(crate) missing: MissingDatabase,
}

/// The action when the PostgreSQL database does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingDatabase {
    /// Fail.
    Refuse,
    /// Create the database.
    Create,
}

/// The treatment of revisions in the database that the directory does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AheadPolicy {
    /// Log a warning.
    Warn,
    /// Fail.
    Fail,
}

/// The action after a failed migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Keep the database as it is.
    Keep,
    /// SQLite: restore the backup.
    Restore,
}

/// The choice of a run of the pending revisions on a copy of the backup first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RehearsalMode {
    /// No rehearsal.
    No,
    /// A rehearsal before the migration.
    Yes,
}

/// The knowledge of the database that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseNeed {
    /// The database URL.
    Url,
    /// The dialect of the migrations: from the URL, unless the directory has subdirectories for dialects.
    Dialect,
    /// Nothing.
    Nothing,
}

impl DatabaseConfig {
    /// Validates all settings.
    ///
    /// # Errors
    /// Fails at the first wrong setting and names it, or when a needed database URL is missing.
    pub fn new(flags: &Flags, environment: Environment, need: DatabaseNeed) -> Result<DatabaseConfig, Cause> {
        let Environment { raw, libpq, hint, .. } = environment;
        let mut database = DatabaseUrlSource::new(flags, &raw, libpq, hint)?;
        let dir = dir(pick(&flags.dir, "--dir", &raw.lockkeeper_dir, "LOCKKEEPER_DIR"));
        let url = database.resolve_for(need, &dir)?;
        database.plan_for(url.dialect());
        let layout_choice = layout::choice(flags, &raw)?;
        let listed = layout::list(&dir, url.dialect(), layout_choice, need)?;
        let detected = layout::detected(listed.as_ref(), layout_choice);
        let history_setting = layout::table_name(flags, &raw)?;
        let limits = limits(flags, &raw)?;
        let backup = backup::policy(flags, &raw, &url)?;
        Ok(DatabaseConfig {
            dialect: url.dialect(),
            shown: (need == DatabaseNeed::Url).then(|| url.place()),
            dir,
            listed: Arc::new(Mutex::new(listed)),
            target: target(raw.lockkeeper_target.as_deref(), detected.layout)?,
            target_setting: raw.lockkeeper_target.clone(),
            wait_policy: wait_policy(flags, &raw)?,
            lock_timeout: limits.busy,
            limits,
            retries: retries(flags, &raw)?,
            on_failure: backup::on_failure(flags, &raw, &url, &backup.ways)?,
            rehearse: backup::rehearse(flags, &raw, &backup.ways)?,
            backup,
            ahead: ahead(flags, &raw)?,
            layout_choice,
            layout: detected.layout,
            layout_reason: detected.reason.clone(),
            layout_is_undecided: detected.is_undecided,
            history: layout::history_name(history_setting.as_ref(), &detected),
            history_setting,
            session_limit: pool::session_limit(&raw.database_pool_size, &raw.database_max_overflow)?,
            applied_by: host_name(),
            database,
        })
    }
}

impl DatabaseConfig {
    /// Returns the settings with the layout that the database has chosen by its tables.
    ///
    /// # Errors
    /// Fails if the configured target is none in that layout.
    pub(crate) fn with_layout(&self, layout: &'static dyn Layout) -> Result<DatabaseConfig, Cause> {
        let layout_choice = LayoutChoice::Named(layout);
        let listed = layout::list(&self.dir, self.dialect, layout_choice, DatabaseNeed::Url)?;
        let detected = layout::detected(listed.as_ref(), layout_choice);
        Ok(DatabaseConfig {
            listed: Arc::new(Mutex::new(listed)),
            layout_choice,
            layout,
            layout_is_undecided: false,
            history: layout::history_name(self.history_setting.as_ref(), &detected),
            target: target(self.target_setting.as_deref(), layout)?,
            ..self.clone()
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

/// Returns the migration directory: the configured one, or `migrations` if it exists, or `/migrations`.
fn dir(setting: Option<Setting>) -> PathBuf {
    match setting {
        Some(setting) => setting.value.into(),
        None if Path::new("migrations").exists() => "migrations".into(),
        None => "/migrations".into(),
    }
}

/// Parses the configured target. A relative one is refused, because each restart would repeat it.
fn target(variable: Option<&str>, layout: &dyn Layout) -> Result<Target, Cause> {
    let invalid = |reason: String| Cause::Config(format!("LOCKKEEPER_TARGET: {reason}"));
    match Target::parse(variable.unwrap_or("head"), |text| layout.version(text)).map_err(invalid)? {
        Target::Relative(steps) => Err(invalid(format!(
            "{steps:+} would go further with each restart; write a revision here, or {steps:+} on the command line"
        ))),
        target => Ok(target),
    }
}

/// Reads the limits of the wait for readiness.
fn wait_policy(flags: &Flags, raw: &RawEnvironment) -> Result<WaitPolicy, Cause> {
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
    let variable = parse_bool(raw.lockkeeper_strict.as_deref(), "LOCKKEEPER_STRICT")?;
    Ok(if flags.strict || variable { AheadPolicy::Fail } else { AheadPolicy::Warn })
}

/// Parses a boolean variable; it is false if it is not set.
fn parse_bool(value: Option<&str>, name: &str) -> Result<bool, Cause> {
    match value {
        None | Some("false" | "0" | "no" | "off") => Ok(false),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some(_) => Err(Cause::Config(format!("{name}: write true or false"))),
    }
}

/// Returns the host name, which is the pod's name on Kubernetes.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
