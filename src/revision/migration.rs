//! Migrations and their sections.

use std::sync::Arc;
use std::time::Duration;

use super::{Checksum, Direction, Fingerprint, TransactionMode, Version};

/// A migration as the directory has it. The text of its files stays on disk until a step runs.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The version of the revision.
    pub(crate) version: Version,
    /// The words of the file name.
    pub(crate) description: Box<str>,
    /// The versions that the revision depends on; `None` means the previous revision.
    pub(crate) parents: Option<Box<[Version]>>,
    /// The section that applies the revision.
    pub(crate) up: Section,
    /// The name of the file with the section that undoes the revision; `None` if there is none. The file is read only
    /// when it is needed.
    pub(crate) down: Option<Box<str>>,
}

/// The part of a migration for one direction.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name of the file.
    pub(crate) file: Box<str>,
    /// The options with which the section is run. All files without options share one value.
    pub(crate) options: Arc<SectionOptions>,
    /// The fingerprint of the text.
    pub(crate) fingerprint: Fingerprint,
    /// The checksum of the section in the history.
    pub(crate) checksum: Checksum,
}

/// The options with which a section is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SectionOptions {
    /// In a transaction, or statement by statement without one.
    pub(crate) mode: TransactionMode,
    /// The lock timeout; `None` means the setting of the run.
    pub(crate) lock_timeout: Option<Duration>,
    /// The statement timeout; `None` means the setting of the run.
    pub(crate) statement_timeout: Option<Duration>,
    /// The reason why the revision cannot be undone; `None` means that it may be undone.
    pub(crate) irreversible: Option<String>,
}

/// One section of a migration that is about to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectedScript<'a> {
    /// The direction in which the section changes the database.
    pub(crate) direction: Direction,
    /// The section.
    pub(crate) section: &'a Section,
    /// The number of statements in the section.
    pub(crate) statements: usize,
    /// For an upgrade: the checksum of the down script, which is recorded in the history row. `None` if there is no
    /// down script.
    pub(crate) down: Option<Checksum>,
}
