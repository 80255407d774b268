//! The layout of sqlx: `<version>_<description>.sql`, or `.up.sql` and `.down.sql`, and the table `_sqlx_migrations`
//! (sqlx 0.9, `sqlx-core/src/migrate` and `sqlx-postgres/src/migrate.rs`).

use std::sync::Arc;

use sha2::{Digest, Sha384};

use super::number;
use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::values::{TimeZone, as_text, bytes, crc32, elapsed, is_version, text, time};
use super::tool_history::{ToolHistory, ToolTable};
use super::{DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Checksum, Direction, Migration, Policy, Section, SectionOptions, TransactionMode, Version};
use crate::sql::operator;

/// The layout of sqlx.
#[derive(Debug)]
pub(super) struct SqlxMigrate;

/// The rules by which sqlx runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::On,
    without_transaction: "let the file begin with the line `-- no-transaction`",
};

/// The line with which a file says that it has no transaction: its first bytes.
const NO_TRANSACTION: &str = "-- no-transaction";

impl Layout for SqlxMigrate {
    fn name(&self) -> &'static str {
        "sqlx"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let is_ours = |name: &str| matches!(FileName::parse(name), Some(Ok(_)));
        if listing.plain_names().any(is_ours) { Fit::Possible } else { Fit::No }
    }

    fn history_table(&self) -> &'static str {
        "_sqlx_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        number::signed(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut found, mut downs, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for name in listing.plain_names() {
            match FileName::parse(name) {
                None => {}
                Some(Err(problem)) => problems.push(format!("{name}: {problem}")),
                Some(Ok(FileName { version, kind: Direction::Down, .. })) => downs.push((version, name)),
                Some(Ok(FileName { version, description, .. })) => {
                    found.push(ScriptFiles { version, description: description.into(), up: name.into(), down: None });
                }
            }
        }
        // sqlx ignores a down script without its up script.
        script_files::pair(&mut found, downs);
        script_files::read(found, problems, |file| section(files, file))
    }

    fn read_down(&self, migration: &Migration, _: Dialect, files: &mut dyn TextFiles) -> DownSection {
        let down = migration.down.as_ref().map(|file| section(files, file)).transpose()?;
        // The table has a checksum of the up script alone.
        Ok(down.map(|down| Section { checksum: None, ..down }))
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VERSION_DESCRIPTION.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        number::next(newest, now, number::signed)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(SqlxTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let words = slug(revision.message)?;
        let (up, down) = match revision.content {
            NewContent::Change | NewContent::Join => {
                ("-- Add up migration script here\n", "-- Add down migration script here\n")
            }
            NewContent::Written { up, down } => (up, down),
        };
        let file = |kind: &str, text: &str| NewScript {
            file: format!("{:0>4}_{words}.{kind}.sql", revision.version),
            text: text.into(),
        };
        Some(vec![file("up", up), file("down", down)])
    }
}

/// The parts of a file name.
struct FileName {
    version: Version,
    description: String,
    kind: Direction,
}

impl FileName {
    /// Parses a name as sqlx does. Returns `None` for a file that sqlx ignores, and a sentence for one that it refuses.
    fn parse(name: &str) -> Option<Result<FileName, String>> {
        let (version, rest) = name.split_once('_')?;
        let stem = rest.strip_suffix(".sql")?;
        let (stem, kind) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, Direction::Up),
            (_, Some(stem)) => (stem, Direction::Down),
            _ => (stem, Direction::Up),
        };
        let Some(version) = number::signed(version) else {
            return Some(Err(format!(
                "its name has to begin with a number of 64 bits before the first underscore, and \"{version}\" is none"
            )));
        };
        let description = stem.replace('_', " ");
        Some(Ok(FileName { version, description, kind }))
    }
}

