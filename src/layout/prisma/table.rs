//! The table `_prisma_migrations`: a row for each attempt at a migration
//! (sql-schema-connector/src/sql_migration_persistence.rs).

use std::time::Duration;

use super::checksums;
use super::name;
use crate::dialect::Dialect;
use crate::layout::tool_history::ToolTable;
use crate::layout::tool_history::values::{TimeZone, as_text, is_version, no_text, text, time};
use crate::revision::history::{Elapsed, HistoryRow, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::{Checksum, Coverage, Direction, Version};
use crate::sql::operator;

/// The table `_prisma_migrations`.
#[derive(Debug)]
pub(super) struct PrismaTable;

/// The condition of a row of an attempt that has not ended.
const UNFINISHED: &str = "finished_at IS NULL AND rolled_back_at IS NULL";

/// The condition of a row of an applied migration.
const FINISHED: &str = "finished_at IS NOT NULL AND rolled_back_at IS NULL";

impl ToolTable for PrismaTable {
    fn version(&self, text: &str) -> Option<Version> {
        name::version(text)
    }

    fn checksum(&self, text: &str) -> Option<Checksum> {
        checksums::parse(text)
    }

    fn locks(&self, _: &str, _: &str, _: &str) -> Vec<i64> {
        // sql-schema-connector/src/flavour/postgres.rs, `acquire_lock`.
        vec![72_707_369]
    }

    fn coverage(&self) -> Coverage {
        Coverage::FileMayBeGone
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let columns = match dialect {
            Dialect::Postgres => {
                "
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at pg_catalog.timestamptz,
    migration_name VARCHAR(255) NOT NULL,
    logs pg_catalog.text,
    rolled_back_at pg_catalog.timestamptz,
    started_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
"
            }
            Dialect::Sqlite => {
                "
    \"id\"                    TEXT PRIMARY KEY NOT NULL,
    \"checksum\"              TEXT NOT NULL,
    \"finished_at\"           DATETIME,
    \"migration_name\"        TEXT NOT NULL,
    \"logs\"                  TEXT,
    \"rolled_back_at\"        DATETIME,
    \"started_at\"            DATETIME NOT NULL DEFAULT current_timestamp,
    \"applied_steps_count\"   INTEGER UNSIGNED NOT NULL DEFAULT 0
"
            }
        };
        format!("CREATE TABLE IF NOT EXISTS {table} ({columns});\n")
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        // An attempt that has not ended counts before one that has.
        let (row_number, equals) = match dialect {
            Dialect::Postgres => ("pg_catalog.row_number()", operator(dialect, "=")),
            Dialect::Sqlite => ("row_number()", operator(dialect, "=")),
        };
        let attempts = format!(
            "SELECT p.*, {row_number} OVER (PARTITION BY p.migration_name ORDER BY p.finished_at IS NOT NULL, p.id) AS place \
             FROM {table} AS p WHERE p.rolled_back_at IS NULL"
        );
        format!(
            "SELECT {version} AS version, {checksum} AS checksum, CASE WHEN finished_at IS NULL THEN 'failed' ELSE 'applied' END AS state, \
             {none} AS description, {finished} AS applied_at, {duration} AS duration_ms FROM ({attempts}) AS a WHERE a.place {equals} 1",
            version = as_text(dialect, "migration_name"),
            checksum = as_text(dialect, "checksum"),
            none = no_text(dialect),
            finished = stored_time(dialect, "finished_at"),
            duration = duration(dialect),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        let (dialect, name) = (table.dialect, &table.table);
        // `prisma migrate resolve --applied` writes such a row.
        let ran = !matches!(
            (row.progress, row.elapsed),
            (RecordedProgress::Whole { statements: 0 }, Elapsed::Known(Duration::ZERO))
        );
        let (steps, logs) = if ran { (1, "NULL") } else { (0, "''") };
        let (checksum, version) = (checksum(row), is_version(dialect, "migration_name", row.id));
        format!(
            "UPDATE {name} SET checksum = {checksum}, finished_at = {now}, applied_steps_count = 1, logs = NULL WHERE {version} AND {UNFINISHED};\n\
             INSERT INTO {name} (id, checksum, finished_at, migration_name, logs, started_at, applied_steps_count)\n\
             SELECT {id}, {checksum}, {now}, {text}, {logs}, {started}, {steps} WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {version} AND {FINISHED});\n",
            now = now(dialect),
            id = new_id(dialect),
            text = text(dialect, row.id.as_str()),
            started = started(dialect, row.elapsed),
        )
    }

    fn marks_begun(&self) -> bool {
        true
    }

    fn begin(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        let (dialect, name) = (table.dialect, &table.table);
        match row.direction {
            Direction::Up => format!(
                "INSERT INTO {name} (id, checksum, migration_name, started_at)\n\
                 SELECT {id}, {checksum}, {text}, {now} WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {version} AND {UNFINISHED});\n",
                id = new_id(dialect),
                checksum = checksum(row),
                text = text(dialect, row.id.as_str()),
                now = now(dialect),
                version = is_version(dialect, "migration_name", row.id),
            ),
            Direction::Down => String::new(),
        }
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        // Prisma knows no migration that is undone: with such a row, it would take this one for applied by hand. An
        // attempt that has not ended is marked as `prisma migrate resolve --rolled-back` marks it.
        let (name, version) = (&table.table, is_version(table.dialect, "migration_name", id));
        let now = now(table.dialect);
        format!(
            "DELETE FROM {name} WHERE {version} AND {FINISHED};\nUPDATE {name} SET rolled_back_at = {now} WHERE {version} AND {UNFINISHED};\n"
        )
    }

    fn accept(&self, table: &HistoryTable, id: &Version, now: Checksum) -> String {
        let version = is_version(table.dialect, "migration_name", id);
        format!("UPDATE {} SET checksum = '{now}' WHERE {version} AND {FINISHED};\n", table.table)
    }
}

/// Returns the checksum of a row as a literal.
fn checksum(row: &HistoryRow<'_>) -> String {
    format!("'{}'", row.checksum.map_or_else(String::new, |checksum| checksum.to_string()))
}

/// Returns the present time. SQLite stores milliseconds since 1970, as Prisma's engine does.
fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "pg_catalog.clock_timestamp()",
        Dialect::Sqlite => "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    }
}

/// Returns the time at which a step began that ends now.
fn started(dialect: Dialect, elapsed: Elapsed) -> String {
    let (minus, now) = (operator(dialect, "-"), now(dialect));
    match (elapsed, dialect) {
        (Elapsed::SinceBegin, Dialect::Postgres) => "pg_catalog.transaction_timestamp()".into(),
        (Elapsed::SinceBegin, Dialect::Sqlite) => now.into(),
        (Elapsed::Known(took), Dialect::Postgres) => {
            format!("{now} {minus} pg_catalog.make_interval(secs => {:.6})", took.as_secs_f64())
        }
        (Elapsed::Known(took), Dialect::Sqlite) => format!("{now} {minus} {}", took.as_millis()),
    }
}

/// Returns a random identifier (UUID, version 4).
fn new_id(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "pg_catalog.gen_random_uuid()::pg_catalog.text",
        Dialect::Sqlite => {
            "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
        }
    }
}

/// Returns a time as a text. On SQLite it may be a number of milliseconds, or a text if a driver of Node.js has written it.
fn stored_time(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Postgres => time(dialect, column, TimeZone::Stored),
        Dialect::Sqlite => format!(
            "CASE typeof({column}) WHEN 'integer' THEN strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch') ELSE {} END",
            time(dialect, column, TimeZone::Stored)
        ),
    }
}

/// Returns the duration of an attempt in milliseconds as a text.
fn duration(dialect: Dialect) -> String {
    let (minus, times) = (operator(dialect, "-"), operator(dialect, "*"));
    match dialect {
        Dialect::Postgres => {
            format!("(EXTRACT(epoch FROM finished_at {minus} started_at) {times} 1000)::bigint::pg_catalog.text")
        }
        Dialect::Sqlite => {
            "CASE WHEN typeof(finished_at) = 'integer' AND typeof(started_at) = 'integer' THEN CAST(finished_at - started_at AS text) END".into()
        }
    }
}
