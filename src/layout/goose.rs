//! The layout of goose: `<version>_<name>.sql` with the lines `-- +goose Up` and `-- +goose Down`, and the table
//! `goose_db_version` (goose 3, `internal/sqlparser/parser.go` and `internal/dialects`).

use std::sync::Arc;

use super::detect::has_mark;
use super::line_sections::{self, LineMeaning, LineReader};
use super::slug::slug;
use super::tool_history::values::{TimeZone, as_text, crc32, is_version, no_text, time};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles, number,
    one_file,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Direction, Fingerprint, Migration, Policy, Section, SectionOptions, TransactionMode, Version};
use crate::sql::operator;

/// The layout of goose.
#[derive(Debug)]
pub(super) struct Goose;

/// The rules by which goose runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Refused,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "add the line `-- +goose NO TRANSACTION` at the top of the file",
};

/// The reason why a step in Go cannot run.
const GO: &str = "it is a program in Go, which only goose can run: run goose itself with lockkeeper guard";

impl Layout for Goose {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn fit(&self, listing: &Listing, head: &str) -> Fit {
        let is_marked = has_mark(head, |line| annotation(line).is_some());
        match is_marked && listing.plain_names().any(|name| matches!(parse(name), Some(Ok(_)))) {
            true => Fit::Certain("its files have lines that begin with -- +goose".into()),
            false => Fit::No,
        }
    }

    fn history_table(&self) -> &'static str {
        "goose_db_version"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        number::signed(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut names, mut problems) = (Vec::new(), Vec::new());
        for name in listing.plain_names() {
            match parse(name) {
                Some(Ok(version)) => names.push((version, name)),
                Some(Err(problem)) => problems.push(format!("{name}: {problem}")),
                None => {}
            }
        }
        one_file::read(names, problems, |version, name| migration(version, name, files))
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        match &migration.down {
            Some(file) => Ok(line_sections::read(files, file, &mut GooseLines::default())?.down),
            None => Ok(None),
        }
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VERSION_NAME.sql with the line -- +goose Up")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        number::next(newest, now, number::signed)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(GooseTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = slug(revision.message)?;
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => (
                "-- +goose StatementBegin\nSELECT 'up SQL query';\n-- +goose StatementEnd\n",
                "-- +goose StatementBegin\nSELECT 'down SQL query';\n-- +goose StatementEnd\n",
            ),
            NewContent::Written { up, down } => (up, down),
        };
        // `goose create -s` writes five digits.
        Some(vec![NewScript {
            file: format!("{:0>5}_{name}.sql", revision.version),
            text: format!("-- +goose Up\n{up}\n-- +goose Down\n{down}"),
        }])
    }
}

/// Parses the name of a migration in SQL or Go. Returns `None` for a name that goose ignores, and a sentence for one that
/// it refuses.
fn parse(name: &str) -> Option<Result<Version, String>> {
    let is_sql = name.ends_with(".sql");
    let is_program = name.ends_with(".go") && !name.ends_with("_test.go");
    let version = name.split_once('_').and_then(|(version, _)| number::signed(version));
    match version.filter(|version| !version.as_str().starts_with(['-', '0'])) {
        Some(version) if is_sql || is_program => Some(Ok(version)),
        None if is_sql => Some(Err("its name has to begin with a number from 1 and an underscore".into())),
        _ => None,
    }
}

/// Reads a migration from its file.
fn migration(version: Version, name: &str, files: &mut dyn TextFiles) -> Result<Migration, String> {
    let description = name.split_once('_').map_or("", |(_, rest)| rest);
    let description = description.trim_end_matches(".sql").trim_end_matches(".go").replace('_', " ").into();
    if name.ends_with(".go") {
        let options = SectionOptions { unsupported: Some(GO.into()), ..SectionOptions::default() };
        let up = Section {
            file: name.into(),
            options: Arc::new(options),
            fingerprint: Fingerprint([0; 32]),
            checksum: None,
            part: None,
        };
        return Ok(Migration { version, description, parents: None, up, down: None });
    }
    let sections = one_file::sections(files, name, &mut GooseLines::default(), "-- +goose Up")?;
    let down = sections.down.map(|_| name.into());
    Ok(Migration { version, description, parents: None, up: sections.up, down })
}

