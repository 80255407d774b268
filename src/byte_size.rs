//! Numbers of bytes: parsed from settings, and written for people.

/// The units, as PostgreSQL's settings have them: each is 1024 times the one before.
const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// Parses a number of bytes with its unit: `64MB`, `20GB`, `1TB`.
///
/// # Errors
/// Fails with a message that names the accepted forms.
pub(crate) fn parse_byte_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let power = UNITS.iter().position(|known| *known == unit.trim_start());
    let bytes = power.and_then(|power| number.parse::<u64>().ok()?.checked_mul(1 << (10 * power)));
    bytes.ok_or_else(|| format!("\"{text}\" is not a size; write 64MB, 20GB or 1TB"))
}

/// Formats a number of bytes as `512 B`, `1.5 MB` or `20 GB`.
pub(crate) fn describe_bytes(bytes: u64) -> String {
    let power = (0..UNITS.len() - 1).find(|power| bytes >> (10 * (power + 1)) == 0).unwrap_or(UNITS.len() - 1);
    let unit = UNITS[power];
    let whole = bytes >> (10 * power);
    let tenths = match power {
        0 => 0,
        _ => ((bytes >> (10 * (power - 1))) & 1023) * 10 / 1024,
    };
    match (whole, tenths) {
        (10.., _) | (_, 0) => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_their_unit() {
        for (text, bytes) in [("0B", 0), ("8kB", 8192), ("64MB", 64 << 20), ("20 GB", 20 << 30), ("2TB", 2 << 40)] {
            assert_eq!(parse_byte_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "20", "1.5GB", "-1GB", "20gb", "20GiB", "99999999999TB"] {
            assert!(parse_byte_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 kB"),
            (10 << 20, "10 MB"),
            ((52 << 30) + (1 << 29), "52 GB"),
            (3 << 40, "3 TB"),
            (u64::MAX, "16777215 TB"),
        ] {
            assert_eq!(describe_bytes(bytes), text);
        }
    }
}
