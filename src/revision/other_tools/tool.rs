//! The other migration tools and their history tables.

use super::version::RevisionNumber;
use super::{RecordedRow, version};
use crate::revision::Version;

/// Another migration tool, described by its history table.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The name of the tool.
    pub(crate) name: &'static str,
    /// The name of the layout with which Lockkeeper reads and writes the table, if it does.
    pub(crate) layout: Option<&'static str>,
    /// The name of the table, in lower case.
    table: &'static str,
    /// The columns that the table has.
    columns: &'static [&'static str],
    /// Columns that the table does not have: with one of them, it is the table of another tool.
    others: &'static [&'static str],
    /// The SQL expression, for both dialects, of the version of a row. The next three fields are such expressions as
    /// well.
    version: &'static str,
    /// The description of the version.
    description: &'static str,
    /// The condition that the version stopped part way.
    unfinished: &'static str,
    /// The way to correct a version that stopped part way, which `{version}` stands for; empty if the table has none
    /// such.
    remedy: &'static str,
    /// The condition that the row covers all versions up to its own.
    baseline: &'static str,
    /// The SQL that follows the name of the table and selects the rows that count.
    rows: &'static str,
    /// The part of a version that is the number of a revision.
    number: VersionNumber,
    /// The meaning of a row for earlier revisions.
    pub(super) meaning: RowMeaning,
}

/// The part of a version that may be the number of a revision.
#[derive(Clone, Copy, Debug)]
enum VersionNumber {
    Whole,
    /// `20260112093000_add_widgets`: the digits before the words.
    Leading,
    Nowhere,
}

/// The meaning of a row for the revisions before its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowMeaning {
    /// None: each applied revision has a row.
    EachRow,
    /// The earlier revisions are applied as well.
    UpTo,
    /// The revisions on which its own depends are applied as well.
    Ancestors,
}

impl Tool {
    const PLAIN: Tool = Tool {
        name: "",
        layout: None,
        table: "",
        columns: &[],
        others: &[],
        version: "version",
        description: "''",
        unfinished: "1 = 0",
        remedy: "",
        baseline: "1 = 0",
        rows: "",
        number: VersionNumber::Whole,
        meaning: RowMeaning::EachRow,
    };

    /// Returns a query for the rows of the table, whose name is quoted and qualified. The columns are the version, the
    /// description, and the state: `applied`, `unfinished` or `baseline`.
    pub(crate) fn question(&self, table: &str) -> String {
        let Tool { version, description, unfinished, baseline, .. } = self;
        let rows = self.rows.replace("{table}", table);
        format!(
            "SELECT CAST({version} AS text), coalesce(CAST({description} AS text), ''), \
             CASE WHEN {unfinished} THEN 'unfinished' WHEN {baseline} THEN 'baseline' ELSE 'applied' END FROM {table} {rows}"
        )
    }

    /// Returns the version of a revision that a tool's version contains, which `parse` reads. Returns `None` if there
    /// is none.
    pub(super) fn number(&self, version: &str, parse: &dyn Fn(&str) -> Option<Version>) -> Option<Version> {
        match self.number {
            VersionNumber::Whole => parse(version),
            VersionNumber::Leading => parse(version.split(['_', '-', '.']).next()?),
            VersionNumber::Nowhere => None,
        }
    }

    /// Returns the number of a version, independent of the way in which a layout writes it. Returns `None` if there is
    /// none.
    pub(super) fn plain_number(&self, version: &str) -> Option<RevisionNumber> {
        let (number, rest) = version::leading_number(version)?;
        match self.number {
            VersionNumber::Whole => rest.is_empty().then_some(number),
            VersionNumber::Leading => Some(number),
            VersionNumber::Nowhere => None,
        }
    }

    /// Returns whether the rows of the table can be assigned to the revisions of a directory.
    pub(super) fn has_revisions(&self) -> bool {
        !matches!(self.number, VersionNumber::Nowhere)
    }

    /// Returns whether a text is the name of the tool; a table of two tools has both names.
    pub(super) fn is_named(&self, text: &str) -> bool {
        self.name.split(" or ").any(|name| name.eq_ignore_ascii_case(text))
    }

    /// Returns the way to correct a version that stopped part way.
    pub(super) fn remedy(&self, version: &str) -> String {
        self.remedy.replace("{version}", version)
    }

    /// Returns the words of a row in the form in which file names are compared with them; empty if the row has none.
    pub(super) fn describe(&self, row: &RecordedRow) -> String {
        match self.number {
            VersionNumber::Leading => version::words_behind_number(&row.version),
            VersionNumber::Whole | VersionNumber::Nowhere => version::description_words(&row.description),
        }
    }

    /// Returns the versions that the database is at: the newest one, or all heads for a tool that records heads.
    pub(super) fn newest<'a>(&self, rows: &'a [RecordedRow]) -> Vec<&'a str> {
        let mut versions: Vec<&str> = rows.iter().map(|row| row.version.as_str()).collect();
        match (self.meaning, self.number) {
            (RowMeaning::UpTo | RowMeaning::Ancestors, _) => {}
            // The rows come in the order of the query.
            (_, VersionNumber::Nowhere) => versions.truncate(1),
            _ => versions = versions.into_iter().max_by_key(|version| version::order(version)).into_iter().collect(),
        }
        versions
    }

    /// Returns whether a version has only zeros, as Diesel's own first version, which creates no table of the
    /// application.
    pub(super) fn stands_for_nothing(&self, version: &str) -> bool {
        version.bytes().all(|byte| byte == b'0')
    }
}

