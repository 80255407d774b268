//! Migrations, their sections and the checksums of their texts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Direction, TransactionMode, Version};

/// The SHA-256 of a script's text, without the byte order mark and with LF as line end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Checksum> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text, &mut sum).ok()?;
        Some(Checksum(sum))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A migration as the directory has it. The text of its files stays on disk until a step runs.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The version of the revision.
    pub version: Version,
    /// The words of the file name.
    pub description: Box<str>,
    /// The versions that the revision depends on; `None` means the previous revision.
    pub parents: Option<Box<[Version]>>,
    /// The section that applies the revision.
    pub up: Section,
    /// The name of the file with the section that undoes the revision; `None` if there is none. The file is read only
    /// when it is needed.
    pub down: Option<Box<str>>,
}

/// The part of a migration for one direction.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name of the file.
    pub file: Box<str>,
    /// The settings with which the file is run. All files without settings share one value.
    pub header: Arc<Header>,
    /// The checksum of the file.
    pub checksum: Checksum,
}

/// The settings with which a section is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// In a transaction, or statement by statement without one.
    pub mode: TransactionMode,
    /// The lock timeout; `None` means the setting of the run.
    pub lock_timeout: Option<Duration>,
    /// The statement timeout; `None` means the setting of the run.
    pub statement_timeout: Option<Duration>,
    /// The reason why the revision cannot be undone; `None` means that it may be undone.
    pub irreversible: Option<String>,
}

/// One section of a migration that is about to run.
#[derive(Clone, Copy, Debug)]
pub struct DirectedScript<'a> {
    /// The direction in which the file changes the database.
    pub direction: Direction,
    /// The name of the file.
    pub file: &'a str,
    /// The settings with which the file is run.
    pub header: &'a Header,
    /// The checksum of the file.
    pub checksum: Checksum,
    /// The number of statements in the file.
    pub statements: usize,
    /// For an upgrade: the checksum of the down script, which is recorded in the history row. `None` if there is no
    /// down script.
    pub down: Option<Checksum>,
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
