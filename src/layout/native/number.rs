//! The versions of Lockkeeper's own layout: a sequence number (`0007`) or a UTC time stamp (`20260112093000`).

use crate::revision::Version;

/// Parses a text of decimal digits. Returns `None` for any other text and for numbers that do not fit in 64 bits. Two
/// versions are compared by value, so that `7` and `0007` are the same revision.
pub(super) fn parse(text: &str) -> Option<Version> {
    value(text).map(|number| Version::numbered(text, number))
}

fn value(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Returns the number of the next revision: the time `now` if the newest number is an earlier time stamp, else the
/// number after the newest, padded with zeros to at least the same width. Returns `None` if that number does not fit in
/// 64 bits.
pub(super) fn next(newest: Option<&Version>, now: &str) -> Option<Version> {
    let Some(newest) = newest else {
        return parse("0001");
    };
    // A time stamp has the form YYYYMMDDhhmmss.
    let is_time_stamp = newest.as_str().len() == 14;
    let time = parse(now).filter(|time| is_time_stamp && time > newest);
    time.or_else(|| {
        let width = newest.as_str().len();
        let number = value(newest.as_str())?.checked_add(1)?;
        parse(&format!("{number:0width$}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_digits_only() {
        for bad in ["", "a", "1a", "+1", "-1", " 1", "99999999999999999999999"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
        assert_eq!(parse("0007"), parse("7"));
        assert_eq!(parse("0007").unwrap().as_str(), "0007");
    }

    #[test]
    fn orders_by_value_not_by_text() {
        assert!(parse("9") < parse("0010"));
        assert!(parse("9999") < parse("20260112093000"));
    }

    #[test]
    fn the_number_follows_the_habit_of_the_directory() {
        let now = "20261122193000";
        for (newest, expected) in [
            ("0005", "0006"),
            ("0099", "0100"),
            ("9999", "10000"),
            ("7", "8"),
            ("00000007", "00000008"),
            ("20260101000000", now),
            ("20261122193000", "20261122193001"),
            ("20991231235959", "20991231235960"),
            // A number that is larger than every time stamp is no time stamp.
            ("202611221930001", "202611221930002"),
        ] {
            assert_eq!(next(parse(newest).as_ref(), now).unwrap().as_str(), expected, "after {newest}");
        }
        assert_eq!(next(None, now).unwrap().as_str(), "0001");
        assert_eq!(next(parse("18446744073709551615").as_ref(), now), None);
    }
}
