//! The number of a revision, as its file name spells it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The number of a revision: a sequence number (`0007`) or a UTC time stamp (`20260112093000`).
///
/// Two ids are compared by value, so that `7` and `0007` are the same revision. An id is displayed as it was written.
#[derive(Clone, Debug)]
pub struct Id {
    number: u64,
    text: Box<str>,
}

impl Id {
    /// Parses a text of decimal digits. Returns `None` for any other text and for numbers that do not fit in 64 bits.
    pub fn parse(text: &str) -> Option<Id> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok()?;
        digits.then(|| Id { number, text: text.into() })
    }

    /// Returns the digits as the file name spells them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the id has 14 digits, which is the length of `YYYYMMDDhhmmss`.
    pub fn is_time_stamp(&self) -> bool {
        self.text.len() == 14
    }

    /// Returns the next number, padded with zeros to at least the same width. Returns `None` if that number does not
    /// fit in 64 bits.
    pub fn successor(&self) -> Option<Id> {
        let number = self.number.checked_add(1)?;
        let width = self.text.len();
        Some(Id { number, text: format!("{number:0width$}").into() })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_digits_only() {
        for bad in ["", "a", "1a", "+1", "-1", " 1", "99999999999999999999999"] {
            assert!(Id::parse(bad).is_none(), "{bad:?}");
        }
        assert_eq!(Id::parse("0007"), Id::parse("7"));
        assert_eq!(Id::parse("0007").unwrap().as_str(), "0007");
    }

    #[test]
    fn orders_by_value_not_by_text() {
        assert!(Id::parse("9") < Id::parse("0010"));
        assert!(Id::parse("9999") < Id::parse("20260112093000"));
    }
}
