//! The layout of golang-migrate: `<version>_<title>.up.sql` and `.down.sql`, and the table `schema_migrations` with one
//! row, the newest version (golang-migrate 4, `source/parse.go`, `database/postgres` and `database/sqlite3`).

use std::sync::Arc;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::values::{as_text, crc32, no_text};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles, number,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::needed_mode::NeededMode;
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Coverage, Direction, Migration, Policy, Section, SectionOptions, Version};

/// The layout of golang-migrate.
#[derive(Debug)]
pub(super) struct GolangMigrate;

/// The rules by which golang-migrate runs scripts. A version that comes late is covered by the row of the newest one.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Refused,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "put it into a file without BEGIN and COMMIT",
};

impl Layout for GolangMigrate {
    fn name(&self) -> &'static str {
        "golang-migrate"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        if listing.plain_names().any(|name| parse(name).is_some()) { Fit::Possible } else { Fit::No }
    }

    fn history_table(&self) -> &'static str {
        "schema_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        number::unsigned(text)
    }

    fn read(&self, listing: Listing, dialect: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut found, mut downs) = (Vec::new(), Vec::new());
        for name in listing.plain_names() {
            match parse(name) {
                Some((version, title, Direction::Up)) => {
                    let description = title.replace('_', " ").into();
                    found.push(ScriptFiles { version, description, up: name.into(), down: None });
                }
                Some((version, _, Direction::Down)) => downs.push((version, name)),
                None => {}
            }
        }
        let problems = script_files::pair(&mut found, downs);
        script_files::read(found, problems, |file| section(files, file, dialect))
    }

    fn read_down(&self, migration: &Migration, dialect: Dialect, files: &mut dyn TextFiles) -> DownSection {
        migration.down.as_ref().map(|file| section(files, file, dialect)).transpose()
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VERSION_TITLE.up.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        number::next(newest, now, number::unsigned)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(GolangMigrateTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let title = slug(revision.message)?;
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => ("", ""),
            NewContent::Written { up, down } => (up, down),
        };
        // `migrate create -seq` writes six digits.
        let file = |kind: &str, text: &str| NewScript {
            file: format!("{:0>6}_{title}.{kind}.sql", revision.version),
            text: text.into(),
        };
        Some(vec![file("up", up), file("down", down)])
    }
}

/// Parses the name of a script: the version, the title and the direction. golang-migrate ignores every other name.
fn parse(name: &str) -> Option<(Version, &str, Direction)> {
    let (version, rest) = name.split_once('_')?;
    let version = number::unsigned(version)?;
    // The title reaches up to the last such part: `30_x.up..sql` has one, too.
    let parts = [(".up.", Direction::Up), (".down.", Direction::Down)];
    let ends = parts.into_iter().filter_map(|(part, direction)| Some((rest.rfind(part)?, direction)));
    let (at, direction) = ends.max_by_key(|&(at, _)| at)?;
    Some((version, &rest[..at], direction))
}

/// Reads a script. golang-migrate sends a file as one query, which is one transaction unless its only statement refuses
/// transactions.
fn section(files: &mut dyn TextFiles, file: &str, dialect: Dialect) -> Result<Section, String> {
    let mut needs = NeededMode::new(dialect);
    let fingerprint = files.read(file, &mut |_| {}, &mut |piece| {
        needs.read(piece);
        Ok(())
    });
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let options = Arc::new(SectionOptions { mode: needs.finish().mode, ..SectionOptions::default() });
    Ok(Section { file: file.into(), options, fingerprint, checksum: None, part: None })
}

/// The table `schema_migrations` with the columns `version` and `dirty`.
#[derive(Debug)]
struct GolangMigrateTable;

impl ToolTable for GolangMigrateTable {
    fn version(&self, text: &str) -> Option<Version> {
        number::unsigned(text)
    }

    fn explain(&self, version: &str) -> Option<String> {
        (version == "-1").then(|| {
            "golang-migrate has failed to undo the first migration, as its row with the version -1 says, and not which of its statements took effect: complete or undo them by hand, then delete that row, or set it to the first version and to not dirty".into()
        })
    }

    fn coverage(&self) -> Coverage {
        Coverage::Earlier
    }

    fn locks(&self, database: &str, schema: &str, table: &str) -> Vec<i64> {
        // database/util.go, `GenerateAdvisoryLockId`. Opened by a URL, the name of the database is the path of the URL.
        const SALT: u32 = 1_486_364_155;
        let key = |database: &str| crc32(format!("{schema}\0{table}\0{database}").as_bytes()).wrapping_mul(SALT);
        [key(&format!("/{database}")), key(database)].map(i64::from).to_vec()
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        match dialect {
            Dialect::Postgres => format!(
                "CREATE TABLE IF NOT EXISTS {table} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);\n"
            ),
            Dialect::Sqlite => format!(
                "CREATE TABLE IF NOT EXISTS {table} (version uint64,dirty bool);\nCREATE UNIQUE INDEX IF NOT EXISTS version_unique ON {table} (version);\n"
            ),
        }
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let none = no_text(dialect);
        format!(
            "SELECT {} AS version, {none} AS checksum, CASE WHEN NOT dirty THEN 'applied' ELSE 'failed' END AS state, \
             {none} AS description, {none} AS applied_at, {none} AS duration_ms FROM {table}",
            as_text(dialect, "version")
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        set_version(table, Some(row.id), "FALSE")
    }

    fn marks_begun(&self) -> bool {
        true
    }

    fn begin(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        set_version(table, Some(row.id), "TRUE")
    }

    fn remove(&self, table: &HistoryTable, _: &Version, previous: Option<&Version>) -> String {
        set_version(table, previous, "FALSE")
    }
}

/// Returns the statements that replace the row.
fn set_version(table: &HistoryTable, version: Option<&Version>, dirty: &str) -> String {
    let table = &table.table;
    let insert = version.map_or(String::new(), |version| {
        format!("INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty});\n")
    });
    format!("DELETE FROM {table};\n{insert}")
}
