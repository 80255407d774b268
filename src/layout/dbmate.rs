//! The layout of dbmate: `<version><name>.sql` with the lines `-- migrate:up` and `-- migrate:down`, and the table
//! `schema_migrations` with the column `version` (dbmate 2, `pkg/dbmate` and `pkg/driver`).

use super::detect::has_mark;
use super::line_sections::{self, LineMeaning, LineReader};
use super::slug::slug;
use super::tool_history::values::{as_text, no_text};
use super::tool_history::version_rows::{delete_version, insert_version};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles, one_file,
    text_version,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Direction, Migration, Policy, SectionOptions, TransactionMode, Version};
use crate::sql::{is_one_of, literal, operator, sqlite_literal};

/// The layout of dbmate.
#[derive(Debug)]
pub(super) struct Dbmate;

/// The rules by which dbmate runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "write `-- migrate:up transaction:false` (or `-- migrate:down transaction:false`) above it",
};

impl Layout for Dbmate {
    fn name(&self) -> &'static str {
        "dbmate"
    }

    fn fit(&self, listing: &Listing, head: &str) -> Fit {
        let is_marked = has_mark(head, |line| mark(line).is_some());
        match is_marked && listing.plain_names().any(|name| parse(name).is_some()) {
            true => Fit::Certain("its files have lines that begin with -- migrate:".into()),
            false => Fit::No,
        }
    }

    fn history_table(&self) -> &'static str {
        "schema_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let names: Vec<(Version, &str)> = listing.plain_names().filter_map(|name| Some((parse(name)?, name))).collect();
        let problems = out_of_order(&names).into_iter().collect();
        one_file::read(names, problems, |version, name| migration(version, name, files))
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        match &migration.down {
            Some(file) => Ok(line_sections::read(files, file, &mut DbmateLines::default())?.down),
            None => Ok(None),
        }
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VERSION_NAME.sql with the line -- migrate:up")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        text_version::next(newest, newest.map_or("", Version::as_str), now, version)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(DbmateTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = slug(revision.message)?;
        // `dbmate new` writes these lines.
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => ("\n\n", "\n"),
            NewContent::Written { up, down } => (up, down),
        };
        Some(vec![NewScript {
            file: format!("{}_{name}.sql", revision.version),
            text: format!("-- migrate:up\n{up}\n-- migrate:down\n{down}"),
        }])
    }
}

/// Parses a version. dbmate runs files in the order of their names, in which a number is followed by an underscore.
fn version(text: &str) -> Option<Version> {
    text_version::is_number(text).then(|| Version::new(text, format!("{text}_").into_bytes()))
}

/// Parses the name of a migration. dbmate ignores every other name.
fn parse(name: &str) -> Option<Version> {
    let (number, rest) = text_version::split_number(name)?;
    version(number).filter(|_| rest.ends_with(".sql"))
}

/// Returns a problem if dbmate, which sorts the names, has another order than the versions.
fn out_of_order(names: &[(Version, &str)]) -> Option<String> {
    let mut sorted: Vec<&(Version, &str)> = names.iter().collect();
    sorted.sort_by_key(|(_, name)| *name);
    let two = sorted.windows(2).find(|two| two[0].0 > two[1].0)?;
    Some(format!(
        "{}: dbmate sorts the files by their names and runs it before {}: give both versions the same number of digits",
        two[0].1, two[1].1
    ))
}

/// Reads a migration from its file.
fn migration(version: Version, name: &str, files: &mut dyn TextFiles) -> Result<Migration, String> {
    let sections = one_file::sections(files, name, &mut DbmateLines::default(), "-- migrate:up")?;
    if sections.down.is_none() {
        return Err(format!("{name}: the line -- migrate:down is missing"));
    }
    let rest = text_version::split_number(name).map_or("", |(_, rest)| rest).trim_end_matches(".sql");
    let description = rest.trim_start_matches(['_', '-']).replace('_', " ").into();
    Ok(Migration { version, description, parents: None, up: sections.up, down: Some(name.into()) })
}

/// Returns the direction of a line that begins a section, and its options.
fn mark(line: &str) -> Option<(Direction, &str)> {
    let mark = line.strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
    let (direction, options) = match (mark.strip_prefix("up"), mark.strip_prefix("down")) {
        (Some(options), _) => (Direction::Up, options),
        (_, Some(options)) => (Direction::Down, options),
        _ => return None,
    };
    (options.is_empty() || options.starts_with(char::is_whitespace)).then_some((direction, options))
}

