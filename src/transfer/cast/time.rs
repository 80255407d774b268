//! Times as ISO 8601 texts. They are parsed here, because PostgreSQL's parser also accepts `now`, `tomorrow` and
//! `02/29/2024`, rounds the seventh digit of a second, and depends on the settings DateStyle and TimeZone of the
//! session.

use std::ops::Range;

use super::zone::{Zone, two_digits};
use super::{CastError, CastRule, CastTarget, WritableType};

/// The microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;
/// The microseconds of a day.
pub(super) const DAY: i64 = 86_400 * SECOND;
/// PostgreSQL's epoch, 2000-01-01, in days since 1970-01-01.
pub(super) const EPOCH: i64 = 10_957;
/// The range of timestamps in microseconds since 2000-01-01 (from `MIN_TIMESTAMP`, 4714-11-24 BC, to the year 294276),
/// and the range of dates in days since 2000-01-01 (from `DATETIME_MIN_JULIAN` to the year 5874897):
/// `src/include/datatype/timestamp.h`.
const TIME_RANGE: Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
const DAY_RANGE: Range<i32> = -2_451_545..2_147_483_494 - 2_451_545;
/// Words that PostgreSQL accepts as a time.
const SPECIAL_WORDS: &[&str] =
    &["now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "+infinity", "allballs"];

/// The parts of a time as it was written.
struct TimeText {
    /// The days since 2000-01-01.
    days: i64,
    /// The microseconds since midnight.
    microseconds: i64,
    zone: Option<Zone>,
    /// True if a digit of the second after the sixth one is not 0.
    is_cut: bool,
}

/// Converts a text for a column of timestamps or dates. In a column of dates, a time of day has to be midnight.
pub(super) fn instant(target: CastTarget<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let parsed = parse(text).map_err(|reason| format_error(text, reason))?;
    if parsed.is_cut && !target.rules.has(CastRule::TruncateFraction) {
        return Err(precision_error(6));
    }
    // The microseconds up to the last date need more than 64 bits.
    let local_time = i128::from(parsed.days) * i128::from(DAY) + i128::from(parsed.microseconds);
    append(target, local_time - i128::from(parsed.zone.unwrap_or(target.zone).microseconds()), out)
}

/// Returns the error of a time with too many digits of a second.
fn precision_error(digits: u32) -> CastError {
    let error = CastError::new(format!("has more digits of a second than the {digits} of the column"));
    error.rule(CastRule::TruncateFraction, "cuts them off")
}

/// Appends a time for a column of timestamps with or without time zone, or of dates. `utc` are the microseconds since
/// 2000-01-01 UTC.
pub(super) fn append(target: CastTarget<'_>, utc: i128, out: &mut Vec<u8>) -> Result<(), CastError> {
    let range_error = || CastError::new(format!("lies outside of what {} holds", target.ty));
    let local_time = utc + i128::from(target.zone.microseconds());
    let (time, fraction) = match *target.ty {
        WritableType::TimestampTz(fraction) => (utc, fraction),
        WritableType::Timestamp(fraction) => (local_time, fraction),
        _ => {
            if local_time.rem_euclid(i128::from(DAY)) != 0 {
                return Err(CastError::new("has a time of day, which a date cannot hold"));
            }
            let day = i32::try_from(local_time.div_euclid(i128::from(DAY))).map_err(|_| range_error())?;
            if !DAY_RANGE.contains(&day) {
                return Err(range_error());
            }
            out.extend_from_slice(&day.to_be_bytes());
            return Ok(());
        }
    };
    let time = i64::try_from(time).ok().filter(|time| TIME_RANGE.contains(time)).ok_or_else(range_error)?;
    out.extend_from_slice(&truncate(target, time, fraction)?.to_be_bytes());
    Ok(())
}

/// Cuts a time to `fraction` digits of a second. Fails when that loses digits, unless a rule permits the loss.
fn truncate(target: CastTarget<'_>, time: i64, fraction: u32) -> Result<i64, CastError> {
    let surplus = time.rem_euclid(10_i64.pow(6_u32.saturating_sub(fraction)));
    if surplus != 0 && !target.rules.has(CastRule::TruncateFraction) {
        return Err(precision_error(fraction));
    }
    Ok(time - surplus)
}

/// Converts a text for a column of times of day.
pub(super) fn time_of_day(target: CastTarget<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let (microseconds, is_cut, remaining) = parse_clock(text).map_err(|reason| format_error(text, reason))?;
    if !remaining.is_empty() {
        return Err(format_error(text, "is not a time of day such as 23:59:59.123456"));
    }
    if microseconds > DAY {
        return Err(CastError::new("lies behind 24:00"));
    }
    if is_cut && !target.rules.has(CastRule::TruncateFraction) {
        return Err(precision_error(6));
    }
    let fraction = if let WritableType::Time(fraction) = *target.ty { fraction } else { 6 };
    out.extend_from_slice(&truncate(target, microseconds, fraction)?.to_be_bytes());
    Ok(())
}

/// Returns the error for a text, with a different reason when the text is a word that PostgreSQL accepts as a time.
fn format_error(text: &[u8], reason: &'static str) -> CastError {
    let is_word = SPECIAL_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    CastError::new(if is_word { "is a word, for which PostgreSQL would store a time of its own" } else { reason })
}

const FORMAT_ERROR: &str =
    "is not an ISO 8601 time such as 2024-02-29, 2024-02-29 23:59 or 2024-02-29 23:59:59.123456Z";

/// Parses a date, which `T` or a blank and a time may follow, which a time zone may follow.
fn parse(text: &[u8]) -> Result<TimeText, &'static str> {
    let (days, remaining) = parse_date(text)?;
    if remaining.is_empty() {
        return Ok(TimeText { days, microseconds: 0, zone: None, is_cut: false });
    }
    let (b'T' | b't' | b' ', remaining) = remaining.split_first().ok_or(FORMAT_ERROR)? else {
        return Err(FORMAT_ERROR);
    };
    let (microseconds, is_cut, remaining) = parse_clock(remaining)?;
    let (zone, remaining) = match remaining {
        [] => (None, remaining),
        [b'Z' | b'z', remaining @ ..] => (Some(Zone::UTC), remaining),
        _ => Zone::offset(remaining).map(|(zone, remaining)| (Some(zone), remaining)).ok_or(FORMAT_ERROR)?,
    };
    if remaining.is_empty() { Ok(TimeText { days, microseconds, zone, is_cut }) } else { Err(FORMAT_ERROR) }
}