/// Returns the words of an annotation in upper case: a comment line that has `+goose` anywhere.
fn annotation(line: &str) -> Option<String> {
    let comment = line.trim().strip_prefix("--")?;
    let (before, behind) = comment.split_once("+goose")?;
    Some([before.replace("--", ""), behind.replace("--", "")].concat().trim().to_ascii_uppercase())
}

/// The annotations of a file.
#[derive(Default)]
struct GooseLines {
    mode: TransactionMode,
    substitutes: bool,
    has_sections: bool,
}

impl LineReader for GooseLines {
    fn line(&mut self, line: &str, section: Option<Direction>) -> Result<LineMeaning, String> {
        let Some(annotation) = annotation(line) else {
            let is_blank = line.trim().is_empty() || line.trim_start().starts_with("--");
            return match section {
                None if !is_blank => Err("there is SQL before the line -- +goose Up".into()),
                _ => Ok(LineMeaning::Text),
            };
        };
        if line.starts_with([' ', '\t']) {
            return Err("the line has white space before its -- +goose".into());
        }
        match (annotation.as_str(), section) {
            ("UP", None) if !self.has_sections => {
                self.has_sections = true;
                return Ok(LineMeaning::Begin(Direction::Up));
            }
            ("DOWN", Some(Direction::Up)) => return Ok(LineMeaning::Begin(Direction::Down)),
            ("UP" | "DOWN", _) => return Err(format!("-- +goose {annotation} is not expected here")),
            ("NO TRANSACTION", _) => self.mode = TransactionMode::NoTransaction,
            ("ENVSUB ON", _) => self.substitutes = true,
            ("ENVSUB OFF" | "STATEMENTBEGIN" | "STATEMENTEND", _) => {}
            _ => return Err(format!("\"{}\" is no annotation of goose", line.trim())),
        }
        Ok(LineMeaning::Text)
    }

    fn options(&self, _: Direction) -> SectionOptions {
        let unsupported = self.substitutes.then(|| {
            "the line -- +goose ENVSUB ON asks for variables in SQL, which this layout does not have".to_owned()
        });
        SectionOptions { mode: self.mode, unsupported, ..SectionOptions::default() }
    }
}

/// The table `goose_db_version`.
#[derive(Debug)]
struct GooseTable;

impl ToolTable for GooseTable {
    fn version(&self, text: &str) -> Option<Version> {
        number::signed(text)
    }

    fn locks(&self, _: &str, _: &str, _: &str) -> Vec<i64> {
        // lock/postgres.go, `DefaultLockID`: the CRC-32 of "goose".
        vec![i64::from(crc32(b"goose"))]
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let columns = match dialect {
            Dialect::Postgres => {
                "
    id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp pg_catalog.timestamp NOT NULL DEFAULT pg_catalog.now()
"
            }
            Dialect::Sqlite => {
                "
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
"
            }
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {table} ({columns});\nINSERT INTO {table} (version_id, is_applied) SELECT 0, TRUE WHERE NOT EXISTS (SELECT 1 FROM {table});\n"
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let (none, equals, more) = (no_text(dialect), operator(dialect, "="), operator(dialect, ">"));
        // Old releases insert a row for what was undone: the newest row of a version counts. The first row is a 0.
        format!(
            "SELECT {} AS version, {none} AS checksum, 'applied' AS state, {none} AS description, {} AS applied_at, {none} AS duration_ms \
             FROM {table} AS g WHERE g.version_id {more} 0 AND g.is_applied \
             AND NOT EXISTS (SELECT 1 FROM {table} AS later WHERE later.version_id {equals} g.version_id AND later.id {more} g.id)",
            as_text(dialect, "g.version_id"),
            time(dialect, "g.tstamp", TimeZone::Missing),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        format!("INSERT INTO {} (version_id, is_applied) VALUES ({}, TRUE);\n", table.table, row.id)
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        format!("DELETE FROM {} WHERE {};\n", table.table, is_version(table.dialect, "version_id", id))
    }
}
