//! The layout of Diesel: `<version>_<name>/up.sql` and `down.sql`, with an optional `metadata.toml`, and the table
//! `__diesel_schema_migrations` (diesel_migrations 2, `file_based_migrations.rs`; migrations_internals 2).

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::values::{TimeZone, as_text, no_text, time};
use super::tool_history::version_rows::{delete_version, insert_version};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, Subdirectory, TextFiles,
    text_version,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Migration, Policy, Section, SectionOptions, TransactionMode, Version};

/// The layout of Diesel.
#[derive(Debug)]
pub(super) struct Diesel;

/// The rules by which Diesel runs scripts. Its SQLite is the bundled one, which is built with foreign keys on.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::On,
    without_transaction: "write `run_in_transaction = false` into the file metadata.toml beside it",
};

/// The file that applies a revision, in the folder of the revision.
const UP: &str = "up.sql";
/// The file that undoes it.
const DOWN: &str = "down.sql";
/// The file with the options of both.
const METADATA: &str = "metadata.toml";

impl Layout for Diesel {
    fn name(&self) -> &'static str {
        "diesel"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let mut ours = listing.directories.iter().filter(|directory| has(directory, UP)).peekable();
        if ours.peek().is_none() {
            return Fit::No;
        }
        // Other tools may have such a folder among their files.
        let is_alone = !listing.plain_names().any(|name| name.ends_with(".sql"));
        match is_alone && ours.all(|directory| directory.name.starts_with(|c: char| c.is_ascii_digit())) {
            true => Fit::Certain("its folders have files up.sql".into()),
            false => Fit::Possible,
        }
    }

    fn history_table(&self) -> &'static str {
        "__diesel_schema_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut found, mut problems) = (Vec::new(), listing.unreadable);
        let mut modes = HashMap::new();
        for directory in &listing.directories {
            let name = &directory.name;
            match script_files(directory) {
                Ok(found_here) => {
                    if has(directory, METADATA) {
                        modes.insert(found_here.up.clone(), format!("{name}/{METADATA}"));
                    }
                    found.push(found_here);
                }
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
        }
        script_files::read(found, problems, |up| {
            let mode = match modes.get(up) {
                Some(metadata) => mode(files, metadata)?,
                None => TransactionMode::Transaction,
            };
            section(files, up, mode)
        })
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        migration.down.as_ref().map(|file| section(files, file, migration.up.options.mode)).transpose()
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VERSION_NAME/up.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        // The tool of Diesel 2.3 writes four more digits; its own first version has only zeros.
        let habit = newest.map(Version::as_str).filter(|text| text.bytes().any(|byte| byte != b'0'));
        let digits = habit.map_or_else(|| format!("{now}0000"), str::to_owned);
        text_version::next(newest, &digits, now, version)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(DieselTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = slug(revision.message)?;
        // `diesel migration generate` writes these lines.
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => {
                ("-- Your SQL goes here\n", "-- This file should undo anything in `up.sql`\n")
            }
            NewContent::Written { up, down } => (up, down),
        };
        let folder = format!("{}_{name}", with_hyphens(revision.version.as_str()));
        let file = |file: &str, text: &str| NewScript { file: format!("{folder}/{file}"), text: text.into() };
        Some(vec![file(UP, up), file(DOWN, down)])
    }
}

/// Parses a version, which is ordered as a text.
fn version(text: &str) -> Option<Version> {
    let is_plain = !text.is_empty() && !text.contains(|c: char| c == '\\' || c.is_control());
    is_plain.then(|| Version::new(text, text.as_bytes()))
}

/// Returns whether a folder has a file.
fn has(directory: &Subdirectory, file: &str) -> bool {
    directory.files.iter().any(|name| name == file)
}

