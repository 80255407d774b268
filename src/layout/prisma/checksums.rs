//! The checksums by which Prisma recognises a script: the SHA-256 of its text, with either line end
//! (schema-connector/src/checksum.rs).

use sha2::{Digest, Sha256};

use crate::revision::{Checksum, Fingerprint};

/// The number of hexadecimal digits of a checksum.
const DIGITS: usize = 2 * 32;

/// The sums of a script that is being read.
#[derive(Default)]
pub(super) struct Checksums {
    /// The sum of the bytes.
    pub(super) as_read: Sha256,
    /// The sum of the text with CRLF as line end.
    pub(super) with_crlf: Sha256,
}

/// Adds bytes to a sum.
pub(super) fn add(sum: &mut Sha256, bytes: &[u8]) {
    sum.update(bytes);
}

/// Adds text to a sum, with CRLF in the place of LF.
pub(super) fn add_with_crlf(sum: &mut Sha256, text: &str) {
    sum.update(text.replace('\n', "\r\n"));
}

impl Checksums {
    /// Returns the checksum that Prisma records, and the others that it accepts. `with_lf` is the fingerprint: the sum of
    /// the text with LF as line end.
    pub(super) fn finish(self, with_lf: Fingerprint) -> (Checksum, Box<[Checksum]>) {
        let sums: [[u8; 32]; 3] = [self.as_read.finalize().into(), with_lf.0, self.with_crlf.finalize().into()];
        let mut others: Vec<Checksum> = Vec::new();
        for checksum in sums.map(Checksum::new).into_iter().chain(sums.iter().filter_map(|sum| parse(&unpadded(sum)))) {
            if checksum != Checksum::new(sums[0]) && !others.contains(&checksum) {
                others.push(checksum);
            }
        }
        (Checksum::new(sums[0]), others.into())
    }
}

/// Returns a checksum as early releases of Prisma have written it: without the zeros before the digits of a byte
/// (prisma-engines, issue 1887).
fn unpadded(sum: &[u8; 32]) -> String {
    sum.iter().map(|byte| format!("{byte:x}")).collect()
}

/// Parses the checksum of a row. One without padding becomes a value of its own: its digits, and their number.
pub(super) fn parse(text: &str) -> Option<Checksum> {
    match text.len() {
        DIGITS => Checksum::parse::<32>(text),
        length @ 32..DIGITS => {
            let mut digits = format!("{text:0<DIGITS$}");
            digits.push_str(&format!("{length:02x}"));
            Checksum::parse::<33>(&digits)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_line_end_and_the_form_of_early_releases_are_recognised() {
        let mut sums = Checksums::default();
        add(&mut sums.as_read, b"a;\r\nb;\n");
        add_with_crlf(&mut sums.with_crlf, "a;\nb;\n");
        let (checksum, others) = sums.finish(Fingerprint(Sha256::digest("a;\nb;\n").into()));
        assert_eq!(checksum, Checksum::new(Sha256::digest("a;\r\nb;\n").into()));
        for same in ["a;\nb;\n", "a;\r\nb;\r\n"] {
            let sum: [u8; 32] = Sha256::digest(same).into();
            assert!(others.contains(&Checksum::new(sum)), "{same:?}");
            assert!(others.contains(&parse(&unpadded(&sum)).unwrap()), "{same:?}");
        }
        // The sum of "hello" in prisma-engines' own test, without its zeros: 09, 0a.
        let sum = hex::encode(Sha256::digest("hello"));
        assert_eq!(sum, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(parse("manual"), None);
    }
}
