//! Times that are stored as numbers. A rule has to name the unit, since one number is a valid time in several units.

use std::ops::Range;

use super::time::{DAY, EPOCH, SECOND, append, calendar};
use super::{CastError, CastRule, CastTarget};

/// A unit of time. `days_before_1970` are the days from the beginning of its count to 1970-01-01. `microseconds`
/// divided by `parts` is the length of one unit in microseconds.
/// one of it.
#[derive(Clone, Copy)]
struct EpochUnit {
    rule: CastRule,
    days_before_1970: i64,
    microseconds: i64,
    parts: i64,
}

const fn unit(rule: CastRule, days_before_1970: i64, microseconds: i64, parts: i64) -> EpochUnit {
    EpochUnit { rule, days_before_1970, microseconds, parts }
}

/// The units. 1601-01-01 is the beginning of the cycle of 400 years that was current when Windows NT was made.
/// 2001-01-01 is the reference date of Cocoa. Julian days begin at noon: [`EpochUnit::moment`] adds their half day.
const UNITS: &[EpochUnit] = &[
    unit(CastRule::UnixMs, 0, 1000, 1),
    unit(CastRule::UnixUs, 0, 1, 1),
    unit(CastRule::UnixNs, 0, 1, 1000),
    unit(CastRule::Webkit, 134_774, 1, 1),
    unit(CastRule::Filetime, 134_774, 1, 10),
    unit(CastRule::Julian, 2_440_588, DAY, 1),
    unit(CastRule::UnixS, 0, SECOND, 1),
    unit(CastRule::Cocoa, -11_323, SECOND, 1),
];

/// The microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const SINCE_1970: i128 = (EPOCH * DAY) as i128;

/// The usual range of times in databases: from 1990 to 2100, in days since 1970-01-01.
const PLAUSIBLE_DAYS: Range<i64> = 7305..47_482;
/// The usual ranges for numbers of seconds, in days since 1970-01-01. A number of seconds may be a time of Unix and of
/// Cocoa. From a billion on (2001-09-09 on Unix) it is taken for a time of Unix; a smaller number is taken for a time
/// of Cocoa, if that is in 2010 or later.
const PLAUSIBLE_UNIX_DAYS: Range<i64> = 11_574..47_482;
const PLAUSIBLE_COCOA_DAYS: Range<i64> = 14_610..47_482;

impl EpochUnit {
    /// Returns the microseconds since 1970, and reports whether a fraction of a microsecond was cut off.
    fn moment(self, number: i64) -> (i128, bool) {
        let scaled = i128::from(number) * i128::from(self.microseconds);
        let half_day = if self.rule == CastRule::Julian { DAY / 2 } else { 0 };
        let parts = i128::from(self.parts);
        let start = i128::from(self.days_before_1970) * i128::from(DAY) - i128::from(half_day);
        (scaled.div_euclid(parts) - start, scaled.rem_euclid(parts) != 0)
    }

    /// Returns the microseconds since 1970, rounded to the nearest one: a REAL of seconds since 1970 is not more
    /// precise. Julian days are rounded to the nearest millisecond, as in SQLite's own functions. Returns `None` when
    /// the number is out of range.
    fn moment_of_real(self, number: f64) -> Option<i128> {
        let whole = number.floor();
        // The whole units are converted exactly and the fraction separately: one product would lose digits.
        if !whole.is_finite() || whole.abs() > 9e18 {
            return None;
        }
        let (start, _) = self.moment(whole as i64);
        let exact = (number - whole) * self.microseconds as f64 / self.parts as f64;
        let remainder = (whole as i128 * i128::from(self.microseconds)).rem_euclid(i128::from(self.parts));
        let fraction = exact + remainder as f64 / self.parts as f64;
        Some(match self.rule {
            CastRule::Julian => start + (fraction / 1000.0).round() as i128 * 1000,
            _ => start + fraction.round() as i128,
        })
    }

    /// Returns the day of a time in days since 1970-01-01, or `None` when the number is out of range.
    fn day(self, number: f64) -> Option<i64> {
        self.moment_of_real(number).and_then(|moment| i64::try_from(moment.div_euclid(i128::from(DAY))).ok())
    }
}

/// Returns the unit that a rule of the column names.
fn unit_by_rule(target: CastTarget<'_>) -> Option<EpochUnit> {
    UNITS.iter().find(|unit| target.rules.has(unit.rule)).copied()
}

/// Converts an integer to a time, by the unit of a rule.
pub(super) fn from_integer(target: CastTarget<'_>, number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    let unit = unit_by_rule(target).ok_or_else(|| missing_unit_error(number as f64))?;
    let (moment, is_cut) = unit.moment(number);
    if is_cut && !target.rules.has(CastRule::TruncateFraction) {
        let error = CastError::new("has a part of a microsecond, which PostgreSQL's times do not have");
        return Err(error.rule(CastRule::TruncateFraction, "besides cuts it off"));
    }
    append(target, moment - SINCE_1970, out)
}

/// Converts a REAL to a time, by the unit of a rule.
pub(super) fn from_real(target: CastTarget<'_>, number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    let unit = unit_by_rule(target).ok_or_else(|| missing_unit_error(number))?;
    let moment = unit.moment_of_real(number).ok_or_else(|| CastError::new("is no number of a time"))?;
    append(target, moment - SINCE_1970, out)
}

/// Returns the error of a number without a rule. The hint names the likely unit: the first in which the number is a
/// time in the usual range.
fn missing_unit_error(number: f64) -> CastError {
    let error = CastError::new("is a number, and nothing says of which unit of time");
    let guess = UNITS.iter().find_map(|unit| {
        let plausible = match unit.rule {
            CastRule::UnixS => PLAUSIBLE_UNIX_DAYS,
            CastRule::Cocoa => PLAUSIBLE_COCOA_DAYS,
            _ => PLAUSIBLE_DAYS,
        };
        unit.day(number).filter(|day| plausible.contains(day)).map(|day| (unit.rule, day))
    });
    match guess {
        Some((rule, day)) => error.rule(rule, format!("reads it as a time on {}", calendar(day))),
        None => error,
    }
}
