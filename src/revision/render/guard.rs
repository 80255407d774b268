//! What stops a printed script: a run that holds the lock, a database elsewhere, foreign keys that lead nowhere.

use super::{Printer, Summary, literal};
use crate::revision::Dialect;

impl<W> Printer<'_, W> {
    /// The lock that runs take, its key computed where the database's name is known: see `key` of the PostgreSQL half.
    pub(super) fn lock(&self) -> String {
        let bytes = |text: &str| format!("pg_catalog.convert_to({text}, 'UTF8')");
        let table = literal(self.table);
        let schema = match self.schema {
            Some(schema) => literal(schema),
            None => format!(
                "coalesce((SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass({})), current_schema()::text)",
                literal(&self.history.table)
            ),
        };
        let parts = [bytes("'lockkeeper'"), bytes("current_database()::text"), bytes(&schema), bytes(&table)];
        format!(
            "-- The lock that keeps other runs away. Division by zero means that one of them holds it.\nSELECT 1 / pg_catalog.pg_try_advisory_lock(('x' || pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256({}), 1, 8), 'hex'))::bit(64)::bigint)::int AS locked;\n",
            parts.join(" || '\\x00'::bytea || ")
        )
    }

    /// Stops the script when the database is not where it was taken to be.
    pub(super) fn guard(&self, summary: &Summary<'_>, from: &str) -> String {
        let (table, applied, heads) = (&self.history.table, summary.applied, summary.from.len());
        let ids: Vec<String> = summary.from.iter().map(|id| literal(id.as_str())).collect();
        let among = match ids.is_empty() {
            true => String::new(),
            false => format!(" AND count(CASE WHEN revision IN ({}) THEN 1 END) = {heads}", ids.join(", ")),
        };
        let counted = format!("(SELECT count(*) = {applied}{among} FROM {table} WHERE state = 'applied')");
        match self.history.dialect {
            Dialect::Postgres => format!(
                "-- Division by zero means that the database is not at {from}.\nSELECT 1 / {counted}::int AS expected;\n"
            ),
            Dialect::Sqlite => format!(
                "-- \"malformed JSON\" means that the database is not at {from}.\nSELECT json('not there') WHERE NOT {counted};\n"
            ),
        }
    }
}

/// SQLite: how many foreign keys lead nowhere.
pub(super) const ORPHANS: &str =
    "SELECT \"table\" AS child, parent, count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2";

/// What was broken before is not the script's doing.
pub(super) fn no_new_orphans() -> String {
    format!(
        "-- \"malformed JSON\" means that foreign keys lead nowhere now.\nSELECT json('orphans') WHERE EXISTS (SELECT 1 FROM ({ORPHANS}) AS now WHERE now.n > coalesce((SELECT was.n FROM temp.lockkeeper_orphans AS was WHERE was.child = now.child AND was.parent = now.parent), 0));\nDROP TABLE temp.lockkeeper_orphans;\n"
    )
}
