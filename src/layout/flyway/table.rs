//! The table `flyway_schema_history` (Flyway, `JdbcTableSchemaHistory`, `PostgreSQLDatabase` and `SQLiteDatabase`).

use super::version;
use crate::dialect::Dialect;
use crate::layout::tool_history::ToolTable;
use crate::layout::tool_history::values::{TimeZone, as_text, elapsed, is_version, text, time};
use crate::revision::history::{HistoryRow, HistoryTable};
use crate::revision::{Checksum, Direction, Version};
use crate::sql::{identifier, is_one_of, operator, sqlite_literal};

/// The table `flyway_schema_history`.
#[derive(Debug)]
pub(super) struct FlywayTable;

/// The types of rows that record a version as not applied.
const UNDONE: [&str; 6] = ["DELETE", "UNDO_SQL", "UNDO_JDBC", "UNDO_SPRING_JDBC", "UNDO_CUSTOM", "UNDO_SCRIPT"];

/// The types of rows that stand for all versions up to their own.
const BASELINES: [&str; 5] = ["BASELINE", "INIT", "SQL_BASELINE", "JDBC_BASELINE", "SCRIPT_BASELINE"];

/// The number to which the hash of the table's name is added (`PostgreSQLAdvisoryLockTemplate`): "Flyway" in ASCII, six
/// bytes of which the first is shifted by 40 bits.
const LOCK: i64 = 77_431_708_279_161;

impl ToolTable for FlywayTable {
    fn version(&self, text: &str) -> Option<Version> {
        version::parse(text)
    }

    fn checksum(&self, text: &str) -> Option<Checksum> {
        text.parse().ok().map(|sum: i32| Checksum::new(sum.to_be_bytes()))
    }

    fn locks(&self, _: &str, schema: &str, table: &str) -> Vec<i64> {
        vec![LOCK + i64::from(java_hash(&format!("{}.{}", identifier(schema), identifier(table))))]
    }

