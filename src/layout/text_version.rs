//! Versions that are texts in the history table of a tool, so that `007` and `7` are two versions.

use crate::revision::Version;

/// The number of digits of a time in the form `YYYYMMDDhhmmss`.
const TIME_DIGITS: usize = 14;

/// Returns whether a text consists of digits.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the digits at the beginning of a name, and the rest of it. Returns `None` if it begins with no digit.
pub(super) fn split_number(name: &str) -> Option<(&str, &str)> {
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    (end > 0).then(|| name.split_at(end))
}

/// Returns the version of a new revision: the first one behind the newest of the time `now` (`YYYYMMDDhhmmss`) and of
/// the number after `digits`, the number of the newest one. The time comes first if that number is a time.
pub(super) fn next(
    newest: Option<&Version>,
    digits: &str,
    now: &str,
    parse: impl Fn(&str) -> Option<Version>,
) -> Option<Version> {
    let width = digits.len();
    let time = format!("{now:0<width$}");
    let following = digits.parse::<u128>().ok().and_then(|number| number.checked_add(1));
    let following = following.map(|number| format!("{number:0>width$}"));
    let mut candidates = [Some(time), following];
    if (1..TIME_DIGITS).contains(&width) {
        candidates.reverse();
    }
    candidates
        .into_iter()
        .flatten()
        .filter_map(|text| parse(&text))
        .find(|version| newest.is_none_or(|it| version > it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_bytes(text: &str) -> Version {
        Version::new(text, text.as_bytes())
    }

    #[test]
    fn a_new_version_follows_the_habit_of_the_directory() {
        let now = "20261122193000";
        for (newest, expected) in [
            ("", Some(now)),
            ("007", Some("008")),
            ("20260101000000", Some(now)),
            ("202601010000000001", Some("202611221930000000")),
            ("20991231235959", Some("20991231235960")),
            // The bytes of 10 come before those of 9.
            ("9", None),
            ("19", Some("20")),
        ] {
            let version = (!newest.is_empty()).then(|| by_bytes(newest));
            let next = next(version.as_ref(), newest, now, |text| Some(by_bytes(text)));
            assert_eq!(next.as_ref().map(Version::as_str), expected, "{newest}");
        }
    }

    #[test]
    fn a_name_begins_with_digits() {
        assert_eq!(split_number("12_a"), Some(("12", "_a")));
        assert_eq!(split_number("12"), Some(("12", "")));
        assert_eq!(split_number("a12"), None);
        assert!(is_number("0012") && !is_number("") && !is_number("1a"));
    }
}
