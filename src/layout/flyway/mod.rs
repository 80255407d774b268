//! The layout of Flyway: `V<version>__<description>.sql` in folders of any depth, `U<version>__<description>.sql`, and the
//! table `flyway_schema_history` (Flyway 5 to 11, `flyway-core/src/main/java/org/flywaydb/core/internal`).

mod config_file;
mod file_name;
mod placeholders;
mod repeatable;
mod table;
mod version;

use std::collections::HashSet;
use std::sync::Arc;

use config_file::ScriptConfig;
use file_name::{CONFIG, FlywayFile, PROGRAM, classify};
use placeholders::Placeholders;
use table::FlywayTable;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::ToolHistory;
use super::tool_history::values::CRC_32;
use super::{DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles};
use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::revision::needed_mode::{NeededMode, ScriptNeeds};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Checksum, Fingerprint, Migration, Policy, Section, SectionOptions, TransactionMode, Version};

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
        let files: Vec<String> = listing.all_files().collect();
        let is_versioned = |file: &String| matches!(classify(file), Some(FlywayFile::Versioned { .. }));
        match files.iter().find(|file| file_name::is_certain(file)) {
            _ if !files.iter().any(is_versioned) => Fit::No,
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
        let all: HashSet<String> = listing.all_files().collect();
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
                Some(FlywayFile::Repeatable(description)) => repeatables.push((description.replace('_', " "), file)),
                Some(FlywayFile::Undo(version)) => downs.push((version, file.as_str())),
                Some(FlywayFile::Refused(problem)) => problems.push(format!("{file}: {problem}")),
                None => {}
            }
        }
        problems.extend(script_files::pair(&mut found, downs));
        let mut section = |file: &str| {
            let config = format!("{file}{CONFIG}");
            section(files, file, all.contains(&config).then_some(&*config), dialect)
        };
        let repeatables = repeatable::read(repeatables, &mut problems, &mut section);
        problems.sort();
        DirectoryContents { repeatables, ..script_files::read(found, problems, section) }
    }

    fn read_down(&self, migration: &Migration, dialect: Dialect, files: &mut dyn TextFiles) -> DownSection {
        let down = migration.down.as_ref().map(|file| section(files, file, None, dialect)).transpose()?;
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

/// Reads a script: its checksum, which is the CRC-32 of its lines without their ends, its placeholders, and its mode.
/// `config` is the file with its settings, if it has one.
fn section(files: &mut dyn TextFiles, file: &str, config: Option<&str>, dialect: Dialect) -> Result<Section, String> {
    if matches!(classify(file), Some(FlywayFile::Versioned { is_program: true, .. })) {
        let options = Arc::new(SectionOptions { unsupported: Some(PROGRAM.into()), ..SectionOptions::default() });
        return Ok(Section {
            file: file.into(),
            options,
            fingerprint: Fingerprint([0; 32]),
            checksum: None,
            part: None,
        });
    }
    let config = config.map_or_else(|| Ok(ScriptConfig::default()), |config| config_file::read(files, config))?;
    let (mut sum, mut needs, mut placeholders) = (CRC_32.digest(), NeededMode::new(dialect), Placeholders::default());
    let fingerprint = files.read(file, &mut |_| {}, &mut |piece| {
        piece.split('\n').for_each(|part| sum.update(part.as_bytes()));
        needs.read(piece);
        placeholders.read(piece);
        Ok(())
    });
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let mut options = SectionOptions::default();
    match mode(&needs.finish(), config) {
        Ok(mode) => options.mode = mode,
        Err(problem) => options.unsupported = Some(problem),
    }
    match placeholders.finish() {
        _ if !config.placeholder_replacement => {}
        Ok(found) => options.variables = found,
        Err(problem) => options.unsupported = Some(problem),
    }
    let checksum = Some(Checksum::new(sum.finalize().to_be_bytes()));
    Ok(Section { file: file.into(), options: Arc::new(options), fingerprint, checksum, part: None })
}

/// Returns the mode in which Flyway runs a script (`ParserSqlScript`).
///
/// # Errors
/// Fails with a sentence if some statements refuse transactions and others do not, and the settings do not decide.
fn mode(needs: &ScriptNeeds, config: ScriptConfig) -> Result<TransactionMode, String> {
    match (config.execute_in_transaction, needs.refuses, needs.accepts) {
        (Some(true), ..) | (None, None, _) => Ok(TransactionMode::Transaction),
        (Some(false), ..) | (None, Some(_), None) => Ok(TransactionMode::NoTransaction),
        (None, Some(refuses), Some(accepts)) => Err(format!(
            "line {}: only some of the statements refuse transactions: put this one into a migration of its own, or write executeInTransaction=false into a file of that name with {CONFIG} behind it",
            refuses.line.max(accepts.line)
        )),
    }
}