    fn create(&self, dialect: Dialect, table: &str) -> String {
        let name = table.rsplit_once("\".\"").map_or(table, |(_, name)| name).trim_matches('"').replace("\"\"", "\"");
        let (installed_on, default, key) = match dialect {
            Dialect::Postgres => {
                let constraint = identifier(&format!("{name}_pk"));
                (
                    "pg_catalog.timestamp",
                    "pg_catalog.now()",
                    format!(",\n    CONSTRAINT {constraint} PRIMARY KEY (\"installed_rank\")"),
                )
            }
            Dialect::Sqlite => ("TEXT", "(strftime('%Y-%m-%d %H:%M:%f','now'))", String::new()),
        };
        let (rank, integer) = match dialect {
            Dialect::Postgres => ("INT NOT NULL", "INTEGER"),
            Dialect::Sqlite => ("INT NOT NULL PRIMARY KEY", "INT"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    \"installed_rank\" {rank},
    \"version\" VARCHAR(50),
    \"description\" VARCHAR(200) NOT NULL,
    \"type\" VARCHAR(20) NOT NULL,
    \"script\" VARCHAR(1000) NOT NULL,
    \"checksum\" {integer},
    \"installed_by\" VARCHAR(100) NOT NULL,
    \"installed_on\" {installed_on} NOT NULL DEFAULT {default},
    \"execution_time\" {integer} NOT NULL,
    \"success\" BOOLEAN NOT NULL{key}
);\nCREATE INDEX IF NOT EXISTS {index} ON {table} (\"success\");\n",
            index = identifier(&format!("{name}_s_idx")),
        )
    }

    fn rows(&self, dialect: Dialect, table: &str) -> String {
        let row_number = match dialect {
            Dialect::Postgres => "pg_catalog.row_number()",
            Dialect::Sqlite => "row_number()",
        };
        let literals = |types: &[&str]| types.iter().map(|name| sqlite_literal(name)).collect::<Vec<_>>();
        let kind = as_text(dialect, "a.type");
        let (is_baseline, is_undone) =
            (is_one_of(dialect, &kind, &literals(&BASELINES)), is_one_of(dialect, &kind, &literals(&UNDONE)));
        // The newest row of a version counts. The row for the creation of the schema has none.
        let newest = format!(
            "SELECT f.*, {row_number} OVER (PARTITION BY f.version ORDER BY f.installed_rank DESC) AS place FROM {table} AS f WHERE f.version IS NOT NULL"
        );
        format!(
            "SELECT {version} AS version, {checksum} AS checksum, \
             CASE WHEN a.success THEN CASE WHEN {is_baseline} THEN 'baseline' ELSE 'applied' END ELSE 'failed' END AS state, \
             {description} AS description, {installed_on} AS applied_at, {took} AS duration_ms \
             FROM ({newest}) AS a WHERE a.place {equals} 1 AND (NOT a.success OR NOT {is_undone}){repeatables}",
            repeatables = repeatable_rows(dialect, table),
            version = as_text(dialect, "a.version"),
            checksum = as_text(dialect, "a.checksum"),
            description = as_text(dialect, "a.description"),
            installed_on = time(dialect, "a.installed_on", TimeZone::Missing),
            took = as_text(dialect, "a.execution_time"),
            equals = operator(dialect, "="),
        )
    }

    fn apply(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        match row.id.is_repeatable() {
            true => delete_failed_repeatable(table, row) + &insert(table, row, "TRUE"),
            false => delete_failed(table, row.id) + &insert(table, row, "TRUE"),
        }
    }

    fn records_repeatables(&self) -> bool {
        true
    }

    fn marks_begun(&self) -> bool {
        true
    }

    fn begin(&self, table: &HistoryTable, row: &HistoryRow<'_>) -> String {
        match row.direction {
            Direction::Up => delete_failed(table, row.id) + &insert(table, row, "FALSE"),
            Direction::Down => String::new(),
        }
    }

    fn remove(&self, table: &HistoryTable, id: &Version, _: Option<&Version>) -> String {
        // Only Flyway Teams reads rows of type UNDO_SQL. Every edition takes a version without a row for pending.
        format!("DELETE FROM {} WHERE {};\n", table.table, is_newest(table, id))
    }

    fn accept(&self, table: &HistoryTable, id: &Version, now: Checksum) -> String {
        format!("UPDATE {} SET checksum = {} WHERE {};\n", table.table, signed(now), is_newest(table, id))
    }
}

/// Returns the condition of the newest row of a version.
fn is_newest(table: &HistoryTable, id: &Version) -> String {
    let (dialect, name) = (table.dialect, &table.table);
    let max = match dialect {
        Dialect::Postgres => "pg_catalog.max",
        Dialect::Sqlite => "max",
    };
    format!(
        "installed_rank {} (SELECT {max}(n.installed_rank) FROM {name} AS n WHERE {})",
        operator(dialect, "="),
        is_version(dialect, "n.version", id)
    )
}

/// Returns the statement that deletes the rows of failed attempts at a version.
fn delete_failed(table: &HistoryTable, id: &Version) -> String {
    format!("DELETE FROM {} WHERE {} AND NOT success;\n", table.table, is_version(table.dialect, "version", id))
}

/// Returns the statement that deletes the rows of failed attempts at a repeatable migration.
fn delete_failed_repeatable(table: &HistoryTable, row: &HistoryRow<'_>) -> String {
    let (dialect, equals) = (table.dialect, operator(table.dialect, "="));
    let description = text(dialect, &row.migration.description);
    format!(
        "DELETE FROM {} WHERE version IS NULL AND {} {equals} {description} AND NOT success;\n",
        table.table,
        as_text(dialect, "description")
    )
}

/// Returns the part of a query that adds the repeatable migrations, in place of their versions with what identifies them: of
/// each the newest row. A failed attempt does not count, for such a script may run again, and `flyway repair` writes a row that
/// takes the earlier ones back.
fn repeatable_rows(dialect: Dialect, table: &str) -> String {
    let (row_number, replace) = match dialect {
        Dialect::Postgres => ("pg_catalog.row_number()", "pg_catalog.replace"),
        Dialect::Sqlite => ("row_number()", "replace"),
    };
    let kind_is = |column: &str, kinds: &[&str]| {
        is_one_of(
            dialect,
            &as_text(dialect, column),
            &kinds.iter().map(|kind| sqlite_literal(kind)).collect::<Vec<_>>(),
        )
    };
    let is_script = kind_is("f.type", &["SQL", "SCRIPT", "DELETE"]);
    let newest = format!(
        "SELECT f.*, {row_number} OVER (PARTITION BY f.description ORDER BY f.installed_rank DESC) AS place FROM {table} AS f \
         WHERE f.version IS NULL AND f.success AND {is_script}"
    );
    format!(
        " UNION ALL SELECT 'R__' {concatenate} {replace}({description}, ' ', '_'), {checksum}, 'repeatable', {description}, {installed_on}, {took} \
         FROM ({newest}) AS b WHERE b.place {equals} 1 AND NOT {is_deleted}",
        is_deleted = kind_is("b.type", &["DELETE"]),
        concatenate = operator(dialect, "||"),
        description = as_text(dialect, "b.description"),
        checksum = as_text(dialect, "b.checksum"),
        installed_on = time(dialect, "b.installed_on", TimeZone::Missing),
        took = as_text(dialect, "b.execution_time"),
        equals = operator(dialect, "="),
    )
}

/// Returns the statement that inserts a row behind all others.
fn insert(table: &HistoryTable, row: &HistoryRow<'_>, success: &str) -> String {
    let (dialect, name) = (table.dialect, &table.table);
    let (max, user) = match dialect {
        Dialect::Postgres => ("pg_catalog.max", "CURRENT_USER"),
        Dialect::Sqlite => ("max", "''"),
    };
    format!(
        "INSERT INTO {name} (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success)\n\
         SELECT coalesce({max}(installed_rank), 0) {plus} 1, {version}, {description}, 'SQL', {script}, {checksum}, {user}, {took}, {success} FROM {name};\n",
        plus = operator(dialect, "+"),
        version = if row.id.is_repeatable() { "NULL".into() } else { text(dialect, row.id.as_str()) },
        description = text(dialect, &row.migration.description),
        script = text(dialect, &row.migration.up.file),
        checksum = row.checksum.map_or_else(|| "NULL".into(), |sum| signed(sum).to_string()),
        took = elapsed(dialect, row.elapsed, 1000),
    )
}

/// Returns a checksum as the table has it.
fn signed(checksum: Checksum) -> i32 {
    checksum.bytes().iter().fold(0, |sum: i32, byte| (sum << u8::BITS) | i32::from(*byte))
}

/// Returns the hash code that Java gives a text.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_java() {
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("\"public\".\"flyway_schema_history\""), 2_125_624_436);
    }

    #[test]
    fn a_checksum_is_written_as_it_is_read() {
        for sum in ["-1", "0", "2147483647", "-2147483648", "2108481263"] {
            assert_eq!(FlywayTable.checksum(sum).map(signed).unwrap().to_string(), sum);
        }
        assert_eq!(FlywayTable.checksum("2147483648"), None);
    }
}
