//! Lockkeeper's and libpq's environment variables as they are set, and the settings that are needed before all others.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tracing::Level;

use super::env_file::EnvFile;
use super::missing::{WANTED, misspelt, nearest};
use super::settings::pick;
use crate::cli::Flags;
use crate::error::Cause;
use crate::report::{Colour, LogFormat, LogStyle};

/// The values of Lockkeeper's variables. The crate envy fills each field from the variable of its name in upper case.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawEnvironment {
    pub(super) database_url: Option<String>,
    pub(super) database_url_file: Option<String>,
    pub(super) database_password: Option<String>,
    pub(super) database_password_file: Option<String>,
    pub(super) database_pool_size: Option<String>,
    pub(super) database_max_overflow: Option<String>,
    pub(super) lockkeeper_direct_url: Option<String>,
    pub(super) lockkeeper_direct_url_file: Option<String>,
    pub(super) lockkeeper_dir: Option<String>,
    pub(super) lockkeeper_target: Option<String>,
    pub(super) lockkeeper_wait_timeout: Option<String>,
    pub(super) lockkeeper_connect_timeout: Option<String>,
    pub(super) lockkeeper_auth_grace: Option<String>,
    pub(super) lockkeeper_lock_timeout: Option<String>,
    pub(super) lockkeeper_ddl_lock_timeout: Option<String>,
    pub(super) lockkeeper_ddl_retries: Option<String>,
    pub(super) lockkeeper_statement_timeout: Option<String>,
    pub(super) lockkeeper_deadline: Option<String>,
    pub(super) lockkeeper_shutdown_grace: Option<String>,
    pub(super) lockkeeper_backup: Option<String>,
    pub(super) lockkeeper_on_failure: Option<String>,
    pub(super) lockkeeper_rehearse: Option<String>,
    pub(super) lockkeeper_backup_dir: Option<String>,
    pub(super) lockkeeper_backup_keep: Option<String>,
    pub(super) lockkeeper_backup_jobs: Option<String>,
    pub(super) lockkeeper_backup_compress: Option<String>,
    pub(super) lockkeeper_backup_timeout: Option<String>,
    pub(super) lockkeeper_backup_command: Option<String>,
    pub(super) lockkeeper_backup_base_command: Option<String>,
    pub(super) lockkeeper_backup_max_size: Option<String>,
    pub(super) lockkeeper_backup_max_time: Option<String>,
    pub(super) lockkeeper_pg_dump: Option<String>,
    pub(super) lockkeeper_strict: Option<String>,
    pub(super) lockkeeper_history_table: Option<String>,
    pub(super) lockkeeper_layout: Option<String>,
    pub(super) lockkeeper_termination_log: Option<String>,
    pub(super) lockkeeper_log: Option<String>,
    pub(super) lockkeeper_log_format: Option<String>,
    /// Other variables that begin with one of Lockkeeper's prefixes; the keys are in lower case.
    #[serde(flatten)]
    unknown: HashMap<String, String>,
}

/// The variables that take effect: Lockkeeper's variables that are set and not empty, and libpq's. The process's
/// variables have precedence over those of the file.
#[derive(Debug, Default)]
pub struct Environment {
    /// Lockkeeper's variables.
    pub(super) raw: RawEnvironment,
    /// libpq's variables and `USER` and `HOME`, by name.
    pub(super) libpq: HashMap<String, String>,
    /// The error message for a missing database URL.
    pub(super) hint: String,
    /// The path of the environment file, and the names of the variables that were taken from it.
    from_file: (PathBuf, Vec<String>),
}

/// The program or library that a variable belongs to.
#[derive(PartialEq, Eq)]
enum VariableOwner {
    /// A variable of Lockkeeper.
    Ours,
    /// A variable of libpq.
    Libpq,
    /// A variable that libpq uses too, but that describes the process: the value in a file is ignored.
    Process,
    /// A variable of another program.
    Others,
}

impl VariableOwner {
    /// Returns the owner of the variable with this name.
    fn from_name(name: &str) -> VariableOwner {
        match name {
            "USER" | "HOME" => VariableOwner::Process,
            name if name.starts_with("DATABASE_") || name.starts_with("LOCKKEEPER_") => VariableOwner::Ours,
            name if name.starts_with("PG") => VariableOwner::Libpq,
            _ => VariableOwner::Others,
        }
    }
}