/// Flyway, which records undone and deleted versions as rows of their own.
const FLYWAY: Tool = Tool {
    name: "Flyway",
    layout: Some("flyway"),
    table: "flyway_schema_history",
    columns: &["installed_rank", "version", "script", "installed_on", "success"],
    description: "description",
    unfinished: "NOT success",
    remedy: "undo by hand what {version} has done, and run flyway repair",
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
        // The table has one row for each head.
        rows: "ORDER BY version_num LIMIT 5",
        meaning: RowMeaning::Ancestors,
        ..Tool::PLAIN
    },
    Tool {
        name: "sqlx",
        layout: Some("sqlx"),
        table: "_sqlx_migrations",
        columns: &["version", "description", "success", "checksum", "execution_time"],
        description: "description",
        unfinished: "NOT success",
        remedy: "complete {version} by hand and set success to true in its row, or undo it by hand and delete its row",
        ..Tool::PLAIN
    },
    Tool {
        name: "golang-migrate",
        layout: Some("golang-migrate"),
        table: "schema_migrations",
        columns: &["version", "dirty"],
        unfinished: "dirty",
        remedy: "complete {version} by hand and run migrate force {version}, or undo it by hand and run migrate force with the version before it",
        meaning: RowMeaning::UpTo,
        ..Tool::PLAIN
    },
    Tool { name: "Ecto", table: "schema_migrations", columns: &["version", "inserted_at"], ..Tool::PLAIN },
    Tool {
        name: "dbmate or Rails",
        layout: Some("dbmate"),
        table: "schema_migrations",
        columns: &["version"],
        others: &["dirty", "inserted_at"],
        ..Tool::PLAIN
    },
    Tool {
        name: "goose",
        layout: Some("goose"),
        table: "goose_db_version",
        columns: &["id", "version_id", "is_applied"],
        version: "version_id",
        // Old versions insert a row for what was undone; the first row is a 0 for the empty database.
        rows: "h WHERE version_id > 0 AND is_applied AND NOT EXISTS (SELECT 1 FROM {table} u \
                 WHERE u.version_id = h.version_id AND u.id > h.id AND NOT u.is_applied)",
        ..Tool::PLAIN
    },
    Tool {
        name: "sql-migrate",
        layout: Some("sql-migrate"),
        table: "gorp_migrations",
        columns: &["id", "applied_at"],
        version: "id",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
    Tool {
        name: "refinery",
        layout: Some("refinery"),
        table: "refinery_schema_history",
        columns: &["version", "name", "applied_on", "checksum"],
        description: "name",
        ..Tool::PLAIN
    },
    FLYWAY,
    // The table of Flyway before its version 5: the settings have to name it.
    Tool { table: "schema_version", layout: None, ..FLYWAY },
    Tool {
        name: "Diesel",
        layout: Some("diesel"),
        table: "__diesel_schema_migrations",
        columns: &["version", "run_on"],
        ..Tool::PLAIN
    },
    Tool {
        name: "Prisma",
        layout: Some("prisma"),
        table: "_prisma_migrations",
        columns: &["migration_name", "checksum", "started_at", "finished_at", "rolled_back_at"],
        version: "migration_name",
        unfinished: "finished_at IS NULL",
        remedy: "complete {version} by hand and run prisma migrate resolve --applied {version}, or undo it by hand and run it with --rolled-back",
        rows: "WHERE rolled_back_at IS NULL",
        number: VersionNumber::Leading,
        ..Tool::PLAIN
    },
    Tool { name: "Pop", layout: Some("pop"), table: "schema_migration", columns: &["version"], ..Tool::PLAIN },
    Tool {
        name: "Django",
        table: "django_migrations",
        columns: &["id", "app", "name", "applied"],
        version: "app || '.' || name",
        rows: "ORDER BY id DESC LIMIT 1",
        // Each app has its own sequence of versions.
        number: VersionNumber::Nowhere,
        ..Tool::PLAIN
    },
    Tool {
        name: "Liquibase",
        table: "databasechangelog",
        columns: &["id", "author", "filename", "orderexecuted", "md5sum"],
        version: "id",
        rows: "ORDER BY orderexecuted DESC LIMIT 1",
        // A change set is identified by its author and file as well.
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

/// Returns the names of all tables, in lower case.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.table)
}

/// Returns the names of all tools.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = TOOLS.iter().flat_map(|tool| tool.name.split(" or ")).collect();
    names.dedup();
    names
}

/// Returns the tool that a table belongs to. Returns `None` if the table has the columns of no known tool.
pub(crate) fn recognise(table: &str, columns: &[&str]) -> Option<&'static Tool> {
    let has = |column: &&str| columns.contains(column);
    TOOLS.iter().find(|tool| tool.table == table && tool.columns.iter().all(has) && !tool.others.iter().any(has))
}
