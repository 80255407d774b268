//! Versions that are whole numbers in the history table of a tool, so that `0007` and `7` are one version.

use crate::revision::Version;

/// Parses a number of 64 bits with or without a sign. The version is spelled as a database writes the number.
pub(super) fn signed(text: &str) -> Option<Version> {
    let number: i64 = text.parse().ok()?;
    // Without the sign, the order is the same.
    Some(Version::numbered(&number.to_string(), (number ^ i64::MIN).cast_unsigned()))
}

/// Parses a number of 64 bits without a sign. The version is spelled as a database writes the number.
pub(super) fn unsigned(text: &str) -> Option<Version> {
    let number: u64 = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Version::numbered(&number.to_string(), number))
}

/// Returns the version of a new revision: the time `now` in the form `YYYYMMDDhhmmss`, or the number after the newest one
/// if that is no earlier time.
pub(super) fn next(newest: Option<&Version>, now: &str, parse: fn(&str) -> Option<Version>) -> Option<Version> {
    let Some(newest) = newest else { return parse(now) };
    // A time stamp has the form YYYYMMDDhhmmss.
    let time = parse(now).filter(|time| newest.as_str().len() == 14 && time > newest);
    time.or_else(|| parse(&newest.as_str().parse::<i64>().ok()?.checked_add(1)?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_and_ordered_as_in_a_database() {
        assert_eq!(signed("0007").unwrap().as_str(), "7");
        assert_eq!(signed("+7"), signed("7"));
        assert!(signed("-5") < signed("0") && signed("9") < signed("10"));
        assert_eq!(signed("9223372036854775808"), None);
        assert!(unsigned("18446744073709551615").is_some());
        assert_eq!(unsigned("+7"), None);
        assert_eq!(unsigned("x"), None);
    }

    #[test]
    fn a_new_number_follows_the_habit_of_the_directory() {
        let now = "20261122193000";
        for (newest, expected) in
            [(None, now), (Some("7"), "8"), (Some("20260101000000"), now), (Some("20991231235959"), "20991231235960")]
        {
            let newest = newest.and_then(signed);
            assert_eq!(next(newest.as_ref(), now, signed).unwrap().as_str(), expected);
        }
    }
}