/// The variables that name the database.
const URL_VARIABLES: &[&str] =
    &["DATABASE_URL", "DATABASE_URL_FILE", "LOCKKEEPER_DIRECT_URL", "LOCKKEEPER_DIRECT_URL_FILE"];
/// Groups of variables that set the same thing: if the process's environment sets one of a group, those of the file are
/// ignored.
const ALTERNATIVES: [&[&str]; 2] = [URL_VARIABLES, &["DATABASE_PASSWORD", "DATABASE_PASSWORD_FILE"]];

impl Environment {
    /// Selects the variables of Lockkeeper and libpq; service links (`DB_PORT=tcp://...`) and all others are ignored.
    /// The process's environment has precedence over the file.
    ///
    /// # Errors
    /// Fails when a variable of Lockkeeper or libpq is not UTF-8.
    pub fn read(process: impl Iterator<Item = (OsString, OsString)>, mut file: EnvFile) -> Result<Environment, Cause> {
        let mut variables = HashMap::new();
        for (name, value) in process {
            let Some(name) = name.to_str() else { continue };
            match value.into_string() {
                Ok(value) => drop(variables.insert(name.to_owned(), value)),
                Err(_) if VariableOwner::from_name(name) == VariableOwner::Others => {}
                Err(_) => return Err(Cause::Config(format!("{name} is not UTF-8"))),
            }
        }
        let all_variables = variables.iter().chain(file.variables.iter().map(|(name, value)| (name, value)));
        let hint = hint(all_variables.map(|(name, value)| (name.as_str(), value.as_str())));
        let doubtful_hint = doubtful_url_hint(&variables, &file);
        if doubtful_hint.is_some() {
            file.variables.retain(|(name, _)| !URL_VARIABLES.contains(&name.as_str()));
        }
        let hint = doubtful_hint.unwrap_or(hint);
        variables.retain(|name, value| !value.is_empty() && VariableOwner::from_name(name) != VariableOwner::Others);
        let mut names = Vec::new();
        for (name, value) in expand_file_variables(file.variables, &variables) {
            names.push(name.clone());
            variables.insert(name, value);
        }
        names.sort();
        let (own_variables, libpq) =
            variables.into_iter().partition(|(name, _)| VariableOwner::from_name(name) == VariableOwner::Ours);
        let own_variables: HashMap<String, String> = own_variables;
        // Every field is an optional string: envy can refuse no value, and so print none.
        let raw = envy::from_iter(own_variables).map_err(|_| Cause::Config("the environment cannot be read".into()))?;
        Ok(Environment { raw, libpq, hint, from_file: (file.path, names) })
    }

    /// Returns a log line with the path of the environment file and the names, never the values, of the variables taken
    /// from it; `None` if there are none.
    pub fn taken_from_file(&self) -> Option<String> {
        let (path, names) = &self.from_file;
        (!names.is_empty()).then(|| format!("read from {}: {}", path.display(), names.join(", ")))
    }

    /// Returns the level, the format and the colours of the log.
    ///
    /// # Errors
    /// Fails when the level or the format is unknown.
    pub fn log_style(&self, flags: &Flags) -> Result<LogStyle, Cause> {
        let terminal = std::io::stderr().is_terminal();
        let level = pick(&flags.log, "--log", &self.raw.lockkeeper_log, "LOCKKEEPER_LOG");
        let format = pick(&flags.log_format, "--log-format", &self.raw.lockkeeper_log_format, "LOCKKEEPER_LOG_FORMAT");
        let level = match level.as_ref().map_or("info", |setting| setting.value.as_str()) {
            "error" => Some(Level::ERROR),
            "warn" => Some(Level::WARN),
            "info" => Some(Level::INFO),
            "debug" => Some(Level::DEBUG),
            "off" => None,
            _ => {
                return Err(level.expect("the default is known").refused("write error, warn, info, debug or off"));
            }
        };
        let format = match format.as_ref().map_or("auto", |setting| setting.value.as_str()) {
            "auto" if terminal => LogFormat::Text,
            "auto" | "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _ => return Err(format.expect("the default is known").refused("write auto, text or json")),
        };
        Ok(LogStyle { level, format, colour: Colour::on(&std::io::stderr()) })
    }

