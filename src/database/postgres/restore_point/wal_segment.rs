//! Segments of the write-ahead log, and positions in it.

use std::fmt;

/// The number of hexadecimal digits of the name of a segment: eight for each of timeline, log file and segment in it.
const NAME_LENGTH: usize = 24;

/// A file of the write-ahead log of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalSegment {
    /// The timeline: the segments of two timelines are not in one order.
    pub(crate) timeline: u32,
    /// The position of the segment in the log of its timeline.
    pub(crate) number: u64,
    /// The size of every segment of the server in bytes.
    size: u64,
}

impl WalSegment {
    /// Returns the segment that has the last byte before a position, which is where a record ends.
    /// `pg_walfile_name` is not asked: for a position between two segments, it gives the first one up to version 15 and
    /// the second one since version 16.
    pub(super) fn before(end: u64, timeline: u32, size: u64) -> WalSegment {
        WalSegment { timeline, number: end.saturating_sub(1) / size.max(1), size: size.max(1) }
    }

    /// Parses the name of a segment. Returns `None` for the other files that are archived: timeline histories
    /// (`00000002.history`), the labels of backups (`....backup`) and segments that end with a timeline (`....partial`).
    pub(super) fn parse(name: &str, size: u64) -> Option<WalSegment> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
        if name.len() != NAME_LENGTH || !name.bytes().all(is_digit) {
            return None;
        }
        let part = |at: usize| u32::from_str_radix(&name[at..at + 8], 16).ok();
        let (timeline, log, segment) = (part(0)?, u64::from(part(8)?), u64::from(part(16)?));
        Some(WalSegment { timeline, number: log * per_log_file(size) + segment, size: size.max(1) })
    }

    /// Reports whether the segment is this one or an earlier one of the same timeline.
    pub(super) fn is_up_to(&self, other: &WalSegment) -> bool {
        self.timeline == other.timeline && self.number <= other.number
    }
}

/// Returns the number of segments of a log file, which has 4 GiB.
fn per_log_file(size: u64) -> u64 {
    ((1 << 32) / size.max(1)).max(1)
}

/// Writes the name of the file.
impl fmt::Display for WalSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_log_file = per_log_file(self.size);
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.number / per_log_file, self.number % per_log_file)
    }
}

/// Parses a position of the log as PostgreSQL writes it, such as `16/B374D848`.
pub(super) fn parse_position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |text| u32::from_str_radix(text, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_position_between_two_segments_belongs_to_the_first_one() {
        for (position, size, name) in [
            ("0/3000060", 16 * MIB, "000000010000000000000003"),
            ("0/3000000", 16 * MIB, "000000010000000000000002"),
            ("0/3000001", 16 * MIB, "000000010000000000000003"),
            ("1/0", 16 * MIB, "0000000100000000000000FF"),
            ("1/1", 16 * MIB, "000000010000000100000000"),
            ("16/B374D848", 16 * MIB, "0000000100000016000000B3"),
            ("16/B374D848", MIB, "000000010000001600000B37"),
            ("16/B374D848", 1024 * MIB, "000000010000001600000002"),
        ] {
            let position = parse_position(position).expect(position);
            let segment = WalSegment::before(position, 1, size);
            assert_eq!(segment.to_string(), name);
            assert_eq!(WalSegment::parse(name, size), Some(segment));
        }
    }

    #[test]
    fn other_archived_files_are_no_segments() {
        for name in [
            "00000002.history",
            "000000010000000000000004.00000028.backup",
            "000000010000000000000004.partial",
            "00000001000000000000000",
            "00000001000000000000000g",
            "",
        ] {
            assert_eq!(WalSegment::parse(name, 16 * MIB), None, "{name}");
        }
    }

    #[test]
    fn segments_are_ordered_by_number_and_within_a_timeline_only() {
        let segment = |name| WalSegment::parse(name, 16 * MIB).expect(name);
        let point = segment("000000020000000100000000");
        assert!(segment("0000000200000000000000FF").is_up_to(&point) && point.is_up_to(&point));
        assert!(!segment("000000020000000100000001").is_up_to(&point));
        // As texts, the first one would be after and the second one before.
        assert!(!segment("000000030000000000000001").is_up_to(&point));
        assert!(!segment("000000010000000000000001").is_up_to(&point));
    }
}
