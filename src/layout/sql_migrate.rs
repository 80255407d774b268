//! The layout of sql-migrate: any `<name>.sql` with the lines `-- +migrate Up` and `-- +migrate Down`, and the table
//! `gorp_migrations` with the names of the files (sql-migrate 1, `migrate.go` and `sqlparse/sqlparse.go`).

use super::detect::has_mark;
use super::line_sections::{self, LineMeaning, LineReader};
use super::slug::slug;
use super::tool_history::values::{TimeZone, as_text, is_version, no_text, text, time};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles, one_file,
    text_version,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Direction, Migration, Policy, SectionOptions, TransactionMode, Version};

/// The layout of sql-migrate.
#[derive(Debug)]
pub(super) struct SqlMigrate;

/// The rules by which sql-migrate runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::Off,
    without_transaction: "write `-- +migrate Up notransaction` (or `-- +migrate Down notransaction`) above it",
};

impl Layout for SqlMigrate {
    fn name(&self) -> &'static str {
        "sql-migrate"
    }

    fn fit(&self, _: &Listing, head: &str) -> Fit {
        match has_mark(head, |line| line.starts_with(MARK)) {
            true => Fit::Certain("its files have lines that begin with -- +migrate".into()),
            false => Fit::No,
        }
    }

    fn history_table(&self) -> &'static str {
        "gorp_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut names, mut problems) = (Vec::new(), Vec::new());
        // sql-migrate reads hidden files, too.
        for name in listing.names.iter().filter_map(|name| name.to_str()).filter(|name| name.ends_with(".sql")) {
            match version(name) {
                Some(version) => names.push((version, name)),
                None => problems.push(format!(
                    "{name}: its name has to begin with a number of 64 bits or a letter, and to have no backslash"
                )),
            }
        }
        one_file::read(names, problems, |version, name| migration(version, name, files))
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        match &migration.down {
            Some(file) => Ok(line_sections::read(files, file, &mut SqlMigrateLines::default())?.down),
            None => Ok(None),
        }
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("NAME.sql with the line -- +migrate Up")
    }

    /// Returns the number at the beginning of the name, to which `scaffold` adds the words.
    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        let digits = newest.and_then(|newest| text_version::split_number(newest.as_str()));
        text_version::next(newest, digits.map_or("", |(digits, _)| digits), now, version)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(SqlMigrateTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let name = slug(revision.message)?;
        // `sql-migrate new` writes these lines.
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => ("", ""),
            NewContent::Written { up, down } => (up, down),
        };
        Some(vec![NewScript {
            file: format!("{}-{name}.sql", revision.version),
            text: format!("\n-- +migrate Up\n{up}\n-- +migrate Down\n{down}"),
        }])
    }
}

/// Parses a version, which is the name of a file. Names that begin with a number come first, by that number.
fn version(text: &str) -> Option<Version> {
    if text.is_empty() || text.contains(|c: char| c == '\\' || c.is_control()) {
        return None;
    }
    let key = match text_version::split_number(text) {
        Some((digits, _)) => {
            let number: i64 = digits.parse().ok()?;
            [&[0], &number.to_be_bytes()[..], text.as_bytes()].concat()
        }
        None => [&[1], text.as_bytes()].concat(),
    };
    Some(Version::new(text, key))
}

/// Reads a migration from its file.
fn migration(version: Version, name: &str, files: &mut dyn TextFiles) -> Result<Migration, String> {
    let mut lines = SqlMigrateLines::default();
    let sections = one_file::sections(files, name, &mut lines, "-- +migrate Up")?;
    lines.end().map_err(|(line, problem)| format!("{name}:{line}: {problem}"))?;
    let rest = text_version::split_number(name).map_or(name, |(_, rest)| rest).trim_end_matches(".sql");
    let description = rest.trim_start_matches(['_', '-']).replace(['_', '-'], " ").into();
    let down = sections.down.map(|_| name.into());
    Ok(Migration { version, description, parents: None, up: sections.up, down })
}

/// The text with which every command of sql-migrate begins.
const MARK: &str = "-- +migrate ";

/// The lines of a file, which sql-migrate divides into statements.
#[derive(Default)]
struct SqlMigrateLines {
    up: TransactionMode,
    down: TransactionMode,
    /// The number of the present line.
    line: usize,
    /// The line of the command `StatementBegin` whose end is not read yet.
    statement: Option<usize>,
    /// The line at which the last statement begins if its end is not read yet.
    open: Option<usize>,
}

