//! The tools, by their history tables.

use super::{RecordedRow, version};
use crate::revision::Id;

/// Another tool, by its history table.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    /// In lower case.
    table: &'static str,
    /// Columns that its table has,
    columns: &'static [&'static str],
    /// and columns that make it another tool's.
    others: &'static [&'static str],
    /// What a row calls its revision, in SQL of both dialects, as all of these.
    version: &'static str,
    /// What a row says of its revision in words.
    description: &'static str,
    /// Whether a row stands for a revision that stopped part way.
    unfinished: &'static str,
    /// Whether a row stands for everything up to its version.
    baseline: &'static str,
    /// What follows the table's name, so that only the rows are left that count.
    rows: &'static str,
    number: VersionNumber,
    pub(super) meaning: RowMeaning,
}

/// Where a number of ours can be in a version.
#[derive(Clone, Copy, Debug)]
enum VersionNumber {
    Whole,
    /// `20260112093000_add_widgets`: digits before the words.
    Leading,
    Nowhere,
}

/// What a row says of the revisions before its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowMeaning {
    /// Nothing: each revision has a row.
    EachRow,
    /// They are done as well.
    UpTo,
}

impl Tool {
    const PLAIN: Tool = Tool {
        name: "",
        table: "",
        columns: &[],
        others: &[],
        version: "version",
        description: "''",
        unfinished: "1 = 0",
        baseline: "1 = 0",
        rows: "",
        number: VersionNumber::Whole,
        meaning: RowMeaning::EachRow,
    };

    /// Asks its table, quoted and qualified, for its rows: version, words, and how far it got.
    pub fn question(&self, table: &str) -> String {
        let Tool { version, description, unfinished, baseline, .. } = self;
        let rows = self.rows.replace("{table}", table);
        format!(
            "SELECT CAST({version} AS text), coalesce(CAST({description} AS text), ''), \
             CASE WHEN {unfinished} THEN 'unfinished' WHEN {baseline} THEN 'baseline' ELSE 'applied' END FROM {table} {rows}"
        )
    }

    /// The revision's number in a version, as we would write it.
    pub(super) fn number(&self, version: &str) -> Option<Id> {
        match self.number {
            VersionNumber::Whole => Id::parse(version),
            VersionNumber::Leading => Id::parse(version.split(['_', '-', '.']).next()?),
            VersionNumber::Nowhere => None,
        }
    }

    /// Returns the words of a row, as file names are compared with them; empty where it has none.
    pub(super) fn describe(&self, row: &RecordedRow) -> String {
        match self.number {
            VersionNumber::Leading => version::words_behind_number(&row.version),
            VersionNumber::Whole | VersionNumber::Nowhere => version::description_words(&row.description),
        }
    }

    /// Returns the versions that say where the database is: the newest one, and all heads of a tool that records heads.
    pub(super) fn newest<'a>(&self, rows: &'a [RecordedRow]) -> Vec<&'a str> {
        let mut versions: Vec<&str> = rows.iter().map(|row| row.version.as_str()).collect();
        match (self.meaning, self.number) {
            (RowMeaning::UpTo, _) => {}
            // In the order of the table.
            (_, VersionNumber::Nowhere) => versions.truncate(1),
            _ => versions = versions.into_iter().max_by_key(|version| version::order(version)).into_iter().collect(),
        }
        versions
    }

    /// Diesel's own first version makes no table of the application's.
    pub(super) fn stands_for_nothing(&self, version: &str) -> bool {
        version.bytes().all(|byte| byte == b'0')
    }
}

/// Flyway records what was undone and what was deleted as rows of their own.
const FLYWAY: Tool = Tool {
    name: "Flyway",
    table: "flyway_schema_history",
    columns: &["installed_rank", "version", "script", "installed_on", "success"],
    description: "description",
    unfinished: "NOT success",
    baseline: "type = 'BASELINE'",
    rows: "h WHERE version IS NOT NULL AND type NOT LIKE 'UNDO%' AND type NOT IN ('SCHEMA', 'DELETE') \
             AND NOT EXISTS (SELECT 1 FROM {table} u WHERE u.version = h.version AND u.installed_rank > h.installed_rank \
             AND (u.type LIKE 'UNDO%' OR u.type = 'DELETE'))",
    ..Tool::PLAIN
};

