//! The layout of refinery: `V<version>__<name>.sql` and `U<version>__<name>.sql`, in folders of any depth, and the table
//! `refinery_schema_history` (refinery-core 0.10, `src/util.rs`, `src/runner.rs` and `src/traits`).

mod sums;

use std::borrow::Cow;
use std::sync::Arc;

use sums::Sums;

use super::slug::slug;
use super::tool_history::values::{as_text, is_version, no_text, text};
use super::tool_history::{ToolHistory, ToolTable};
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, TextFiles, number,
    one_file,
};
use crate::dialect::Dialect;
use crate::revision::history::{HistoryFormat, HistoryRow, HistoryTable};
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Checksum, Fingerprint, Migration, Policy, Section, SectionOptions, Version};
use crate::sql::{literal, operator};

/// The layout of refinery.
#[derive(Debug)]
pub(super) struct Refinery;

/// The rules by which refinery runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Refused,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::On,
    without_transaction: "take it out of the migrations, which refinery runs in transactions without exception",
};

/// The reason why a step in Rust cannot run.
const RUST: &str = "it is a module in Rust, which only a program with refinery can run: run that with lockkeeper guard";

impl Layout for Refinery {
    fn name(&self) -> &'static str {
        "refinery"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let mut fit = Fit::No;
        for file in listing.all_files() {
            match FileName::parse(&file) {
                Some(name) if name.is_module => return Fit::Certain("its folder has migrations in Rust".into()),
                Some(_) => fit = Fit::Possible,
                None => {}
            }
        }
        fit
    }

    fn history_table(&self) -> &'static str {
        "refinery_schema_history"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn read(&self, listing: Listing, _: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let all: Vec<String> = listing.all_files().map(Cow::into_owned).collect();
        let (mut found, mut problems) = (Vec::new(), listing.unreadable);
        for name in all.iter().filter_map(|file| FileName::parse(file)) {
            match version(name.digits) {
                Some(version) => found.push((version, name.file)),
                None => problems.push(format!("{}: its version has to be a whole number of 64 bits", name.file)),
            }
        }
        one_file::read(found, problems, |version, file| {
            let name = FileName::parse(file).ok_or_else(String::new)?;
            let (up, description) = (name.section(&version, files)?, name.name.into());
            Ok(Migration { version, description, parents: None, up, down: None })
        })
    }

    fn read_down(&self, _: &Migration, _: Dialect, _: &mut dyn TextFiles) -> DownSection {
        Ok(None)
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("VVERSION__NAME.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        // Without the feature int8-versions, a time would be too large.
        match newest {
            None => version("1"),
            newest => number::next(newest, now, version),
        }
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(RefineryTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let text = match revision.content {
            NewContent::Change | NewContent::Join => "",
            NewContent::Written { up, .. } => up,
        };
        let file = format!("V{}__{}.sql", revision.version, slug(revision.message)?);
        Some(vec![NewScript { file, text: text.into() }])
    }
}

/// Parses a version.
fn version(text: &str) -> Option<Version> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    number::signed(text).filter(|_| is_number)
}

/// A file of a migration.
struct FileName<'a> {
    /// The path of the file.
    file: &'a str,
    /// The digits of the version, which may have a point among them.
    digits: &'a str,
    /// The name of the migration.
    name: &'a str,
    /// True for a migration that may come behind later ones.
    is_unversioned: bool,
    /// True for a module in Rust.
    is_module: bool,
}

