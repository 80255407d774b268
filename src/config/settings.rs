//! One setting: from a flag or a variable, read as a time or a number, refused by its name.

use std::time::Duration;

use crate::error::Cause;
use crate::revision::script::duration;

/// A value and what set it.
pub(super) struct Setting {
    pub origin: &'static str,
    pub value: String,
}

impl Setting {
    pub fn refused(&self, reason: &str) -> Cause {
        let message = format!("{}: {reason}", self.origin);
        if self.origin.starts_with('-') { Cause::Usage(message) } else { Cause::Config(message) }
    }
}

/// Flags go before variables.
pub(super) fn pick(
    flag: &Option<String>,
    flag_name: &'static str,
    variable: &Option<String>,
    variable_name: &'static str,
) -> Option<Setting> {
    let from = |origin, value: &Option<String>| value.clone().map(|value| Setting { origin, value });
    from(flag_name, flag).or_else(|| from(variable_name, variable))
}

/// A time, or its default.
pub(super) fn time(setting: Option<Setting>, default: Duration) -> Result<Duration, Cause> {
    setting.map_or(Ok(default), |setting| duration(&setting.value).map_err(|reason| setting.refused(&reason)))
}

/// A time that is off when zero.
pub(super) fn limit(setting: Option<Setting>) -> Result<Option<Duration>, Cause> {
    time(setting, Duration::ZERO).map(|time| Some(time).filter(|time| !time.is_zero()))
}

pub(super) fn number(setting: Option<Setting>, default: u32, least: u32) -> Result<u32, Cause> {
    setting.map_or(Ok(default), |setting| match setting.value.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(setting.refused(&format!("\"{}\" is not a whole number of at least {least}", setting.value))),
    })
}