/// Returns the mode that the options of a section ask for. dbmate ignores an option that it does not know.
fn mode(options: &str) -> TransactionMode {
    let mut pairs = options.split_whitespace().filter_map(|option| option.split_once(':'));
    match pairs.rfind(|(key, _)| *key == "transaction") {
        Some((_, "false")) => TransactionMode::NoTransaction,
        _ => TransactionMode::Transaction,
    }
}

/// The marks of a file.
#[derive(Default)]
struct DbmateLines {
    up: TransactionMode,
    down: TransactionMode,
}

impl LineReader for DbmateLines {
    fn line(&mut self, line: &str, section: Option<Direction>) -> Result<LineMeaning, String> {
        let Some((direction, options)) = mark(line) else {
            let is_blank = line.trim().is_empty() || line.trim_start().starts_with("--");
            return match section {
                None if !is_blank => Err("there is SQL before the line -- migrate:up".into()),
                _ => Ok(LineMeaning::Text),
            };
        };
        match (direction, section) {
            (Direction::Up, None) => self.up = mode(options),
            (Direction::Down, Some(Direction::Up)) => self.down = mode(options),
            (Direction::Up, Some(_)) => {
                return Err("a second -- migrate:up in one file is not supported: write another file for it".into());
            }
            (Direction::Down, _) => return Err("-- migrate:down needs a -- migrate:up of its own before it".into()),
        }
        Ok(LineMeaning::Begin(direction))
    }

    fn options(&self, direction: Direction) -> SectionOptions {
        let mode = match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        };
        SectionOptions { mode, ..SectionOptions::default() }
    }
}

/// The columns that a table of the same name has in another tool, and the tool. The name of such a column is the version of a
/// row of its own, which an empty table has as well.
const OTHER_TOOLS: [(&str, &str); 2] = [("dirty", "golang-migrate"), ("inserted_at", "Ecto")];

/// The table `schema_migrations` with the column `version`.
#[derive(Debug)]
struct DbmateTable;

impl ToolTable for DbmateTable {
    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn locks(&self, _: &str, _: &str, _: &str) -> Vec<i64> {
        // pkg/driver/postgres/postgres.go, `migrationLockKey`, which `--migration-lock` takes.
        vec![48_372_615]
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let version = match dialect {
            Dialect::Postgres => "pg_catalog.varchar",
            Dialect::Sqlite => "varchar(128)",
        };
        format!("CREATE TABLE IF NOT EXISTS {table} (version {version} PRIMARY KEY);\n")
    }

    fn explain(&self, version: &str) -> Option<String> {
        let (column, tool) = OTHER_TOOLS.into_iter().find(|(column, _)| *column == version)?;
        Some(format!(
            "the history table is that of {tool}, as its column {column} says: set LOCKKEEPER_HISTORY_TABLE to another name for the history of dbmate, and record it there with lockkeeper adopt --to dbmate"
        ))
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let (version, none) = (as_text(dialect, "m.version"), no_text(dialect));
        let columns = OTHER_TOOLS.map(|(column, _)| sqlite_literal(column));
        let (column, of_table) = match dialect {
            Dialect::Postgres => {
                let column = as_text(dialect, "c.attname");
                let (is_other, equals) = (is_one_of(dialect, &column, &columns), operator(dialect, "="));
                let of_table = format!(
                    "pg_catalog.pg_attribute AS c WHERE c.attrelid {equals} {}::pg_catalog.regclass AND NOT c.attisdropped AND {is_other}",
                    literal(table)
                );
                (column, of_table)
            }
            Dialect::Sqlite => {
                let name = sqlite_literal(&table.trim_matches('"').replace("\"\"", "\""));
                let is_other = is_one_of(dialect, "c.name", &columns);
                ("c.name".into(), format!("pragma_table_info({name}) AS c WHERE {is_other}"))
            }
        };
        let others = format!("'applied' AS state, {none} AS description, {none} AS applied_at, {none} AS duration_ms");
        format!(
            "SELECT {version} AS version, {none} AS checksum, {others} FROM {table} AS m \
             UNION ALL SELECT {column}, {none}, {others} FROM {of_table}"
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        insert_version(table, row.id)
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        delete_version(table, id)
    }
}
