//! Digests of rows in buckets by key, which find the rows that differ: after the buckets are compared, a second read
//! looks only at the few rows in the buckets that differ. Neither side has to be sorted, and only the buckets are kept
//! in memory.

use std::collections::{BTreeSet, HashMap};

use super::canonical::CanonicalForm;
use super::digest::{Digest, hash};
use super::plan::TableMapping;

/// The number of buckets of a table: a bucket is selected by two bytes of the hash of a key.
const BUCKETS: usize = 1 << 16;

/// The length that marks a field whose value does not fit its type. The server never sends such a length, so that the
/// field never equals one of the server.
pub(crate) const UNFIT: i32 = -2;

/// A row in the form in which it is compared.
pub(crate) struct KeyedRow<'a> {
    /// The hash of the row's key, or of the whole row when the table has no key.
    pub(crate) key: u128,
    /// The fields in their canonical form.
    pub(crate) normal: &'a [u8],
}

impl KeyedRow<'_> {
    /// Returns the hash of each field.
    pub(crate) fn fields(&self) -> Vec<u128> {
        fields(self.normal).map(hash).collect()
    }
}

/// Computes the keys of the rows of a table.
pub(crate) struct KeyFinder {
    canonical: CanonicalForm,
    key_positions: Vec<usize>,
    key: Vec<u8>,
}

impl KeyFinder {
    /// Creates a key finder for the columns of a table mapping.
    pub(crate) fn for_table(mapping: &TableMapping) -> KeyFinder {
        KeyFinder { canonical: CanonicalForm::new(mapping.types()), key_positions: key(mapping), key: Vec::new() }
    }

    /// Returns the keyed row of a row of binary COPY, whose fields are each after their length.
    pub(crate) fn row<'a>(&'a mut self, bytes: &'a [u8]) -> KeyedRow<'a> {
        // A row without a canonical form is compared unchanged, and therefore differs.
        let normal = self.canonical.row(bytes).unwrap_or(bytes);
        if self.key_positions.is_empty() {
            return KeyedRow { key: hash(normal), normal };
        }
        self.key.clear();
        for (at, field) in fields(normal).enumerate() {
            if self.key_positions.contains(&at) {
                self.key.extend_from_slice(field);
            }
        }
        KeyedRow { key: hash(&self.key), normal }
    }
}

/// Returns the positions of the key columns among the columns that are copied. The key is the primary key of the
/// target, or else that of the source. The result is empty when there is no such key.
pub(crate) fn key(mapping: &TableMapping) -> Vec<usize> {
    let target = mapping
        .target
        .key
        .iter()
        .map(|name| mapping.columns.iter().position(|column| mapping.target.columns[column.target].name == *name));
    let source = mapping.source.primary_key().into_iter();
    let source = source.map(|at| mapping.columns.iter().position(|column| column.source == at));
    let key_positions = target.collect::<Option<Vec<usize>>>().filter(|key_positions| !key_positions.is_empty());
    key_positions.or_else(|| source.collect()).unwrap_or_default()
}

/// Splits a row into its fields, each with its length.
fn fields(mut remaining: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = i32::from_be_bytes(*remaining.first_chunk()?);
        let (field, after) = remaining.split_at_checked(4 + usize::try_from(length).unwrap_or(0))?;
        remaining = after;
        Some(field)
    })
}

/// The digests of the rows of a table, one for each bucket.
pub(crate) struct Buckets(Vec<Digest>);

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets(vec![Digest::default(); BUCKETS])
    }
}

impl Buckets {
    /// Adds a row to the bucket of its key.
    pub(crate) fn add(&mut self, row: &KeyedRow<'_>) {
        self.0[bucket(row.key)].add(row.normal);
    }

    /// Returns the digest of all rows.
    pub(crate) fn total(&self) -> Digest {
        let mut total = Digest::default();
        self.0.iter().for_each(|bucket| total.merge(*bucket));
        total
    }

    /// Returns the buckets whose digests differ: the first `limit` of them.
    pub(crate) fn differing(&self, other: &Buckets, limit: usize) -> SuspectBuckets {
        let differ = (0..BUCKETS).filter(|&at| self.0[at] != other.0[at]);
        SuspectBuckets(differ.take(limit).collect())
    }
}

