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
use reader::{MigrationReader, checksum, read_section};

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
        let is_ours = |name: &str| !file_name::description(name).is_empty();
        if listing.plain_names().any(is_ours) { Fit::Possible } else { Fit::No }
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
        let mut reader = MigrationReader { files, plain: Arc::default(), problems: Vec::new() };
        let listed = file_name::list(listing.names, &mut reader.problems);
        contents.repeatables = listed.repeatables.iter().filter_map(|file| reader.repeatable(file)).collect();
        let mut listed = listed.revisions.into_iter().peekable();
        while let Some(file) = listed.next() {
            let mut of_one = vec![file];
            while let Some(next) = listed.next_if(|next| next.version == of_one[0].version) {
                of_one.push(next);
            }
            let version = of_one[0].version.clone();
            match reader.migration(of_one) {
                Some(migration) => contents.migrations.push(migration),
                None => contents.unread.push(version),
            }
        }
        DirectoryContents { problems: reader.problems, ..contents }
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