/// Reads a script: its mode from its first bytes, and its checksum, the SHA-384 of its bytes.
fn section(files: &mut dyn TextFiles, file: &str) -> Result<Section, String> {
    let mut sum = Sha384::new();
    let mut head = String::new();
    let fingerprint = files.read(file, &mut |bytes| sum.update(bytes), &mut |piece| {
        if head.len() < NO_TRANSACTION.len() {
            head.extend(piece.chars().take(NO_TRANSACTION.len() - head.len()));
        }
        Ok(())
    });
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let mode = match head.starts_with(NO_TRANSACTION) {
        true => TransactionMode::NoTransaction,
        false => TransactionMode::Transaction,
    };
    let options = Arc::new(SectionOptions { mode, ..SectionOptions::default() });
    let checksum = Some(Checksum::new::<48>(sum.finalize().into()));
    Ok(Section { file: file.into(), options, fingerprint, checksum, part: None })
}

/// The table `_sqlx_migrations`.
#[derive(Debug)]
struct SqlxTable;

impl ToolTable for SqlxTable {
    fn version(&self, text: &str) -> Option<Version> {
        number::signed(text)
    }

    fn checksum(&self, text: &str) -> Option<Checksum> {
        Checksum::parse::<48>(text)
    }

    fn locks(&self, database: &str, _: &str, _: &str) -> Vec<i64> {
        // sqlx-postgres/src/migrate.rs, `generate_lock_id`.
        vec![0x3d32_ad9e * i64::from(crc32(database.as_bytes()))]
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let (time, default, bytes) = match dialect {
            Dialect::Postgres => ("pg_catalog.timestamptz", "pg_catalog.now()", "pg_catalog.bytea"),
            Dialect::Sqlite => ("TIMESTAMP", "CURRENT_TIMESTAMP", "BLOB"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on {time} NOT NULL DEFAULT {default},
    success BOOLEAN NOT NULL,
    checksum {bytes} NOT NULL,
    execution_time BIGINT NOT NULL
);\n"
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let checksum = match dialect {
            Dialect::Postgres => "pg_catalog.encode(checksum, 'hex')",
            Dialect::Sqlite => "lower(hex(checksum))",
        };
        let divided = operator(dialect, "/");
        format!(
            "SELECT {version} AS version, {checksum} AS checksum, CASE WHEN success THEN 'applied' ELSE 'failed' END AS state, \
             description, {time} AS applied_at, {duration} AS duration_ms FROM {table}",
            version = as_text(dialect, "version"),
            time = time(dialect, "installed_on", TimeZone::Stored),
            duration = as_text(dialect, &format!("(execution_time {divided} 1000000)")),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        // A row with success is that of another run, which has applied the revision meanwhile: the tool takes no lock.
        let is_ours = is_version(table.dialect, "version", row.id);
        let unfinished = format!("DELETE FROM {} WHERE {is_ours} AND NOT success;\n", table.table);
        unfinished + &insert(table, row, "TRUE", "")
    }

    fn marks_begun(&self) -> bool {
        true
    }

    fn begin(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        match row.direction {
            Direction::Up => insert(table, row, "FALSE", "\nON CONFLICT (version) DO NOTHING"),
            Direction::Down => String::new(),
        }
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        format!("DELETE FROM {} WHERE {};\n", table.table, is_version(table.dialect, "version", id))
    }

    fn accept(&self, table: &HistoryTable, id: &Version, now: Checksum) -> String {
        format!(
            "UPDATE {} SET checksum = {} WHERE {};\n",
            table.table,
            bytes(table.dialect, now),
            is_version(table.dialect, "version", id)
        )
    }
}

/// Returns the statement that inserts a row.
fn insert(table: &HistoryTable, row: &HistoryRow<'_>, success: &str, conflict: &str) -> String {
    let dialect = table.dialect;
    format!(
        "INSERT INTO {table} (version, description, success, checksum, execution_time)\nVALUES ({id}, {description}, {success}, {checksum}, {took}){conflict};\n",
        table = table.table,
        id = row.id,
        description = text(dialect, &row.migration.description),
        checksum = row.checksum.map_or_else(|| "NULL".into(), |sum| bytes(dialect, sum)),
        took = elapsed(dialect, row.elapsed, 1_000_000_000),
    )
}
