//! The process's variables: ours and libpq's, as they are, and what has to be known before everything else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tracing::Level;

use super::settings::{limit, pick};
use crate::cli::Flags;
use crate::error::Cause;
use crate::report::{Colour, Format, LogStyle};

/// The variables as they are; envy fills it, every field by its name in lower case.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Raw {
    pub(super) database_url: Option<String>,
    pub(super) database_url_file: Option<String>,
    pub(super) database_password: Option<String>,
    pub(super) database_password_file: Option<String>,
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
    pub(super) lockkeeper_backup_timeout: Option<String>,
    pub(super) lockkeeper_pg_dump: Option<String>,
    pub(super) lockkeeper_strict: Option<String>,
    pub(super) lockkeeper_history_table: Option<String>,
    pub(super) lockkeeper_termination_log: Option<String>,
    pub(super) lockkeeper_log: Option<String>,
    pub(super) lockkeeper_log_format: Option<String>,
    /// Everything else that begins like ours, in lower case.
    #[serde(flatten)]
    unknown: HashMap<String, String>,
}

/// The process's variables: those of ours that are set and not empty, and libpq's.
#[derive(Debug, Default)]
pub struct Environment {
    pub(super) raw: Raw,
    pub(super) libpq: HashMap<String, String>,
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
        Ok(LogStyle { level, format, colour: Colour::on(&std::io::stderr()) })
    }

    /// The deadline of the whole run. It has to be known before any file is read.
    ///
    /// # Errors
    /// A duration that cannot be read.
    pub fn deadline(&self, flags: &Flags) -> Result<Option<Duration>, Cause> {
        let variable = &self.raw.lockkeeper_deadline;
        limit(pick(&flags.deadline, "--deadline", variable, "LOCKKEEPER_DEADLINE"))
    }

    /// Variables that look like settings of ours and are none: mostly typing errors. What Kubernetes sets for a service
    /// named lockkeeper is left out.
    pub fn unknown(&self) -> Vec<String> {
        let is_link =
            |name: &str| name.contains("_service_") || name.ends_with("_port") || name.contains("_port_");
        let names = self.raw.unknown.keys().filter(|name| name.starts_with("lockkeeper_") && !is_link(name));
        let mut names: Vec<String> = names.map(|name| name.to_uppercase()).collect();
        names.sort();
        names
    }

    /// Where the termination message goes.
    pub fn termination_log(&self) -> Option<PathBuf> {
        let default = Path::new("/dev/termination-log");
        let given = self.raw.lockkeeper_termination_log.as_ref().map(PathBuf::from);
        given.or_else(|| default.exists().then(|| default.to_owned()))
    }
}
