//! The statements that stop a printed script if a run holds the lock or if the database is at another revision.

use super::trust::{is_trusted, trusted_roles};
use super::{Printer, ScriptSummary};
use crate::dialect::Dialect;
use crate::sql::{DIVIDED_BY, EQUALS, literal, operator};

impl<W> Printer<'_, W> {
    /// Returns the statement that takes the lock of runs. The server computes the key, because the name of the database
    /// is known there; the computation is that of `database::postgres::lock::key`.
    pub(super) fn lock(&self) -> String {
        let bytes = |text: &str| format!("pg_catalog.convert_to({text}, 'UTF8')");
        let table = literal(self.table);
        let schema = match self.schema {
            Some(schema) => literal(schema),
            None => format!(
                "coalesce((SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid {EQUALS} c.relnamespace WHERE c.oid {EQUALS} pg_catalog.to_regclass({})::pg_catalog.oid), pg_catalog.current_schema()::pg_catalog.text)",
                literal(&self.history.table)
            ),
        };
        let database = bytes("pg_catalog.current_database()::pg_catalog.text");
        let parts = [bytes("'lockkeeper'"), database, bytes(&schema), bytes(&table)];
        let and = format!(" {} ", operator(Dialect::Postgres, "||"));
        format!(
            "-- The lock that keeps other runs away. Division by zero means that one of them holds it.\nSELECT 1 {DIVIDED_BY} pg_catalog.pg_try_advisory_lock(pg_catalog.concat('x', pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256({}), 1, 8), 'hex'))::bit(64)::bigint)::int AS locked;\n",
            parts.join(&format!("{and}pg_catalog.decode('00', 'hex'){and}"))
        )
    }

    /// Returns the statements that stop the script if the database is not at the expected revisions.
    pub(super) fn guard(&self, summary: &ScriptSummary<'_>, from: &str) -> String {
        let not_there = self.stops(
            &format!("the database is not at {from}"),
            &self.history.format.has_exactly(self.history, summary.applied, summary.from),
        );
        if summary.undone.is_empty() {
            return not_there;
        }
        // The versions are as in the directory, unless the database was asked. A row with other zeros would not be
        // deleted.
        let rows = self.history.format.has_each(self.history, &summary.undone);
        let otherwise =
            "the history writes these numbers otherwise; printed without FROM, the script writes them as it does";
        not_there + &self.stops(otherwise, &rows)
    }

    /// Returns the statement that stops the script if something else has taken the place of a table of ours (PostgreSQL
    /// only).
    pub(super) fn trust(&self, table: &str) -> String {
        let trusted = is_trusted(table, &trusted_roles());
        format!(
            "-- Division by zero means that {table} is not a table of ours (lockkeeper check says why).\nSELECT 1 {DIVIDED_BY} CASE WHEN {trusted} THEN 1 ELSE 0 END AS trusted;\n"
        )
    }

    fn stops(&self, means: &str, expected: &str) -> String {
        let expected = format!("(SELECT {expected}\n    FROM {})", self.history.table);
        match self.history.dialect {
            Dialect::Postgres => {
                format!("-- Division by zero means that {means}.\nSELECT 1 {DIVIDED_BY} {expected}::int AS expected;\n")
            }
            Dialect::Sqlite => stops_on_sqlite(means, &expected),
        }
    }
}

/// Returns the statement that stops a script of SQLite's shell unless the condition is true.
pub(super) fn stops_on_sqlite(means: &str, expected: &str) -> String {
    format!("-- \"malformed JSON\" means that {means}.\nSELECT json('not there') WHERE NOT {expected};\n")
}
