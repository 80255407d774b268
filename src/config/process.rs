//! The settings of the process, which all its runs share.

use std::time::Duration;

use super::Environment;
use super::settings::{limit, pick, time};
use crate::cli::Flags;
use crate::error::Cause;

/// The settings that do not belong to a database. The style of the log and the file of the termination message are read
/// before these, so that a wrong setting can be reported: see [`Environment::log_style`] and
/// [`Environment::termination_log`].
#[derive(Clone, Copy, Debug)]
pub struct ProcessConfig {
    /// The overall deadline, if there is one.
    pub deadline: Option<Duration>,
    /// The longest time from a signal or the deadline to the end of the runs.
    pub grace: Duration,
}

impl ProcessConfig {
    /// Validates the settings. No file is read, so that the deadline is known before anything that may block.
    ///
    /// # Errors
    /// Fails when a duration cannot be parsed.
    pub fn new(flags: &Flags, environment: &Environment) -> Result<ProcessConfig, Cause> {
        let raw = &environment.raw;
        let deadline = pick(&flags.deadline, "--deadline", &raw.lockkeeper_deadline, "LOCKKEEPER_DEADLINE");
        let (flag, variable) = ("--shutdown-grace", "LOCKKEEPER_SHUTDOWN_GRACE");
        let grace = pick(&flags.shutdown_grace, flag, &raw.lockkeeper_shutdown_grace, variable);
        Ok(ProcessConfig { deadline: limit(deadline)?, grace: time(grace, Duration::from_secs(8))? })
    }
}
