//! The layout of Flyway: `V<version>__<description>.sql` in folders of any depth, `U<version>__<description>.sql`, and the
//! table `flyway_schema_history` (Flyway 5 to 11, `flyway-core/src/main/java/org/flywaydb/core/internal`).

mod config_file;
mod file_name;
mod placeholders;
mod repeatable;
mod script;
mod table;
mod version;

use std::borrow::Cow;
use std::collections::HashSet;

use file_name::{CONFIG, FlywayFile, classify};
use table::FlywayTable;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::ToolHistory;
use super::{DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles};
use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Migration, Policy, Section, Version};

/// The layout of Flyway.
#[derive(Debug)]
pub(super) struct Flyway;

/// The rules by which Flyway runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Refused,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "put it into a migration of its own, or write executeInTransaction=false into NAME.sql.conf beside the file",
};

impl Layout for Flyway {
    fn name(&self) -> &'static str {
        "flyway"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let (mut certain, mut has_versioned) = (None, false);
        for file in listing.all_files().filter(|file| file_name::may_be_ours(file)) {
            has_versioned |= matches!(classify(&file), Some(FlywayFile::Versioned { .. }));
            if certain.is_none() && file_name::is_certain(&file) {
                certain = Some(file);
            }
        }
        match certain {
            _ if !has_versioned => Fit::No,
            Some(file) => Fit::Certain(format!("the name of {file} is one of Flyway")),
            None => Fit::Possible,
        }
    }

    fn history_table(&self) -> &'static str {
        "flyway_schema_history"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version::parse(text)
    }

    fn read(&self, listing: Listing, dialect: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let all: HashSet<String> = listing.all_files().map(Cow::into_owned).collect();
        let (mut found, mut downs, mut repeatables) = (Vec::new(), Vec::new(), Vec::new());
        let mut problems = listing.unreadable;
        for file in &all {
            match classify(file) {
                Some(FlywayFile::Versioned { version, description, .. }) => found.push(ScriptFiles {
                    version,
                    description: description.replace('_', " ").into(),
                    up: file.as_str().into(),
                    down: None,
                }),
                Some(FlywayFile::Undo(version)) => downs.push((version, file.as_str())),
                Some(FlywayFile::Repeatable(description)) => repeatables.push((description, file.as_str())),
                Some(FlywayFile::Refused(problem)) => problems.push(format!("{file}: {problem}")),
                None => {}
            }
        }
        problems.extend(script_files::pair(&mut found, downs));
        problems.sort();
        let mut section = |file: &str| {
            let config = format!("{file}{CONFIG}");
            script::section(files, file, all.contains(&config).then_some(&*config), dialect)
        };
        let sections = repeatables.into_iter().map(|(description, file)| (description, section(file))).collect();
        let contents = script_files::read(found, problems, section);
        repeatable::add(contents, sections, files)
    }

    fn has_repeatables(&self, listing: &Listing) -> bool {
        listing.all_files().any(|file| matches!(classify(&file), Some(FlywayFile::Repeatable(_))))
    }

    fn read_down(&self, migration: &Migration, dialect: Dialect, files: &mut dyn TextFiles) -> DownSection {
        let down = migration.down.as_ref().map(|file| script::section(files, file, None, dialect)).transpose()?;
        // The row of a migration has the checksum of its own script alone.
        Ok(down.map(|down| Section { checksum: None, ..down }))
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VVERSION__DESCRIPTION.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        version::next(newest, now)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(FlywayTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = format!("{}__{}.sql", revision.version, slug(revision.message)?);
        let file = |prefix: char, text: &str| NewScript { file: format!("{prefix}{name}"), text: text.into() };
        Some(match revision.content {
            NewContent::Change | NewContent::Join => vec![file('V', "")],
            NewContent::Written { up, down } => vec![file('V', up), file('U', down)],
        })
    }
}