static TOOLS: [Tool; 17] = [
    Tool {
        name: "Alembic",
        table: "alembic_version",
        columns: &["version_num"],
        version: "version_num",
        // One row for each head.
        rows: "ORDER BY version_num LIMIT 5",
        meaning: RowMeaning::UpTo,
        ..Tool::PLAIN
    },
    Tool {
        name: "sqlx",
        table: "_sqlx_migrations",
        columns: &["version", "description", "success", "checksum", "execution_time"],
        description: "description",
        unfinished: "NOT success",
        ..Tool::PLAIN
    },
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        columns: &["version", "dirty"],
        unfinished: "dirty",
        meaning: RowMeaning::UpTo,
        ..Tool::PLAIN
    },
    Tool { name: "Ecto", table: "schema_migrations", columns: &["version", "inserted_at"], ..Tool::PLAIN },
    Tool {
        name: "dbmate or Rails",
        table: "schema_migrations",
        columns: &["version"],
        others: &["dirty", "inserted_at"],
        ..Tool::PLAIN
    },
    Tool {
        name: "goose",
        table: "goose_db_version",
        columns: &["id", "version_id", "is_applied"],
        version: "version_id",
        // Old versions insert a row for what was undone; the first row is a 0 that stands for nothing.
        rows: "h WHERE version_id > 0 AND is_applied AND NOT EXISTS (SELECT 1 FROM {table} u \
                 WHERE u.version_id = h.version_id AND u.id > h.id AND NOT u.is_applied)",
        ..Tool::PLAIN
    },
    Tool {
        name: "sql-migrate",
        table: "gorp_migrations",
        columns: &["id", "applied_at"],
        version: "id",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
    Tool {
        name: "refinery",
        table: "refinery_schema_history",
        columns: &["version", "name", "applied_on", "checksum"],
        description: "name",
        ..Tool::PLAIN
    },
    FLYWAY,
    // Its table before version 5.
    Tool { table: "schema_version", ..FLYWAY },
    Tool { name: "Diesel", table: "__diesel_schema_migrations", columns: &["version", "run_on"], ..Tool::PLAIN },
    Tool {
        name: "Prisma",
        table: "_prisma_migrations",
        columns: &["migration_name", "checksum", "started_at", "finished_at", "rolled_back_at"],
        version: "migration_name",
        unfinished: "finished_at IS NULL",
        rows: "WHERE rolled_back_at IS NULL",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
    Tool { name: "Pop", table: "schema_migration", columns: &["version"], ..Tool::PLAIN },
    Tool {
        name: "Django",
        table: "django_migrations",
        columns: &["id", "app", "name", "applied"],
        version: "app || '.' || name",
        rows: "ORDER BY id DESC LIMIT 1",
        // Each app counts for itself.
        number: VersionNumber::Nowhere,
        ..Tool::PLAIN
    },
    Tool {
        name: "Liquibase",
        table: "databasechangelog",
        columns: &["id", "author", "filename", "orderexecuted", "md5sum"],
        version: "id",
        rows: "ORDER BY orderexecuted DESC LIMIT 1",
        // A change set is known by its author and file as well.
        number: VersionNumber::Nowhere,
        ..Tool::PLAIN
    },
    Tool {
        name: "Knex",
        table: "knex_migrations",
        columns: &["id", "name", "batch", "migration_time"],
        version: "name",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
    Tool {
        name: "node-pg-migrate",
        table: "pgmigrations",
        columns: &["id", "name", "run_on"],
        version: "name",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
];

/// The names of all tables, in lower case.
pub fn tables() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.table)
}

/// Whose table this is; `None` when its columns are nobody's.
pub fn recognise(table: &str, columns: &[&str]) -> Option<&'static Tool> {
    let has = |column: &&str| columns.contains(column);
    TOOLS.iter().find(|tool| tool.table == table && tool.columns.iter().all(has) && !tool.others.iter().any(has))
}
