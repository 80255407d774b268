//! The setting of how many backups are kept, and for how long.

use std::time::Duration;

/// The backups that are kept: the newest ones up to a number, and those that are younger than an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupKeep {
    /// The number of backups that are kept whatever their age, at least one.
    pub(crate) count: usize,
    /// The age up to which backups are kept whatever their number; `None` if the number alone counts.
    pub(crate) age: Option<Duration>,
}

impl BackupKeep {
    /// The value with which nothing is deleted.
    pub(crate) const ALL: BackupKeep = BackupKeep { count: usize::MAX, age: None };

    /// Parses a number (`5`), an age (`30d`), or both (`5,30d`).
    ///
    /// # Errors
    /// Fails with a message that names the accepted forms.
    pub(crate) fn parse(text: &str) -> Result<BackupKeep, String> {
        let wrong = || {
            format!(
                "\"{text}\" is neither a number of backups nor an age: write 5, 30d or 5,30d (the number is at least 1)"
            )
        };
        let (count, age) = match text.split_once(',') {
            Some((count, age)) => (Some(count.trim()), Some(age.trim())),
            None if text.trim_end().ends_with(|unit: char| unit.is_ascii_digit()) => (Some(text), None),
            None => (None, Some(text)),
        };
        let count = count.map(|count| count.trim().parse().ok().filter(|count: &u32| *count > 0).ok_or_else(wrong));
        let age = age.map(|age| parse_age(age).ok_or_else(wrong));
        // An age alone still keeps the backup that has just been taken.
        Ok(BackupKeep { count: count.transpose()?.map_or(1, |count| count as usize), age: age.transpose()? })
    }
}

impl Default for BackupKeep {
    fn default() -> Self {
        BackupKeep { count: 5, age: None }
    }
}

/// Parses an age in hours, days or weeks.
fn parse_age(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let hours = match unit.trim() {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => return None,
    };
    let number = number.parse::<u32>().ok().filter(|number| *number > 0)?;
    Some(Duration::from_secs(u64::from(number) * hours * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_an_age_or_both() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        for (text, count, age) in [
            ("5", 5, None),
            ("1", 1, None),
            ("30d", 1, Some(DAY * 30)),
            ("5,30d", 5, Some(DAY * 30)),
            ("5, 2w", 5, Some(DAY * 14)),
            ("48h", 1, Some(DAY * 2)),
        ] {
            assert_eq!(BackupKeep::parse(text), Ok(BackupKeep { count, age }), "{text}");
        }
        for text in ["", "0", "-1", "5d,5", "0d", "d", "5,", ",5d", "1.5d", "5 30d", "4294967296"] {
            let parsed = BackupKeep::parse(text);
            assert!(parsed.is_err(), "{text:?}: {parsed:?}");
        }
    }
}
