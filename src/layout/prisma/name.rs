//! The names of migrations, which are their versions.

use crate::revision::Version;

/// The characters of ASCII in the order in which Prisma sorts names: that of `localeCompare` in JavaScript. Upper and
/// lower case differ only between names that are equal without that.
const ORDER: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

/// The number of digits of a time of the form `YYYYMMDDhhmmss`.
const TIME_DIGITS: usize = 14;

/// Returns the version of a name. Returns `None` for an empty name.
pub(super) fn version(name: &str) -> Option<Version> {
    (!name.is_empty()).then(|| Version::new(name, key(name)))
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    for letter in name.chars() {
        match ORDER.find(letter.to_ascii_lowercase()) {
            Some(at) => key.push(at as u8 + 1),
            None => {
                key.push(u8::MAX);
                key.extend(letter.to_string().bytes());
            }
        }
    }
    key.push(0);
    key.extend(name.chars().map(|letter| 1 + u8::from(letter.is_ascii_uppercase())));
    key.push(0);
    key.extend(name.bytes());
    key
}

/// Returns the words of a name, without the number before them.
pub(super) fn describe(name: &str) -> Box<str> {
    let words = name.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start_matches('_');
    words.replace('_', " ").into()
}

/// Returns the first part of the name of a new migration: the time `now`, or the number after that of the newest one if
/// that is later.
pub(super) fn next(newest: Option<&Version>, now: &str) -> Option<Version> {
    let later = newest.and_then(|newest| newest.as_str().get(..TIME_DIGITS)?.parse::<u64>().ok());
    match later.filter(|later| now.parse().is_ok_and(|now: u64| *later >= now)) {
        Some(later) => version(&(later + 1).to_string()),
        None => version(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected order is that of `sort((a, b) => a.localeCompare(b))` in Node.js.
    #[test]
    fn names_are_ordered_as_in_javascript() {
        let sorted = ["_x", "0_init", "1_a", "1_b", "10_a", "2_a", "20240101000000_a", "a_y", "a-y", "aY", "AY", "B_x"];
        let mut names = sorted.map(|name| version(name).unwrap());
        names.reverse();
        names.sort();
        assert_eq!(names.each_ref().map(Version::as_str), sorted);
    }

    #[test]
    fn a_new_name_comes_behind_all_others() {
        let now = "20261122193000";
        for (newest, expected) in [
            (None, now),
            (Some("0_init"), now),
            (Some("20260101000000_a"), now),
            (Some("20991231235959_a"), "20991231235960"),
        ] {
            assert_eq!(next(newest.and_then(version).as_ref(), now).unwrap().as_str(), expected);
        }
    }
}
