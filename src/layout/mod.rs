//! The layouts of migration directories: which files are migrations, of which version and direction, which problems a
//! directory has, and which files a new revision has.
//!
//! Everything here is computed from the names of files and from their texts, which `directory` lists and reads. Only a
//! layout knows how versions are written and ordered, and how files are named.

mod contents;
mod dbmate;
mod detect;
mod diesel;
mod flyway;
mod golang_migrate;
mod goose;
mod in_parts;
mod line_sections;
pub mod native;
mod number;
mod one_file;
mod pop;
mod prisma;
mod refinery;
mod script_files;
mod slug;
mod sql_migrate;
mod sqlx_migrate;
mod text_version;
mod tool_history;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Debug;

pub(crate) use contents::DirectoryContents;
pub(crate) use detect::{Detected, LayoutChoice};

use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::revision::{Fingerprint, Migration, Policy, Section, Version};

/// Lockkeeper's own layout: `NNNN_description.up.sql` and `NNNN_description.down.sql`.
pub const NATIVE: &dyn Layout = &native::Native;

/// All layouts. Of those that fit a directory alike, the first one is used for a database without a history.
pub(crate) const LAYOUTS: [&dyn Layout; 11] = [
    NATIVE,
    &golang_migrate::GolangMigrate,
    &sqlx_migrate::SqlxMigrate,
    &goose::Goose,
    &dbmate::Dbmate,
    &sql_migrate::SqlMigrate,
    &diesel::Diesel,
    &prisma::Prisma,
    &pop::Pop,
    &refinery::Refinery,
    &flyway::Flyway,
];

/// Returns the reason why a directory has no migrations; `form` is the form of their names.
fn describe_empty(form: &str) -> String {
    format!("holds no migrations ({form})")
}

/// Returns the layout of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn Layout> {
    LAYOUTS.into_iter().find(|layout| layout.name() == name)
}

/// The rules by which a directory is read as migrations.
pub trait Layout: Debug + Sync {
    /// Returns the name of the layout in the settings.
    fn name(&self) -> &'static str;

    /// Returns how well the layout fits a directory. `head` is the beginning of its first file of SQL.
    fn fit(&self, listing: &Listing, head: &str) -> Fit;

    /// Returns the name that the history table has unless the settings name another.
    fn history_table(&self) -> &'static str;

    /// Returns the rules by which scripts run.
    fn policy(&self) -> &'static Policy;

    /// Parses the text of a version. Returns `None` for a text that is no version in this layout.
    fn version(&self, text: &str) -> Option<Version>;

    /// Finds the migrations among the entries of a directory and reads their files, except for those files that only
    /// undo a migration.
    fn read(&self, listing: Listing, dialect: Dialect, files: &mut dyn TextFiles) -> DirectoryContents;

    /// Reads the section that undoes a migration. Returns `None` if there is none.
    ///
    /// # Errors
    /// Fails with a line that describes the problem of the file.
    fn read_down(&self, migration: &Migration, dialect: Dialect, files: &mut dyn TextFiles) -> DownSection;

    /// Returns the reason why a directory has no migrations.
    fn describe_empty(&self) -> String;

    /// Returns the version of the next revision, which comes after the newest one; `now` is the present time in the
    /// form `YYYYMMDDhhmmss`. Returns `None` if no version is left.
    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version>;

    /// Returns the format of the history table.
    fn history(&self) -> &'static dyn HistoryFormat;

    /// Reports whether a directory has repeatable scripts.
    fn has_repeatables(&self, _listing: &Listing) -> bool {
        false
    }

    /// Returns the format of the history table with which the records of repeatable scripts are read, too.
    fn history_with_repeatables(&self) -> &'static dyn HistoryFormat {
        self.history()
    }

    /// Returns the files of a new revision, in the order in which they are written. Returns `None` if its message
    /// leaves nothing for a file name.
    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>>;
}

/// The section that undoes a migration, or a line that describes the problem of its file.
pub type DownSection = Result<Option<Section>, String>;

/// The files of a directory, by their names.
pub trait TextFiles {
    /// Reads a file to its end, passes its bytes to `bytes` and its text to `piece`, part by part, and returns the
    /// fingerprint of the text.
    ///
    /// # Errors
    /// Fails if the file cannot be read, and with the error that `piece` returns. The error is the rest of a line that
    /// begins with the name of the file.
    fn read(
        &mut self,
        file: &str,
        bytes: &mut dyn FnMut(&[u8]),
        piece: &mut dyn FnMut(&str) -> Result<(), String>,
    ) -> Result<Fingerprint, String>;

    /// Returns the same files, to be read on another thread.
    fn fork(&self) -> Box<dyn TextFiles + Send + '_>;

    /// Returns a text of a section with the values of the section's variables. Returns `None` if one has no value.
    fn with_values(&self, section: &Section, text: &str) -> Option<String>;
}

/// The entries of a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// The names of all entries, in no order.
    pub(crate) names: Vec<OsString>,
    /// The subdirectories that are not hidden, in no order.
    pub(crate) directories: Vec<Subdirectory>,
    /// The subdirectories that cannot be read, each a line with the reason.
    pub(crate) unreadable: Vec<String>,
}

impl Listing {
    /// Returns the paths of all files and of the files in folders, except for hidden ones, in no order.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let in_folders = self
            .directories
            .iter()
            .flat_map(|directory| directory.files.iter().map(move |file| format!("{}/{file}", directory.name)));
        self.plain_names().map(Cow::Borrowed).chain(in_folders.map(Cow::Owned))
    }

    /// Returns a problem for each name of SQL that is not UTF-8, which no layout can read and tools may run.
    pub(crate) fn unreadable_names(&self) -> Vec<String> {
        let names = self.names.iter().filter(|name| name.to_str().is_none()).map(|name| name.to_string_lossy());
        let scripts = names.filter(|name| name.to_ascii_lowercase().ends_with(".sql") && !name.starts_with('.'));
        scripts.map(|name| format!("{name}: its name is not UTF-8; give it another name")).collect()
    }

    /// Returns the names that are UTF-8 and not hidden, in no order.
    pub(crate) fn plain_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.to_str()).filter(|name| !name.starts_with('.'))
    }
}

/// The degree to which a layout fits a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The directory is none of the layout.
    No,
    /// The directory may be one of the layout.
    Possible,
    /// The directory is one of the layout, for the reason in the sentence.
    Certain(String),
}

/// A subdirectory and the files in it.
#[derive(Debug)]
pub struct Subdirectory {
    /// The name of the subdirectory.
    pub(crate) name: String,
    /// The names of the files in it, and the paths of the files in its own subdirectories, in no order. Whatever is no
    /// directory counts as a file.
    pub(crate) files: Vec<String>,
    /// True if it has subdirectories.
    pub(crate) has_directories: bool,
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
    /// The name of the file; `folder/name` is a file in a new folder.
    pub(crate) file: String,
    /// The text of the file.
    pub(crate) text: String,
}