/// Parses a date. Returns the days since 2000-01-01, and the rest of the text. A year has four digits, or up to seven
/// that do not begin with a zero.
fn parse_date(text: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(4..=7).contains(&length) || (length > 4 && text[0] == b'0') {
        return Err(FORMAT_ERROR);
    }
    let year = text[..length].iter().fold(0, |year, digit| year * 10 + i64::from(digit - b'0'));
    let remaining = text[length..].strip_prefix(b"-").ok_or(FORMAT_ERROR)?;
    let (month, remaining) = two_digits(remaining).ok_or(FORMAT_ERROR)?;
    let (day, remaining) = remaining.strip_prefix(b"-").and_then(two_digits).ok_or(FORMAT_ERROR)?;
    match (year, month, day) {
        (0, ..) => Err("is in the year 0, which PostgreSQL's calendar does not have"),
        (_, 1..=12, 1..) if i64::from(day) <= days_in_month(year, month) => {
            Ok((days_since_1970(year, i64::from(month), i64::from(day)) - EPOCH, remaining))
        }
        _ => Err("is on a day that does not exist"),
    }
}

/// Returns the number of days in a month.
fn days_in_month(year: i64, month: i32) -> i64 {
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days since 1970-01-01 of a day in the proleptic Gregorian calendar: Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Parses a time of day. Returns the microseconds since midnight, `true` when digits were lost, and the rest of the
/// text. Second 60 is the first one of the next minute, and 24:00:00 is the end of the day, as in PostgreSQL.
fn parse_clock(text: &[u8]) -> Result<(i64, bool, &[u8]), &'static str> {
    let (hour, remaining) = two_digits(text).ok_or(FORMAT_ERROR)?;
    let (minute, mut remaining) = remaining.strip_prefix(b":").and_then(two_digits).ok_or(FORMAT_ERROR)?;
    let (mut second, mut fraction, mut is_cut) = (0, 0, false);
    if let Some(after) = remaining.strip_prefix(b":") {
        (second, remaining) = two_digits(after).ok_or(FORMAT_ERROR)?;
        if let Some(after) = remaining.strip_prefix(b".") {
            (fraction, is_cut, remaining) = parse_fraction(after).ok_or(FORMAT_ERROR)?;
        }
    }
    let within_hour = i64::from(minute * 60 + second) * SECOND + fraction;
    let at_most = |most: i32, value: i32, remaining: i64| value < most || (value == most && remaining == 0 && !is_cut);
    let is_valid = at_most(24, hour, within_hour) && minute <= 59 && at_most(60, second, fraction);
    match is_valid {
        true => Ok((i64::from(hour) * 3600 * SECOND + within_hour, is_cut, remaining)),
        false => Err("is at a time of day that does not exist"),
    }
}

/// Parses the fraction of a second. Returns its first six digits as microseconds, `true` when another digit is not 0,
/// and the rest of the text.
fn parse_fraction(text: &[u8]) -> Option<(i64, bool, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, remaining) = text.split_at(length);
    let padded = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
    let fraction = padded.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    let is_cut = digits.iter().skip(6).any(|digit| *digit != b'0');
    (length > 0).then_some((fraction, is_cut, remaining))
}

/// Returns the date of a day for messages. `days` are days since 1970-01-01: `civil_from_days` of the same paper.
pub(super) fn calendar(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
