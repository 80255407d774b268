//! Reads one setting from a flag or a variable, as text, a time or a number, and names it when it is refused.

use std::time::Duration;

use crate::duration::parse_duration;
use crate::error::Cause;

/// A value and its origin.
pub(super) struct Setting {
    /// The name of the flag or variable.
    pub(crate) origin: &'static str,
    /// The value as it is written.
    pub(crate) value: String,
}

impl Setting {
    /// Makes the error of a refused value: a usage error for a flag, a configuration error for a variable.
    pub(crate) fn refused(&self, reason: &str) -> Cause {
        let message = format!("{}: {reason}", self.origin);
        if self.origin.starts_with('-') { Cause::Usage(message) } else { Cause::Config(message) }
    }
}

/// Returns the flag if it is given, or else the variable if it is set.
pub(super) fn pick(
    flag: &Option<String>,
    flag_name: &'static str,
    variable: &Option<String>,
    variable_name: &'static str,
) -> Option<Setting> {
    let from = |origin, value: &Option<String>| value.clone().map(|value| Setting { origin, value });
    from(flag_name, flag).or_else(|| from(variable_name, variable))
}

/// Parses a time; returns the default if there is no setting.
pub(super) fn time(setting: Option<Setting>, default: Duration) -> Result<Duration, Cause> {
    setting.map_or(Ok(default), |setting| parse_duration(&setting.value).map_err(|reason| setting.refused(&reason)))
}

/// Parses a time limit; `None` if it is zero or not set.
pub(super) fn limit(setting: Option<Setting>) -> Result<Option<Duration>, Cause> {
    time(setting, Duration::ZERO).map(|time| Some(time).filter(|time| !time.is_zero()))
}

/// Parses a whole number of at least `minimum`; returns the default if there is no setting.
pub(super) fn number(setting: Option<Setting>, default: u32, minimum: u32) -> Result<u32, Cause> {
    setting.map_or(Ok(default), |setting| match setting.value.parse() {
        Ok(number) if number >= minimum => Ok(number),
        _ => Err(setting.refused(&format!("\"{}\" is not a whole number of at least {minimum}", setting.value))),
    })
}
