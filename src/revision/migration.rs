//! Migrations and their sections.

use std::sync::Arc;
use std::time::Duration;

use super::policy::ForeignKeyPolicy;
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
    /// The checksum of the section in the history; `None` if the layout records none.
    pub(crate) checksum: Option<Checksum>,
    /// The part of the file that is the section; `None` is the whole file.
    pub(crate) part: Option<Box<FilePart>>,
}

impl Section {
    /// Returns the checksum of the section if it differs from the recorded one. A section without a checksum is taken
    /// for unchanged.
    pub(crate) fn changed_from(&self, recorded: Option<Checksum>) -> Option<Checksum> {
        let is_recorded = |now: &Checksum| recorded == Some(*now);
        self.checksum.filter(|now| !is_recorded(now) && !self.options.other_checksums.iter().any(is_recorded))
    }

    /// Returns the state of foreign keys while the section runs in the layout with this policy.
    pub(crate) fn foreign_keys(&self, policy: ForeignKeyPolicy) -> ForeignKeyPolicy {
        if self.options.switches_foreign_keys_off { ForeignKeyPolicy::Off } else { policy }
    }

    /// Checks that the section can be run.
    ///
    /// # Errors
    /// Fails with a line that says why only another tool can run it.
    pub(crate) fn check_supported(&self) -> Result<(), Vec<String>> {
        match &self.options.unsupported {
            Some(reason) => Err(vec![format!("{}: {reason}", self.file)]),
            None => Ok(()),
        }
    }
}

/// The lines of a file that are a section. The offsets count bytes of the text as it is read: without the byte order
/// mark, and with LF as line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePart {
    /// The offset of the first byte, which begins a line.
    pub(crate) start: u64,
    /// The offset behind the last byte.
    pub(crate) end: u64,
    /// The number of the first line, counted from 1.
    pub(crate) line: usize,
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
    /// The variables in the section, which are replaced by their values.
    pub(crate) variables: Box<[Variable]>,
    /// The reason why only another tool can run the section; `None` means that it can be run.
    pub(crate) unsupported: Option<String>,
    /// Other checksums by which the tool of the layout recognises the section as unchanged.
    pub(crate) other_checksums: Box<[Checksum]>,
    /// True if the section switches foreign keys of SQLite off before it rebuilds tables, as its tool does outside of a
    /// transaction. In one, the statement has no effect.
    pub(crate) switches_foreign_keys_off: bool,
    /// True if the section may be applied behind later revisions, in a layout that otherwise refuses that.
    pub(crate) may_come_late: bool,
}

/// A variable in a section: `${name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The text between the braces.
    pub(crate) name: Box<str>,
    /// The name of the environment variable that has its value.
    pub(crate) environment: Box<str>,
    /// The first line in which it stands, counted from 1, if the layout notes that.
    pub(crate) line: Option<usize>,
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
