//! The digest of a table's rows, which does not depend on their order.

use std::fmt;

use twox_hash::XxHash3_128;

/// The sum of the hashes of all rows modulo 2^128, and the number of rows.
///
/// The hashes are added, because rows come in any order and a row that occurs twice has to count twice: an exclusive or
/// would cancel the two. The digest finds accidental differences. It does not protect against an attacker, since the
/// hash has no secret key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    sum: u128,
    rows: u64,
}

impl Digest {
    /// Adds a row: its fields in their canonical form, each after its length, so that different rows have different
    /// bytes.
    pub fn add(&mut self, row: &[u8]) {
        self.sum = self.sum.wrapping_add(hash(row));
        self.rows += 1;
    }

    /// Removes a row that was added before.
    pub(crate) fn remove(&mut self, row: &[u8]) {
        self.sum = self.sum.wrapping_sub(hash(row));
        self.rows -= 1;
    }

    /// Adds the digest of another part of the same table.
    pub(crate) fn merge(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows += other.rows;
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }
}

/// Returns the 128-bit XXH3 hash of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Digest {
        let mut digest = Digest::default();
        for row in rows {
            digest.add(row.as_bytes());
        }
        digest
    }

    #[test]
    fn the_order_of_rows_does_not_count_but_their_number_and_bytes_do() {
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        for other in [&["a", "b"][..], &["a", "b", "b"], &["a", "b", "c", "c"], &["a", "b", "C"], &[]] {
            assert_ne!(of(&["a", "b", "c"]), of(other));
        }
        // An exclusive or would lose rows that occur twice.
        assert_ne!(of(&["a", "a"]), of(&["b", "b"]));
        assert_eq!(of(&["a", "b"]).rows(), 2);
    }

    #[test]
    fn a_row_that_is_taken_away_was_never_there() {
        let mut digest = of(&["a", "b", "b", "c"]);
        digest.remove(b"b");
        assert_eq!(digest, of(&["c", "a", "b"]));
    }

    #[test]
    fn parts_are_merged_into_the_whole() {
        let mut part = of(&["a", "d"]);
        part.merge(of(&["b", "c"]));
        assert_eq!(part, of(&["a", "b", "c", "d"]));
        assert_eq!(part.to_string(), of(&["d", "c", "b", "a"]).to_string());
    }

    /// The hash is XXH3 with 128 bits: digests that were recorded earlier stay comparable.
    #[test]
    fn an_empty_row_has_the_published_hash() {
        assert_eq!(of(&[""]).to_string(), "99aa06d3014798d86001c324468d497f");
    }
}
