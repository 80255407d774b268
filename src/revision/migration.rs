//! Migrations and their sections.

use std::sync::Arc;
use std::time::Duration;

use super::{Checksum, Direction, Fingerprint, TransactionMode, Version};

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
    /// The options with which the section is run. All files without options share one value.
    pub options: Arc<SectionOptions>,
    /// The fingerprint of the text.
    pub fingerprint: Fingerprint,
    /// The checksum of the section in the history.
    pub checksum: Checksum,
}

/// The options with which a section is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionOptions {
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
    /// The direction in which the section changes the database.
    pub direction: Direction,
    /// The section.
    pub section: &'a Section,
    /// The number of statements in the section.
    pub statements: usize,
    /// For an upgrade: the checksum of the down script, which is recorded in the history row. `None` if there is no
    /// down script.
    pub down: Option<Checksum>,
}