/// Returns the index of the bucket of a key's hash.
fn bucket(key: u128) -> usize {
    const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();
    (key >> (u128::BITS - BUCKET_BITS)) as usize
}

/// The indexes of the buckets in which at least one row differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SuspectBuckets(BTreeSet<usize>);

impl SuspectBuckets {
    /// Reports whether no bucket differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports whether the bucket of this hash of a key differs.
    pub(crate) fn has(&self, key: u128) -> bool {
        self.0.contains(&bucket(key))
    }
}

/// The digest of the rows of each key; a key is represented by its hash.
pub(crate) type KeyDigests = HashMap<u128, Digest>;

/// Returns keys whose rows differ, at most `limit` of them. The parts of each tuple are the hash of the key, the digest
/// of its rows in `source`, and the digest of its rows in `target`.
pub(crate) fn differing(source: &KeyDigests, target: &KeyDigests, limit: usize) -> Vec<(u128, Digest, Digest)> {
    let keys: BTreeSet<u128> = source.keys().chain(target.keys()).copied().collect();
    let digest_of = |digests: &KeyDigests, key| digests.get(&key).copied().unwrap_or_default();
    let pairs = keys.into_iter().map(|key| (key, digest_of(source, key), digest_of(target, key)));
    pairs.filter(|(_, source, target)| source != target).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u128, normal: &str) -> KeyedRow<'_> {
        KeyedRow { key, normal: normal.as_bytes() }
    }

    fn of(rows: &[(u128, &'static str)]) -> (Buckets, KeyDigests) {
        let (mut buckets, mut found) = (Buckets::default(), KeyDigests::new());
        for &(key, normal) in rows {
            buckets.add(&row(key, normal));
            found.entry(key).or_default().add(normal.as_bytes());
        }
        (buckets, found)
    }

    /// A hash of a key in the first of two buckets.
    const LOW: u128 = 7;
    const HIGH: u128 = u128::MAX;

    #[test]
    fn rows_that_differ_are_found_by_their_keys() {
        // Each row contains its key.
        let rows: &[(u128, &str)] = &[(LOW, "7a"), (LOW + 1, "8b"), (HIGH, "9c")];
        let (buckets, found) = of(rows);
        for (other, keys) in [
            (&[(HIGH, "9c"), (LOW, "7a"), (LOW + 1, "8b")][..], &[][..]),
            (&[(LOW, "7a"), (LOW + 1, "8x"), (HIGH, "9c")], &[LOW + 1]),
            (&[(LOW, "7b"), (LOW + 1, "8a"), (HIGH, "9c")], &[LOW, LOW + 1]),
            (&[(LOW, "7a"), (LOW + 1, "8b")], &[HIGH]),
            (&[(LOW, "7a"), (LOW + 1, "8b"), (HIGH, "9c"), (HIGH, "9c")], &[HIGH]),
            (&[], &[LOW, LOW + 1, HIGH]),
        ] {
            let (others, others_found) = of(other);
            let suspects = buckets.differing(&others, 9);
            for &(key, _) in rows {
                assert_eq!(suspects.has(key), keys.iter().any(|differs| bucket(*differs) == bucket(key)), "{other:?}");
            }
            let differ: Vec<u128> = differing(&found, &others_found, 9).into_iter().map(|(key, ..)| key).collect();
            assert_eq!(differ, keys, "{other:?}");
            assert_eq!(buckets.total() == others.total(), keys.is_empty());
        }
    }

    #[test]
    fn no_more_is_looked_for_than_was_asked() {
        let (buckets, found) = of(&[(LOW, "a"), (HIGH, "b")]);
        let nothing = of(&[]);
        let suspects = buckets.differing(&nothing.0, 1);
        assert!(suspects.has(LOW) && !suspects.has(HIGH));
        assert_eq!(differing(&found, &nothing.1, 1).len(), 1);
    }

    #[test]
    fn fields_are_cut_at_their_lengths_whatever_these_say() {
        let bytes = [0, 0, 0, 2, 7, 8, 255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 0];
        let cut: Vec<&[u8]> = fields(&bytes).collect();
        assert_eq!(cut, [&bytes[..6], &bytes[6..10], &bytes[10..14], &bytes[14..]]);
    }
}
