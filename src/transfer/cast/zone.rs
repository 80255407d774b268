//! The time zone for times that contain none.

use std::fmt;

/// A fixed offset from UTC.
///
/// Named time zones are refused: their rules change between releases of the time zone database, which the image does
/// not contain, and one hour in autumn occurs twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// The offset in seconds, positive east of Greenwich.
    seconds: i32,
}

impl Zone {
    /// UTC, with the offset 0.
    pub const UTC: Self = Self { seconds: 0 };

    /// Parses a time zone: `UTC`, `Z`, `+05:30`, `-0800` or `+01`.
    ///
    /// # Errors
    /// Fails when the text is none of these. The error is a message for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        if matches!(text, "UTC" | "utc" | "Z" | "z") {
            return Ok(Self::UTC);
        }
        match Self::offset(text.as_bytes()) {
            Some((zone, [])) => Ok(zone),
            _ => Err(format!(
                "{text:?} is neither UTC nor a fixed offset such as +05:30: named zones are not known here"
            )),
        }
    }

    /// Parses the offset at the beginning of a text, and returns it with the rest of the text. PostgreSQL accepts less
    /// than 16 hours (`MAX_TZDISP_HOUR`).
    pub(super) fn offset(text: &[u8]) -> Option<(Self, &[u8])> {
        let (sign, remaining) = match text.split_first()? {
            (b'+', remaining) => (1, remaining),
            (b'-', remaining) => (-1, remaining),
            _ => return None,
        };
        let (hours, remaining) = two_digits(remaining)?;
        let (minutes, remaining) = match remaining.strip_prefix(b":") {
            Some(remaining) => two_digits(remaining)?,
            None => two_digits(remaining).unwrap_or((0, remaining)),
        };
        let fits = hours <= 15 && minutes <= 59;
        fits.then_some((Self { seconds: sign * (hours * 3600 + minutes * 60) }, remaining))
    }

    /// Returns the offset in microseconds.
    pub(super) fn microseconds(self) -> i64 {
        i64::from(self.seconds) * 1_000_000
    }
}

/// Parses two digits, and returns their number with the rest of the text.
pub(super) fn two_digits(text: &[u8]) -> Option<(i32, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', remaining @ ..] => {
            Some((i32::from((a - b'0') * 10 + (b - b'0')), remaining))
        }
        _ => None,
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return formatter.pad("UTC");
        }
        let sign = if self.seconds < 0 { '-' } else { '+' };
        let minutes = self.seconds.abs() / 60;
        write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_utc_or_fixed_offsets() {
        for (text, shown) in [
            ("UTC", "UTC"),
            ("Z", "UTC"),
            ("+00:00", "UTC"),
            ("+05:30", "+05:30"),
            ("-0800", "-08:00"),
            ("+1545", "+15:45"),
            ("-03", "-03:00"),
        ] {
            assert_eq!(Zone::parse(text).expect(text).to_string(), shown);
        }
        for text in ["", "Europe/Berlin", "5", "+5", "+16:00", "+05:60", "+05:3", "+05:30:00", "UTC+1", "0530"] {
            let complaint = Zone::parse(text).expect_err(text);
            assert!(complaint.contains(&format!("{text:?}")), "{complaint}");
        }
    }
}
