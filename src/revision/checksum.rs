//! The fingerprint of a text that was read, and the checksum by which a history recognises a script.

use std::fmt;

/// The SHA-256 of bytes as they were read; of a script, the text without the byte order mark and with LF as line end.
///
/// It tells whether a file, or the part of it that was executed, is the one that was read before. It is the same for
/// every layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// The checksum of a script in the history, by the rule of its layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl Fingerprint {
    /// Parses 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Fingerprint> {
        parse_digits(text).map(Fingerprint)
    }
}

impl Checksum {
    /// Creates a checksum of the bytes that a layout has computed.
    pub(crate) fn new(bytes: [u8; 32]) -> Checksum {
        Checksum(bytes)
    }

    /// Parses 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Checksum> {
        parse_digits(text).map(Checksum)
    }
}

fn parse_digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn write_digits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_as_they_are_written() {
        let sum = Checksum([0xa5; 32]);
        assert_eq!(Checksum::parse(&sum.to_string()), Some(sum));
        for bad in ["", "zz", &"z".repeat(64), &"é".repeat(32), &"+a".repeat(32)] {
            assert_eq!(Checksum::parse(bad), None, "{bad}");
        }
    }
}
