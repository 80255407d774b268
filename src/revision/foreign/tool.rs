//! The tools, by their history tables.

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
    /// What a row calls its revision, in SQL of both dialects.
    version: &'static str,
    /// Whether a row stands for a revision that stopped part way.
    unfinished: &'static str,
    /// What follows the table's name, so that only the rows are left that say where the database is.
    newest: &'static str,
    number: Number,
}

/// Where a number of ours can be in a version.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole,
    /// `20260112093000_add_widgets`: digits before the words.
    Leading,
    Nowhere,
}

impl Tool {
    const PLAIN: Tool = Tool {
        name: "",
        table: "",
        columns: &[],
        others: &[],
        version: "version",
        unfinished: "1 = 0",
        newest: "ORDER BY version DESC LIMIT 1",
        number: Number::Whole,
    };

    /// Asks its table, quoted and qualified, where the database is: versions, each with whether it is unfinished (0, 1).
    pub fn question(&self, table: &str) -> String {
        let Tool { version, unfinished, .. } = self;
        let newest = self.newest.replace("{table}", table);
        format!(
            "SELECT CAST({version} AS text), CASE WHEN {unfinished} THEN '1' ELSE '0' END FROM {table} {newest}"
        )
    }

    /// The revision's number in a version, as we would write it.
    pub(super) fn number(&self, version: &str) -> Option<Id> {
        match self.number {
            Number::Whole => Id::parse(version),
            Number::Leading => Id::parse(version.split(['_', '-', '.']).next()?),
            Number::Nowhere => None,
        }
    }
}

/// Flyway records what was undone and what was deleted as rows of their own.
const FLYWAY: Tool = Tool {
    name: "Flyway",
    table: "flyway_schema_history",
    columns: &["installed_rank", "version", "script", "installed_on", "success"],
    unfinished: "NOT success",
    newest: "h WHERE version IS NOT NULL AND type NOT LIKE 'UNDO%' AND type NOT IN ('SCHEMA', 'DELETE') \
             AND NOT EXISTS (SELECT 1 FROM {table} u WHERE u.version = h.version AND u.installed_rank > h.installed_rank \
             AND (u.type LIKE 'UNDO%' OR u.type = 'DELETE')) ORDER BY installed_rank DESC LIMIT 1",
    ..Tool::PLAIN
};

static TOOLS: [Tool; 17] = [
    Tool {
        name: "Alembic",
        table: "alembic_version",
        columns: &["version_num"],
        version: "version_num",
        // One row for each head.
        newest: "ORDER BY version_num LIMIT 5",
        ..Tool::PLAIN
    },
    Tool {
        name: "sqlx",
        table: "_sqlx_migrations",
        columns: &["version", "description", "success", "checksum", "execution_time"],
        unfinished: "NOT success",
        ..Tool::PLAIN
    },
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        columns: &["version", "dirty"],
        unfinished: "dirty",
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
        newest: "h WHERE version_id > 0 AND is_applied AND NOT EXISTS (SELECT 1 FROM {table} u \
                 WHERE u.version_id = h.version_id AND u.id > h.id AND NOT u.is_applied) ORDER BY version_id DESC LIMIT 1",
        ..Tool::PLAIN
    },
    Tool {
        name: "sql-migrate",
        table: "gorp_migrations",
        columns: &["id", "applied_at"],
        version: "id",
        newest: "ORDER BY id DESC LIMIT 1",
        number: Number::Leading,
        ..Tool::PLAIN
    },
    Tool {
        name: "refinery",
        table: "refinery_schema_history",
        columns: &["version", "name", "applied_on", "checksum"],
        ..Tool::PLAIN
    },
    FLYWAY,
    // Its table before version 5.
    Tool { table: "schema_version", ..FLYWAY },
    Tool {
        name: "Diesel",
        table: "__diesel_schema_migrations",
        columns: &["version", "run_on"],
        ..Tool::PLAIN
    },
    Tool {
        name: "Prisma",
        table: "_prisma_migrations",
        columns: &["migration_name", "checksum", "started_at", "finished_at", "rolled_back_at"],
        version: "migration_name",
        unfinished: "finished_at IS NULL",
        newest: "WHERE rolled_back_at IS NULL ORDER BY migration_name DESC LIMIT 1",
        number: Number::Leading,
        ..Tool::PLAIN
    },
    Tool { name: "Pop", table: "schema_migration", columns: &["version"], ..Tool::PLAIN },
    Tool {
        name: "Django",
        table: "django_migrations",
        columns: &["id", "app", "name", "applied"],
        version: "app || '.' || name",
        newest: "ORDER BY id DESC LIMIT 1",
        // Each app counts for itself.
        number: Number::Nowhere,
        ..Tool::PLAIN
    },
    Tool {
        name: "Liquibase",
        table: "databasechangelog",
        columns: &["id", "author", "filename", "orderexecuted", "md5sum"],
        version: "id",
        newest: "ORDER BY orderexecuted DESC LIMIT 1",
        // A change set is known by its author and file as well.
        number: Number::Nowhere,
        ..Tool::PLAIN
    },
    Tool {
        name: "Knex",
        table: "knex_migrations",
        columns: &["id", "name", "batch", "migration_time"],
        version: "name",
        newest: "ORDER BY id DESC LIMIT 1",
        number: Number::Leading,
        ..Tool::PLAIN
    },
    Tool {
        name: "node-pg-migrate",
        table: "pgmigrations",
        columns: &["id", "name", "run_on"],
        version: "name",
        newest: "ORDER BY id DESC LIMIT 1",
        number: Number::Leading,
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
    TOOLS
        .iter()
        .find(|tool| tool.table == table && tool.columns.iter().all(has) && !tool.others.iter().any(has))
}
