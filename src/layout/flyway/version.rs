//! The versions of Flyway: numbers with points or underscores between them.

use crate::revision::Version;

/// The number of digits of a time of the form `YYYYMMDDhhmmss`.
const TIME_DIGITS: usize = 14;

/// Parses a version. It is spelled with points, as in the history; zeros at the beginning of a number and numbers of zero
/// at the end make no other version: `1`, `01` and `1.0` are one (Flyway, `MigrationVersion`).
pub(super) fn parse(text: &str) -> Option<Version> {
    let text = text.replace('_', ".");
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts: Vec<&str> = text.split('.').collect();
    if !parts.iter().all(|part| is_number(part)) {
        return None;
    }
    let digits = |part: &&str| part.trim_start_matches('0').len();
    while parts.len() > 1 && parts.last().is_some_and(|last| digits(last) == 0) {
        parts.pop();
    }
    let mut key = Vec::new();
    for part in parts {
        let number = part.trim_start_matches('0');
        key.extend(u16::try_from(number.len()).ok()?.to_be_bytes());
        key.extend(number.bytes());
    }
    Some(Version::new(&text, key))
}

/// Returns the version of a new migration: the time `now` if the newest version is an earlier one, else the newest with its
/// last number increased by one.
pub(super) fn next(newest: Option<&Version>, now: &str) -> Option<Version> {
    let Some(newest) = newest else { return parse("1") };
    let time = parse(now).filter(|time| newest.as_str().len() == TIME_DIGITS && time > newest);
    time.or_else(|| {
        let (before, last) =
            newest.as_str().rsplit_once('.').map_or(("", newest.as_str()), |(before, last)| (before, last));
        let (point, width) = (if before.is_empty() { "" } else { "." }, last.len());
        parse(&format!("{before}{point}{:0>width$}", last.parse::<u64>().ok()?.checked_add(1)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        let sorted = ["0", "0.5", "1", "1.0.1", "1_1", "1.2", "1.10", "2", "9", "10", "13.1", "20240101000000"];
        let mut versions = sorted.map(|text| parse(text).unwrap());
        versions.reverse();
        versions.sort();
        assert_eq!(
            versions.each_ref().map(Version::as_str),
            sorted.map(|text| text.replace('_', ".")).each_ref().map(String::as_str)
        );
        for same in ["1.0", "01", "1_0_0"] {
            assert_eq!(parse(same), parse("1"), "{same}");
        }
        for wrong in ["", "1.", ".1", "1..2", "a", "1a", "-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_version_has_the_form_of_the_newest() {
        let now = "20261122193000";
        for (newest, expected) in [
            (None, "1"),
            (Some("9"), "10"),
            (Some("009"), "010"),
            (Some("1.9"), "1.10"),
            (Some("20260101000000"), now),
            (Some("20991231235959"), "20991231235960"),
        ] {
            assert_eq!(next(newest.and_then(parse).as_ref(), now).unwrap().as_str(), expected);
        }
    }
}
