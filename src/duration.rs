//! Durations: parsed from settings, flags and directives, and written for people.

use std::time::Duration;

/// Parses a duration: `500ms`, `30s`, `5m` (or `5min`), `1h`; a bare number is a number of seconds.
///
/// # Errors
/// Fails with a message that lists the accepted forms, also if the duration has more milliseconds than a 32-bit
/// integer.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration; write 500ms, 30s, 5m or 1h (a bare number is seconds)");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit.trim_start() {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    // PostgreSQL's timeouts are 32-bit milliseconds; 24 days are enough for every other wait too.
    let fits = milliseconds.filter(|&ms| i32::try_from(ms).is_ok());
    fits.map(Duration::from_millis).ok_or_else(wrong)
}

/// The interval before the first line about a step that goes on. Each next interval is twice as long, up to
/// [`LONGEST_LOG_INTERVAL`].
const FIRST_LOG_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_LOG_INTERVAL: Duration = Duration::from_secs(300);

/// Returns the intervals between the log lines about a step that goes on.
pub(crate) fn log_intervals() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(FIRST_LOG_INTERVAL), |last| Some((*last * 2).min(LONGEST_LOG_INTERVAL)))
}

/// Formats a duration as `12 ms`, `3.4 s`, `2 min 5 s` or `1 h 2 min`.
pub(crate) fn describe_milliseconds(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7", 7_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "1.5s", "1s s", "99999999999999999999", "600h00"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_readable() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (3499, "3.4 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (125_900, "2 min 5 s"),
            (3_720_000, "1 h 2 min"),
        ] {
            assert_eq!(describe_milliseconds(milliseconds), text);
        }
    }
}