impl SqlMigrateLines {
    fn command(&mut self, command: &str, section: Option<Direction>) -> Result<LineMeaning, String> {
        let mut words = command.split_whitespace();
        let direction = match words.next() {
            Some("Up") => Direction::Up,
            Some("Down") => Direction::Down,
            Some("StatementBegin") => {
                self.statement = section.map(|_| self.line);
                return Ok(LineMeaning::Text);
            }
            Some("StatementEnd") => {
                if self.statement.take().is_some() {
                    self.open = None;
                }
                return Ok(LineMeaning::Text);
            }
            Some(word) => return Err(format!("\"{word}\" is no command of sql-migrate")),
            None => return Err("the command of sql-migrate is missing".into()),
        };
        if let Some(line) = self.open {
            return Err(not_ended(line));
        }
        let mode = match words.any(|word| word == "notransaction") {
            true => TransactionMode::NoTransaction,
            false => TransactionMode::Transaction,
        };
        match direction {
            Direction::Up => self.up = mode,
            Direction::Down => self.down = mode,
        }
        Ok(LineMeaning::Begin(direction))
    }

    /// Checks that the last statement has an end. The error is the number of the line, and a sentence.
    fn end(&self) -> Result<(), (usize, String)> {
        match (self.statement, self.open) {
            (Some(line), _) => Err((line, "-- +migrate StatementBegin has no -- +migrate StatementEnd".into())),
            (None, Some(line)) => Err((self.line, not_ended(line))),
            (None, None) => Ok(()),
        }
    }
}

impl LineReader for SqlMigrateLines {
    fn line(&mut self, line: &str, section: Option<Direction>) -> Result<LineMeaning, String> {
        self.line += 1;
        if let Some(command) = line.strip_prefix(MARK) {
            return self.command(command, section);
        }
        // sql-migrate leaves these lines out.
        if line.starts_with("-- ") {
            return Ok(LineMeaning::Text);
        }
        if section.is_none() && !line.trim().is_empty() && !line.starts_with("--") {
            return Err("there is SQL before the line -- +migrate Up".into());
        }
        if section.is_some() && !line.trim().is_empty() {
            self.open = self.open.or(Some(self.line));
        }
        if self.statement.is_none() && ends_statement(line) {
            self.open = None;
        }
        Ok(LineMeaning::Text)
    }

    fn options(&self, direction: Direction) -> SectionOptions {
        let mode = match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        };
        SectionOptions { mode, ..SectionOptions::default() }
    }
}

/// Returns the reason why sql-migrate refuses a statement that begins on this line.
fn not_ended(line: usize) -> String {
    format!(
        "the statement that begins on line {line} is not ended: sql-migrate needs a semicolon at the end of its last line, or -- +migrate StatementEnd behind it"
    )
}

/// Returns whether the last word of a line before a comment ends with a semicolon.
fn ends_statement(line: &str) -> bool {
    line.split_whitespace().take_while(|word| !word.starts_with("--")).last().is_some_and(|word| word.ends_with(';'))
}

/// The table `gorp_migrations`.
#[derive(Debug)]
struct SqlMigrateTable;

impl ToolTable for SqlMigrateTable {
    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let (id, time) = match dialect {
            Dialect::Postgres => ("pg_catalog.text", "pg_catalog.timestamptz"),
            Dialect::Sqlite => ("varchar(255)", "datetime"),
        };
        format!("CREATE TABLE IF NOT EXISTS {table} (\"id\" {id} NOT NULL PRIMARY KEY, \"applied_at\" {time});\n")
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let none = no_text(dialect);
        format!(
            "SELECT {} AS version, {none} AS checksum, 'applied' AS state, {none} AS description, {} AS applied_at, \
             {none} AS duration_ms FROM {table}",
            as_text(dialect, "id"),
            time(dialect, "applied_at", TimeZone::Stored),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        let now = match table.dialect {
            Dialect::Postgres => "pg_catalog.clock_timestamp()",
            // The driver of the tool reads a time in this form.
            Dialect::Sqlite => "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')",
        };
        let id = text(table.dialect, row.id.as_str());
        format!("INSERT INTO {} (id, applied_at) VALUES ({id}, {now});\n", table.table)
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        format!("DELETE FROM {} WHERE {};\n", table.table, is_version(table.dialect, "id", id))
    }
}
