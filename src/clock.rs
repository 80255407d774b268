//! The present time, and the texts in which times are written. All times are UTC.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns the present time as RFC 3339 in whole seconds: `2026-01-12T09:30:00Z`.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

/// Returns the time that lay `age` ago, as [`now`] does.
pub(crate) fn ago(age: Duration) -> String {
    let then = OffsetDateTime::now_utc().checked_sub(age.try_into().unwrap_or(time::Duration::MAX));
    let then = then.map(|then| then.replace_nanosecond(0).unwrap_or(then));
    then.and_then(|then| then.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Returns the time between two times of RFC 3339; `None` if they are none, or the second one is earlier.
pub(crate) fn between(start: &str, end: &str) -> Option<Duration> {
    let [start, end] = [start, end].map(|time| OffsetDateTime::parse(time, &Rfc3339));
    (end.ok()? - start.ok()?).try_into().ok()
}

/// Returns the present time as RFC 3339 with microseconds.
pub(crate) fn now_with_microseconds() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.microsecond() * 1000).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

/// Returns the microsecond of the present second.
pub(crate) fn microsecond() -> u32 {
    OffsetDateTime::now_utc().microsecond()
}

/// Returns the present time of the day: `09:30:00Z`.
pub(crate) fn now_time_of_day() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{:02}:{:02}:{:02}Z", now.hour(), now.minute(), now.second())
}

/// Returns the present time for the name of a file or a database: `20260112T093000Z`.
pub(crate) fn now_for_names() -> String {
    now().replace(['-', ':'], "")
}

/// Returns a time of RFC 3339 as `2026-01-12 09:30:00Z`, and any other text unchanged.
pub(crate) fn to_seconds(time: &str) -> String {
    match OffsetDateTime::parse(time, &Rfc3339) {
        Ok(_) => format!("{} {}Z", &time[..10], &time[11..19]),
        Err(_) => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(to_seconds("2026-01-12T09:30:01.123Z"), "2026-01-12 09:30:01Z");
        assert_eq!(to_seconds("yesterday"), "yesterday");
    }

    #[test]
    fn times_have_a_distance() {
        let between = |start, end| between(start, end).map(|time| time.as_secs());
        assert_eq!(between("2026-01-12T09:30:00Z", "2026-01-12T10:30:05Z"), Some(3605));
        assert_eq!(between("2026-01-12T09:30:05Z", "2026-01-12T09:30:00Z"), None);
        assert_eq!(between("yesterday", "2026-01-12T09:30:00Z"), None);
        assert!(ago(Duration::from_secs(3600)) < now());
    }

    #[test]
    fn names_have_no_punctuation() {
        assert_eq!(now_for_names().len(), "20260112T093000Z".len());
    }
}
