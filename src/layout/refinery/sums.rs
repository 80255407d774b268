//! The checksum of a migration: SipHash-1-3 of its name, its version and its text, as Rust hashes them.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::revision::Checksum;

/// The byte that ends a text that is hashed.
const END_OF_TEXT: u8 = 0xff;

/// The sums of a migration whose text is being read.
pub(super) struct Sums {
    /// The sum with a version of 32 bits, if the version has no more.
    narrow: Option<SipHasher13>,
    /// The sum with a version of 64 bits, which programs with the feature int8-versions record.
    wide: SipHasher13,
}

impl Sums {
    /// Begins the sums of a migration with its name and its version.
    pub(super) fn new(name: &str, version: &str) -> Sums {
        let begin = |version: &[u8]| {
            let mut sum = SipHasher13::new();
            sum.write(name.as_bytes());
            sum.write_u8(END_OF_TEXT);
            sum.write(version);
            sum
        };
        let narrow = version.parse().ok().map(|version: i32| begin(&version.to_le_bytes()));
        Sums { narrow, wide: begin(&version.parse::<i64>().unwrap_or_default().to_le_bytes()) }
    }

    /// Adds bytes of the text.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.narrow.as_mut().into_iter().chain([&mut self.wide]).for_each(|sum| sum.write(bytes));
    }

    /// Returns the checksum that refinery records by default, and the others that it may have recorded.
    pub(super) fn finish(self) -> (Checksum, Box<[Checksum]>) {
        let finish = |mut sum: SipHasher13| {
            sum.write_u8(END_OF_TEXT);
            Checksum::new(sum.finish().to_be_bytes())
        };
        let wide = finish(self.wide);
        match self.narrow.map(finish) {
            Some(narrow) => (narrow, [wide].into()),
            None => (wide, [].into()),
        }
    }
}

/// Parses the checksum of a row.
pub(super) fn parse(text: &str) -> Option<Checksum> {
    text.parse().ok().map(|sum: u64| Checksum::new(sum.to_be_bytes()))
}

/// Returns a checksum as a row has it.
pub(super) fn decimal(checksum: Checksum) -> String {
    checksum.bytes().iter().fold(0, |sum: u64, byte| (sum << u8::BITS) | u64::from(*byte)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums of refinery-core's own `Migration::unapplied` with `SchemaVersion` of 32 and of 64 bits.
    #[test]
    fn sums_are_those_of_refinery() {
        let mut sums = Sums::new("initial", "1");
        sums.add(b"CREATE TABLE persons (id int, ");
        sums.add(b"name varchar(255), city varchar(255));");
        let (narrow, others) = sums.finish();
        assert_eq!((decimal(narrow), decimal(others[0])), ("9011118159008407467".into(), "4937351808774016580".into()));
        assert_eq!(parse(&decimal(narrow)), Some(narrow));
        let (_, others) = Sums::new("a", "20240101000000").finish();
        assert!(others.is_empty());
    }
}
