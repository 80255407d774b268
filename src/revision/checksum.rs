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
pub struct Checksum {
    /// The bytes of the checksum, followed by zeros.
    bytes: [u8; LONGEST],
    /// The number of bytes of the checksum.
    length: u8,
}

/// The number of bytes of the longest checksum, which is sqlx's SHA-384.
const LONGEST: usize = 48;

impl Fingerprint {
    /// Parses 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Fingerprint> {
        parse_digits(text).map(Fingerprint)
    }
}

impl Checksum {
    /// Creates a checksum of the bytes that a layout has computed, of which there are at most 48.
    pub(crate) fn new<const N: usize>(computed: [u8; N]) -> Checksum {
        const { assert!(N <= LONGEST) };
        let mut bytes = [0; LONGEST];
        bytes[..N].copy_from_slice(&computed);
        Checksum { bytes, length: N as u8 }
    }

    /// Parses hexadecimal digits for `N` bytes.
    pub(crate) fn parse<const N: usize>(text: &str) -> Option<Checksum> {
        parse_digits::<N>(text).map(Checksum::new)
    }

    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

fn parse_digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
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
        write_digits(f, self.bytes())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_as_they_are_written() {
        let sum = Checksum::new([0xa5; 32]);
        assert_eq!(Checksum::parse::<32>(&sum.to_string()), Some(sum));
        for bad in ["", "zz", &"z".repeat(64), &"é".repeat(32), &"+a".repeat(32)] {
            assert_eq!(Checksum::parse::<32>(bad), None, "{bad}");
        }
    }
}
