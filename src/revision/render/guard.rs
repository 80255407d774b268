//! What stops a printed script: a run that holds the lock, a database elsewhere.

use super::operator::DIVIDED_BY;
use super::{Printer, Summary, is_trusted, literal, trusted_roles};
use crate::revision::Dialect;
use crate::revision::plan::State;

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
            parts.join(" || pg_catalog.decode('00', 'hex') || ")
        )
    }

    /// Stops the script when the database is not where it was taken to be.
    pub(super) fn guard(&self, summary: &Summary<'_>, from: &str) -> String {
        let not_there = self.stops(&format!("the database is not at {from}"), &expected(summary));
        if summary.undone.is_empty() {
            return not_there;
        }
        // As the folder spells them, unless the database was asked. A row of other zeros would stay when its revision goes.
        let ids: Vec<String> = summary.undone.iter().map(|id| literal(id.as_str())).collect();
        let rows = format!("count(CASE WHEN revision IN ({}) THEN 1 END) = {}", ids.join(", "), ids.len());
        let otherwise = "the history writes these numbers otherwise; printed without FROM, the script writes them as it does";
        not_there + &self.stops(otherwise, &rows)
    }

    /// PostgreSQL: stops the script when somebody else has put something in the history's place.
    pub(super) fn trust(&self) -> String {
        let trusted = is_trusted(&self.history.table, &trusted_roles());
        format!(
            "-- Division by zero means that {} is not a table of ours (lockkeeper check says why).\nSELECT 1 {DIVIDED_BY} CASE WHEN {trusted} THEN 1 ELSE 0 END AS trusted;\n",
            self.history.table
        )
    }

    fn stops(&self, means: &str, expected: &str) -> String {
        let expected = format!("(SELECT {expected}\n    FROM {})", self.history.table);
        match self.history.dialect {
            Dialect::Postgres => {
                format!("-- Division by zero means that {means}.\nSELECT 1 / {expected}::int AS expected;\n")
            }
            Dialect::Sqlite => format!(
                "-- \"malformed JSON\" means that {means}.\nSELECT json('not there') WHERE NOT {expected};\n"
            ),
        }
    }
}

/// What the history must hold: so many revisions, among them the newest, and nothing unfinished but what is known.
fn expected(summary: &Summary<'_>) -> String {
    let mut conditions = vec![format!("count(*) = {}", summary.applied.len())];
    let mut count = |rows: String, wanted: usize| {
        conditions.push(format!("count(CASE WHEN {rows} THEN 1 END) = {wanted}"));
    };
    let unfinished = summary.applied.iter().filter_map(|row| match row.state {
        State::Applied => None,
        State::Partial { done } => Some((&row.id, "partial", done)),
        State::Undoing { done } => Some((&row.id, "undoing", done)),
    });
    let mut left = 0;
    for (id, state, done) in unfinished {
        left += 1;
        let id = literal(id.as_str());
        count(format!("revision = {id} AND state = '{state}' AND statements_done = {done}"), 1);
    }
    if left > 0 {
        count("state = 'applied'".into(), summary.applied.len() - left);
    }
    if !summary.from.is_empty() {
        // As the rows spell them: a file's number may have other zeros.
        let newest = summary.applied.iter().filter(|row| summary.from.contains(&row.id));
        let ids: Vec<String> = newest.map(|row| literal(row.id.as_str())).collect();
        count(format!("state = 'applied' AND revision IN ({})", ids.join(", ")), ids.len());
    }
    conditions.join("\n    AND ")
}
