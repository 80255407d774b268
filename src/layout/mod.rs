//! The layouts of migration directories: which files are migrations, of which version and direction, which problems a
//! directory has, and which files a new revision has.
//!
//! Everything here is computed from the names of files and from their texts, which `directory` lists and reads. Only a
//! layout knows how versions are written and ordered, and how files are named.

mod contents;
pub mod native;

use std::ffi::OsString;
use std::fmt::Debug;

pub(crate) use contents::DirectoryContents;

use crate::revision::history::HistoryFormat;
use crate::revision::{Fingerprint, Migration, Section, Version};

/// Lockkeeper's own layout: `NNNN_description.up.sql` and `NNNN_description.down.sql`.
pub const NATIVE: &dyn Layout = &native::Native;

/// The rules by which a directory is read as migrations.
pub trait Layout: Debug + Sync {
    /// Parses the text of a version. Returns `None` for a text that is no version in this layout.
    fn version(&self, text: &str) -> Option<Version>;

    /// Finds the migrations among the names of the directory's entries and reads their files, except for those files
    /// that only undo a migration.
    fn read(&self, names: Vec<OsString>, files: &mut dyn TextFiles) -> DirectoryContents;

    /// Reads the section that undoes a migration. Returns `None` if there is none.
    ///
    /// # Errors
    /// Fails with a line that describes the problem of the file.
    fn read_down(&self, migration: &Migration, files: &mut dyn TextFiles) -> Result<Option<Section>, String>;

    /// Returns the reason why a directory has no migrations. `directories` are its subdirectories.
    fn describe_empty(&self, directories: &[Subdirectory]) -> String;

    /// Returns the version of the next revision, which comes after the newest one; `now` is the present time in the
    /// form `YYYYMMDDhhmmss`. Returns `None` if no version is left.
    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version>;

    /// Returns the format of the history table.
    fn history(&self) -> &'static dyn HistoryFormat;

    /// Returns the files of a new revision, in the order in which they are written. Returns `None` if its message
    /// leaves nothing for a file name.
    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>>;
}

/// The files of a directory, by their names.
pub trait TextFiles {
    /// Reads a file to its end, passes its text to `piece` part by part, and returns the fingerprint of the text.
    ///
    /// # Errors
    /// Fails if the file cannot be read, and with the error that `piece` returns. The error is the rest of a line that
    /// begins with the name of the file.
    fn read(&mut self, file: &str, piece: &mut dyn FnMut(&str) -> Result<(), String>) -> Result<Fingerprint, String>;
}

/// A subdirectory and the names of its files.
#[derive(Debug)]
pub struct Subdirectory {
    /// The name of the subdirectory.
    pub(crate) name: String,
    /// The names of the files in it, in no order.
    pub(crate) files: Vec<String>,
}

/// A revision whose files do not exist yet.
#[derive(Debug)]
pub struct NewRevision<'a> {
    /// The version of the revision.
    pub(crate) version: &'a Version,
    /// The description as the user wrote it.
    pub(crate) message: &'a str,
    /// The versions on which the revision depends.
    pub(crate) parents: &'a [Version],
    /// The SQL of the revision.
    pub(crate) content: NewContent<'a>,
}

/// The SQL of a new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewContent<'a> {
    /// SQL that somebody is going to write.
    Change,
    /// No SQL: the revision joins several heads.
    Join,
    /// SQL that exists, with the comments that introduce it.
    Written {
        /// The text that applies the revision.
        up: &'a str,
        /// The text that undoes it.
        down: &'a str,
    },
}

/// A file that is to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct NewScript {
    /// The name of the file.
    pub(crate) file: String,
    /// The text of the file.
    pub(crate) text: String,
}