/// Returns the files of a folder, each of which Diesel takes for a revision.
fn script_files(directory: &Subdirectory) -> Result<ScriptFiles, String> {
    let name = &directory.name;
    if !has(directory, UP) {
        return Err(format!("the folder has no file {UP}, and Diesel takes each folder for a migration"));
    }
    let (number, rest) = name.split_once('_').unwrap_or((name, ""));
    let version = version(&number.replace('-', "")).ok_or("its name has to begin with a version")?;
    Ok(ScriptFiles {
        version,
        description: rest.replace('_', " ").into(),
        up: format!("{name}/{UP}").into(),
        down: has(directory, DOWN).then(|| format!("{name}/{DOWN}").into()),
    })
}

/// Returns a version as the tool writes it in the name of a folder: `2026-01-12-093000-0000`.
fn with_hyphens(version: &str) -> String {
    let is_time = text_version::is_number(version) && version.len() >= 14;
    let parts = [0..4, 4..6, 6..8, 8..14, 14..version.len()];
    match is_time {
        true => parts.map(|part| &version[part]).join("-").trim_end_matches('-').into(),
        false => version.into(),
    }
}

/// The options of a folder. Diesel ignores every other key.
#[derive(Deserialize)]
struct Metadata {
    /// A file without the key means false, no file means true.
    #[serde(default)]
    run_in_transaction: bool,
}

/// Reads the mode of a folder. Diesel takes a file that is no TOML for a missing one; here it is a problem.
fn mode(files: &mut dyn TextFiles, file: &str) -> Result<TransactionMode, String> {
    /// The size of the largest file that is read, in bytes.
    const LARGEST: usize = 64 * 1024;
    let mut text = String::new();
    let read = files.read(file, &mut |_| {}, &mut |piece| {
        text.push_str(piece);
        if text.len() > LARGEST { Err(format!(": it has more than {LARGEST} bytes")) } else { Ok(()) }
    });
    read.map_err(|problem| format!("{file}{problem}"))?;
    let metadata: Metadata = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("{file}:{line}: {}", error.message().replace('\n', ", "))
    })?;
    Ok(match metadata.run_in_transaction {
        true => TransactionMode::Transaction,
        false => TransactionMode::NoTransaction,
    })
}

/// Reads a script.
fn section(files: &mut dyn TextFiles, file: &str, mode: TransactionMode) -> Result<Section, String> {
    let mut is_empty = true;
    let fingerprint = files.read(file, &mut |bytes| is_empty &= bytes.is_empty(), &mut |_| Ok(()));
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let unsupported =
        is_empty.then(|| "the file is empty, and Diesel refuses an empty file: write the SQL into it".to_owned());
    let options = Arc::new(SectionOptions { mode, unsupported, ..SectionOptions::default() });
    Ok(Section { file: file.into(), options, fingerprint, checksum: None, part: None })
}

/// The table `__diesel_schema_migrations`.
#[derive(Debug)]
struct DieselTable;

impl ToolTable for DieselTable {
    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let (version, time) = match dialect {
            Dialect::Postgres => ("pg_catalog.varchar(50)", "pg_catalog.timestamp"),
            Dialect::Sqlite => ("VARCHAR(50)", "TIMESTAMP"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    version {version} PRIMARY KEY NOT NULL,
    run_on {time} NOT NULL DEFAULT CURRENT_TIMESTAMP
);\n"
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let none = no_text(dialect);
        format!(
            "SELECT {} AS version, {none} AS checksum, 'applied' AS state, {none} AS description, {} AS applied_at, \
             {none} AS duration_ms FROM {table}",
            as_text(dialect, "version"),
            time(dialect, "run_on", TimeZone::Missing),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        insert_version(table, row.id)
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        delete_version(table, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_with_hyphens_as_the_tool_writes_it() {
        for (version, expected) in [
            ("202601120930000000", "2026-01-12-093000-0000"),
            ("20260112093000", "2026-01-12-093000"),
            ("7", "7"),
            ("0000000000000x", "0000000000000x"),
        ] {
            assert_eq!(with_hyphens(version), expected);
        }
    }
}
