//! The layout of pop and popx: `<version>_<name>[.<dialect>][.autocommit].up.sql` and `.down.sql`, and the table
//! `schema_migration` (pop 6, `match.go` and `migrator.go`; ory/x, `popx/match.go` and `popx/migrator.go`).

mod file_name;
mod table;
mod template;

use std::collections::HashSet;
use std::sync::Arc;

use file_name::{FileDialect, FileName, SYNTAX};
use table::PopTable;
use template::TemplateSearch;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::ToolHistory;
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, Subdirectory, TextFiles,
    text_version,
};
use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Direction, Fingerprint, Migration, Policy, Section, SectionOptions, TransactionMode, Version};

/// The layout of pop.
#[derive(Debug)]
pub(super) struct Pop;

/// The rules by which pop runs scripts. It opens SQLite with foreign keys on.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::On,
    without_transaction: "name the file NAME.autocommit.up.sql (or NAME.autocommit.down.sql)",
};

/// The reason why a file in fizz cannot run.
const FIZZ: &str = "it is written in fizz, which only pop can run: run pop itself with lockkeeper guard";

impl Layout for Pop {
    fn name(&self) -> &'static str {
        "pop"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let names: Vec<FileName<'_>> = listing.plain_names().filter_map(FileName::parse).collect();
        // Other tools take such a part for a part of the title.
        match names.iter().any(|name| name.dialect != FileDialect::Every || name.is_autocommit || name.is_fizz) {
            true => Fit::Certain("its files have names such as 1_NAME.postgres.up.sql".into()),
            false if names.is_empty() => Fit::No,
            false => Fit::Possible,
        }
    }

    fn history_table(&self) -> &'static str {
        "schema_migration"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn read(&self, listing: Listing, dialect: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (paths, mut problems) = paths(&listing);
        let parsed = paths.iter().filter_map(|path| Some((FileName::of_path(path)?, &**path)));
        let (ups, downs): (Vec<_>, Vec<_>) = parsed.partition(|(name, _)| name.direction == Direction::Up);
        let ups = for_dialect(ups, dialect);
        problems.extend(
            ups.iter()
                .filter(|(name, _)| name.is_fizz && name.dialect != FileDialect::Every)
                .map(|(_, path)| format!("{path}: fizz is for every database, and the name of the file has a dialect")),
        );
        let mut found = Vec::new();
        for (name, path) in ups {
            let Some(version) = version(name.version) else { continue };
            let description = name.name.replace('_', " ").into();
            found.push(ScriptFiles { version, description, up: path.into(), down: None });
        }
        let downs = for_dialect(downs, dialect).into_iter();
        // pop ignores a down script without its up script.
        script_files::pair(&mut found, downs.filter_map(|(name, path)| Some((version(name.version)?, path))).collect());
        script_files::read(found, problems, |file| section(files, file))
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        migration.down.as_ref().map(|file| section(files, file)).transpose()
    }

    fn describe_empty(&self) -> String {
        super::describe_empty(SYNTAX)
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        text_version::next(newest, newest.map_or("", Version::as_str), now, version)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(PopTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = slug(revision.message)?;
        // `soda generate sql` writes empty files.
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => ("", ""),
            NewContent::Written { up, down } => (up, down),
        };
        let file = |kind: &str, text: &str| NewScript {
            file: format!("{}_{name}.{kind}.sql", revision.version),
            text: text.into(),
        };
        Some(vec![file("up", up), file("down", down)])
    }
}

/// Parses a version, which is ordered as a text.
fn version(text: &str) -> Option<Version> {
    text_version::is_number(text).then(|| Version::new(text, text.as_bytes()))
}

/// Returns the paths of all files, in the directory and in its folders, and a problem for each folder in a folder.
fn paths(listing: &Listing) -> (Vec<String>, Vec<String>) {
    let mut paths: Vec<String> = listing.plain_names().map(str::to_owned).collect();
    let mut problems = listing.unreadable.clone();
    for Subdirectory { name, files, has_directories } in &listing.directories {
        paths.extend(files.iter().filter(|file| !file.starts_with('.')).map(|file| format!("{name}/{file}")));
        if *has_directories {
            problems.push(format!("{name}: the folder has folders, and this layout does not read what is in those"));
        }
    }
    (paths, problems)
}

/// Returns the files that are for a dialect: a file with its name replaces one for every database.
fn for_dialect<'a>(files: Vec<(FileName<'a>, &'a str)>, dialect: Dialect) -> Vec<(FileName<'a>, &'a str)> {
    let is_ours = |name: &FileName<'_>| name.dialect == FileDialect::One(dialect);
    let replaced: HashSet<&str> =
        files.iter().filter(|(name, _)| is_ours(name)).map(|(name, _)| name.version).collect();
    let counts =
        |name: &FileName<'_>| is_ours(name) || (name.dialect == FileDialect::Every && !replaced.contains(name.version));
    files.into_iter().filter(|(name, _)| counts(name)).collect()
}

/// Reads a script, whose name has its mode.
fn section(files: &mut dyn TextFiles, path: &str) -> Result<Section, String> {
    let name = FileName::of_path(path);
    let mode = match name.as_ref().is_some_and(|name| name.is_autocommit) {
        true => TransactionMode::NoTransaction,
        false => TransactionMode::Transaction,
    };
    let (fingerprint, unsupported) = match name.is_some_and(|name| name.is_fizz) {
        true => (Fingerprint([0; 32]), Some(FIZZ.to_owned())),
        false => {
            let mut search = TemplateSearch::default();
            let read = files.read(path, &mut |_| {}, &mut |piece| {
                search.read(piece);
                Ok(())
            });
            (read.map_err(|problem| format!("{path}{problem}"))?, search.finish())
        }
    };
    let options = Arc::new(SectionOptions { mode, unsupported, ..SectionOptions::default() });
    Ok(Section { file: path.into(), options, fingerprint, checksum: None, part: None })
}