    /// Returns the variables that have a prefix of Lockkeeper's and are no setting, sorted: most are typing errors. The
    /// variables that Kubernetes sets for a service named lockkeeper are left out.
    pub fn unknown(&self) -> Vec<String> {
        let is_link = |name: &str| name.contains("_service_") || name.ends_with("_port") || name.contains("_port_");
        let names = self.raw.unknown.keys().filter(|name| name.starts_with("lockkeeper_") && !is_link(name));
        let mut names: Vec<String> = names.map(|name| name.to_uppercase()).collect();
        names.sort();
        names
    }

    /// Returns the path of the file for the termination message, if there is one.
    pub fn termination_log(&self) -> Option<PathBuf> {
        let default = Path::new("/dev/termination-log");
        let given = self.raw.lockkeeper_termination_log.as_ref().map(PathBuf::from);
        given.or_else(|| default.exists().then(|| default.to_owned()))
    }
}

/// Returns the variables of a file that are not overridden by the process's. If a name occurs twice, the last value
/// counts.
fn expand_file_variables(
    variables: Vec<(String, String)>,
    process: &HashMap<String, String>,
) -> HashMap<String, String> {
    let is_set = |name: &str| {
        let group = ALTERNATIVES.iter().find(|group| group.contains(&name));
        group.map_or_else(|| process.contains_key(name), |group| group.iter().any(|name| process.contains_key(*name)))
    };
    let is_relevant = |name: &str| matches!(VariableOwner::from_name(name), VariableOwner::Ours | VariableOwner::Libpq);
    let mut expanded: HashMap<String, String> = variables.into_iter().filter(|(name, _)| is_relevant(name)).collect();
    expanded.retain(|name, value| !value.is_empty() && !is_set(name));
    expanded
}

/// Returns the reason why the database URL of the file is ignored: the environment apparently should name another
/// database, but its variable is empty or misspelt.
fn doubtful_url_hint(process: &HashMap<String, String>, file: &EnvFile) -> Option<String> {
    let is_set = |name: &&str| process.get(*name).is_some_and(|value| !value.is_empty());
    let has_url =
        file.variables.iter().any(|(name, value)| URL_VARIABLES.contains(&name.as_str()) && !value.is_empty());
    if !has_url || URL_VARIABLES.iter().any(is_set) {
        return None;
    }
    let path = file.path.display();
    if let Some(empty) = WANTED.iter().find(|name| process.contains_key(**name)) {
        return Some(format!(
            "{empty} is empty in the environment, which goes before {path}: unset it there, or give it a value"
        ));
    }
    let names = process.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    misspelt(names).map(|name| {
        format!(
            "DATABASE_URL is not set in the environment, but {name} is: if that is the database URL, name it \
             DATABASE_URL; otherwise unset it, so that {path} counts"
        )
    })
}

/// Returns the error message for a missing database URL, with advice; nothing if there is one, since names are compared
/// letter by letter for it.
fn hint<'v>(variables: impl Iterator<Item = (&'v str, &'v str)> + Clone) -> String {
    if variables.clone().any(|(name, value)| WANTED.contains(&name) && !value.is_empty()) {
        return String::new();
    }
    let is_set = |prefix: &str| variables.clone().any(|(name, value)| name == prefix && !value.is_empty());
    let is_empty = variables.clone().any(|(name, value)| name == "DATABASE_URL" && value.is_empty());
    let missing = if is_empty { "DATABASE_URL is empty" } else { "DATABASE_URL is not set" };
    match nearest(variables.clone()) {
        Some(name) => format!("{missing}, but {name} is: if that is the database URL, name it DATABASE_URL"),
        None if is_set("PGHOST") || is_set("PGDATABASE") => {
            format!("{missing}: DATABASE_URL=postgresql:// uses the PG* variables that are set")
        }
        None => format!(
            "{missing}: write DATABASE_URL=sqlite:///./app.db or DATABASE_URL=postgresql://user@host:5432/database into the environment or a file .env"
        ),
    }
}