impl FileName<'_> {
    /// Parses the path of a file. Returns `None` for a file that refinery ignores.
    fn parse(file: &str) -> Option<FileName<'_>> {
        let stem = file.rsplit('/').next()?;
        let is_unversioned = stem.starts_with('U');
        if !is_unversioned && !stem.starts_with('V') {
            return None;
        }
        let (stem, is_module) = match stem.strip_suffix(".sql") {
            Some(stem) => (stem, false),
            None => (stem.strip_suffix(".rs")?, true),
        };
        let (digits, name) = stem.get(1..)?.split_once("__")?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        let fits = is_number(whole) && is_number(fraction) && is_name;
        fits.then_some(FileName { file, digits, name, is_unversioned, is_module })
    }

    /// Reads the script.
    fn section(&self, version: &Version, files: &mut dyn TextFiles) -> Result<Section, String> {
        let options = SectionOptions { may_come_late: self.is_unversioned, ..SectionOptions::default() };
        if self.is_module {
            let options = Arc::new(SectionOptions { unsupported: Some(RUST.into()), ..options });
            let fingerprint = Fingerprint([0; 32]);
            return Ok(Section { file: self.file.into(), options, fingerprint, checksum: None, part: None });
        }
        let mut sums = Sums::new(self.name, version.as_str());
        let fingerprint = files.read(self.file, &mut |bytes| sums.add(bytes), &mut |_| Ok(()));
        let fingerprint = fingerprint.map_err(|problem| format!("{}{problem}", self.file))?;
        let (checksum, other_checksums) = sums.finish();
        let options = Arc::new(SectionOptions { other_checksums, ..options });
        Ok(Section { file: self.file.into(), options, fingerprint, checksum: Some(checksum), part: None })
    }
}

/// The table `refinery_schema_history`.
#[derive(Debug)]
struct RefineryTable;

impl ToolTable for RefineryTable {
    fn version(&self, text: &str) -> Option<Version> {
        version(text)
    }

    fn checksum(&self, text: &str) -> Option<Checksum> {
        sums::parse(text)
    }

    fn create(&self, _: Dialect, table: &str) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {table}(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));\n"
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        format!(
            "SELECT {} AS version, {} AS checksum, 'applied' AS state, {} AS description, {} AS applied_at, {} AS duration_ms FROM {table}",
            as_text(dialect, "version"),
            as_text(dialect, "checksum"),
            as_text(dialect, "name"),
            as_text(dialect, "applied_on"),
            no_text(dialect)
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        let (dialect, name, id) = (table.dialect, &table.table, row.id);
        let now = match dialect {
            Dialect::Postgres => {
                "pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
            }
            Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        };
        // Programs with refinery's feature int8-versions have such versions, and such a column.
        let widen = match dialect {
            Dialect::Postgres if id.as_str().parse::<i32>().is_err() => {
                format!("ALTER TABLE {name} ALTER COLUMN version TYPE bigint;\n")
            }
            Dialect::Postgres | Dialect::Sqlite => String::new(),
        };
        format!(
            "{widen}INSERT INTO {name} (version, name, applied_on, checksum) VALUES ({id}, {text}, {now}, {checksum});\n",
            text = text(dialect, &row.migration.description),
            checksum = checksum(table, row),
        )
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        format!("DELETE FROM {} WHERE {};\n", table.table, is_version(table.dialect, "version", id))
    }

    fn accept(&self, table: &HistoryTable, id: &Version, now: Checksum) -> String {
        let version = is_version(table.dialect, "version", id);
        format!("UPDATE {} SET checksum = '{}' WHERE {version};\n", table.table, sums::decimal(now))
    }
}

/// Returns the checksum of a row: that for versions of the type of the column.
fn checksum(table: &HistoryTable, row: &HistoryRow<'_>) -> String {
    let quoted = |checksum: &Checksum| literal(&sums::decimal(*checksum));
    let narrow = row.checksum.as_ref().map_or_else(|| "NULL".into(), quoted);
    let Some(wide) = row.migration.up.options.other_checksums.first().map(quoted) else { return narrow };
    let equals = operator(table.dialect, "=");
    let is_wide = match table.dialect {
        Dialect::Postgres => format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid {equals} {}::pg_catalog.regclass AND a.attname {equals} 'version' AND a.atttypid {equals} 'pg_catalog.int8'::pg_catalog.regtype)",
            literal(&table.table)
        ),
        Dialect::Sqlite => format!(
            "EXISTS (SELECT 1 FROM pragma_table_info({}) WHERE name = 'version' AND lower(type) = 'int8')",
            literal(table.table.trim_matches('"'))
        ),
    };
    format!("CASE WHEN {is_wide} THEN {wide} ELSE {narrow} END")
}
