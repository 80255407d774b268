//! Lockkeeper's own layout: one file for each direction of a revision, whose name begins with the number of the
//! revision, and directives in the comments at the top of a file.

pub mod directives;
mod file_name;
mod history;
mod number;
mod reader;
mod scaffold;

use std::sync::Arc;

use history::NativeHistory;
use reader::{MigrationReader, checksum, read_revisions, read_section};

use super::in_parts::read_in_parts;
use super::{DirectoryContents, DownSection, Fit, Layout, Listing, NewRevision, NewScript, TextFiles};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, JournalUse};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Migration, Policy, Section, Version};

/// Lockkeeper's own layout.
#[derive(Debug)]
pub(super) struct Native;

/// The rules by which Lockkeeper's own scripts run.
static POLICY: Policy = Policy {
    session: SessionPolicy::Reset,
    late: LateRevisions::Refused,
    brackets: BracketPolicy::Refused,
    markers: MarkerPolicy::Refused,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "add the line `-- no-transaction` at the top of the file (best in a file of its own)",
};

impl Layout for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        if listing.plain_names().any(file_name::is_migration) { Fit::Possible } else { Fit::No }
    }

    fn history_table(&self) -> &'static str {
        "lockkeeper_history"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        number::parse(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let mut contents = DirectoryContents::default();
        let plain = Arc::default();
        let mut reader = MigrationReader { files, plain: Arc::clone(&plain), problems: Vec::new() };
        let listed = file_name::list(&listing.names, &mut reader.problems);
        contents.repeatables = listed.repeatables.iter().filter_map(|file| reader.repeatable(file)).collect();
        contents.problems = reader.problems;
        let revisions: Vec<_> = listed.revisions.chunk_by(|one, other| one.version == other.version).collect();
        let parts = read_in_parts(&revisions, files, |revisions, files| read_revisions(revisions, files, &plain));
        for part in parts {
            contents.migrations.extend(part.migrations);
            contents.unread.extend(part.unread);
            contents.problems.extend(part.problems);
        }
        contents
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        let Some(file) = &migration.down else {
            return Ok(None);
        };
        let (directives, fingerprint) = read_section(files, file)?;
        let (options, checksum) = (Arc::new(directives.options), checksum(fingerprint));
        Ok(Some(Section { file: file.clone(), options, fingerprint, checksum, part: None }))
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("NNNN_description.up.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        number::next(newest, now)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &NativeHistory { journal: JournalUse::WhenReferred }
    }

    fn has_repeatables(&self, listing: &Listing) -> bool {
        listing.plain_names().any(|name| file_name::repeatable(name).is_some())
    }

    fn history_with_repeatables(&self) -> &'static dyn HistoryFormat {
        &NativeHistory { journal: JournalUse::WhenPresent }
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        scaffold::files(revision)
    }
}
