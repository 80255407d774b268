//! The SQL for SQLite's foreign keys, which a run sends and a printed script contains. It finds the rows without a
//! parent row, and the tables that reference a table that does not exist.

use crate::sql::{identifier, sqlite_literal};
/// Counts the rows without a parent row, for each table and parent.
pub(crate) const ORPHANS: &str =
    "SELECT \"table\" AS child, parent, count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2";

/// Returns a query that counts the rows of one table without a parent row, for each parent.
pub(crate) fn orphans_of(table: &str) -> String {
    format!(
        "SELECT \"table\" AS child, parent, count(*) AS n FROM pragma_foreign_key_check({}, 'main') GROUP BY 1, 2",
        sqlite_literal(table)
    )
}

/// Returns a query for the tables of these names, in lower case, and for those that reference them.
pub(crate) fn tables_near(literals: &str) -> String {
    format!(
        "SELECT m.name FROM main.sqlite_master AS m WHERE m.type = 'table' AND (lower(m.name) IN ({literals}) OR EXISTS \
         (SELECT 1 FROM pragma_foreign_key_list(m.name, 'main') AS k WHERE lower(k.\"table\") IN ({literals})))"
    )
}

/// Lists the tables that reference a table that does not exist, each with the name of the missing one.
pub(crate) const MISSING_PARENTS: &str = "SELECT m.name AS child, k.\"table\" AS parent FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS k WHERE m.type = 'table' AND lower(k.\"table\") NOT IN (SELECT lower(name) FROM main.sqlite_master WHERE type = 'table') GROUP BY 1, 2";

/// Lists, by child table, the foreign keys to a table or view whose columns are neither the primary key nor unique as a
/// whole: SQLite refuses to check such a key, and with it every other key of a check ("foreign key mismatch"). The
/// conditions are those of SQLite's manual, "Required and Suggested Database Indexes", except for the collation of an
/// index, which no pragma returns for a column.
const UNCHECKED: &str = "SELECT key.child FROM (SELECT m.name AS child, p.name AS parent, k.id AS id, count(*) AS n, min(k.\"to\") AS onto FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS k, main.sqlite_master AS p WHERE m.type = 'table' AND p.type IN ('table', 'view') AND lower(p.name) = lower(k.\"table\") GROUP BY m.name, k.id) AS key WHERE NOT (key.n = 1 AND EXISTS (SELECT 1 FROM pragma_table_info(key.parent, 'main') AS c WHERE c.pk = 1 AND upper(c.type) = 'INTEGER' AND lower(coalesce(key.onto, c.name)) = lower(c.name)) AND NOT EXISTS (SELECT 1 FROM pragma_table_info(key.parent, 'main') AS c WHERE c.pk > 1) AND NOT EXISTS (SELECT 1 FROM pragma_index_list(key.parent, 'main') AS i WHERE i.origin = 'pk')) AND NOT EXISTS (SELECT 1 FROM pragma_index_list(key.parent, 'main') AS i WHERE i.\"unique\" AND NOT i.partial AND (SELECT count(*) FROM pragma_index_info(i.name, 'main')) = key.n AND CASE WHEN key.onto IS NULL THEN i.origin = 'pk' ELSE NOT EXISTS (SELECT 1 FROM pragma_index_info(i.name, 'main') AS c WHERE coalesce(lower(c.name) NOT IN (SELECT lower(f.\"to\") FROM pragma_foreign_key_list(key.child, 'main') AS f WHERE f.id = key.id), 1)) END)";

/// Returns a query that counts the rows without a parent row as [`ORPHANS`] does, but leaves out the tables with a key
/// that SQLite does not check. CROSS JOIN fixes the order, so that such a table is never checked.
fn checked_orphans() -> String {
    format!(
        "SELECT o.\"table\" AS child, o.parent AS parent, count(*) AS n FROM (SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT IN (SELECT child FROM ({UNCHECKED}))) AS m CROSS JOIN pragma_foreign_key_check(m.name, 'main') AS o GROUP BY 1, 2"
    )
}

/// Returns the quoted name of the baseline: a table with the counts of the rows without a parent row from before a
/// script without a transaction. It exists until that script is done, so that the run that finishes the script can
/// compare.
pub(crate) fn baseline(history: &str) -> String {
    identifier(&baseline_name(history))
}

/// Returns the name of the baseline without quotes.
pub(crate) fn baseline_name(history: &str) -> String {
    format!("{history}_foreign_keys")
}

/// Returns the statement that creates the baseline. The names of the columns distinguish it from an application's
/// table.
pub(crate) fn create_baseline(history: &str) -> String {
    let table = baseline(history);
    format!(
        "CREATE TABLE {table} (lockkeeper_child text NOT NULL, lockkeeper_parent text NOT NULL, lockkeeper_rows INTEGER NOT NULL);\n"
    )
}

/// The place where a printed script stores the numbers of rows without a parent row from before the script.
pub(super) enum CountLocation<'a> {
    /// A temporary table, for a script in a transaction.
    Temporary,
    /// The baseline, by the name of the history table.
    Baseline(&'a str),
}

impl CountLocation<'_> {
    /// Returns the statements that store the numbers.
    pub(super) fn note(&self) -> String {
        let orphans = checked_orphans();
        match self {
            CountLocation::Temporary => format!("CREATE TEMP TABLE lockkeeper_orphans AS {orphans};\n"),
            CountLocation::Baseline(history) => {
                format!(
                    "DROP TABLE IF EXISTS {table};\n{create}INSERT INTO {table} {orphans};\n",
                    table = baseline(history),
                    create = create_baseline(history)
                )
            }
        }
    }

    /// Returns the statements that stop the script if there are more such rows than before. Rows that were there before
    /// the script do not stop it.
    pub(super) fn compare(&self) -> String {
        let (table, [child, parent, rows]) = match self {
            CountLocation::Temporary => ("temp.lockkeeper_orphans".to_owned(), ["child", "parent", "n"]),
            CountLocation::Baseline(history) => {
                (baseline(history), ["lockkeeper_child", "lockkeeper_parent", "lockkeeper_rows"])
            }
        };
        let orphans = checked_orphans();
        format!(
            "-- \"malformed JSON\" means that foreign keys have no parent row now.\nSELECT json('orphans') WHERE EXISTS (SELECT 1 FROM ({orphans}) AS now WHERE now.n > coalesce((SELECT was.{rows} FROM {table} AS was WHERE was.{child} = now.child AND was.{parent} = now.parent), 0));\nDROP TABLE {table};\n"
        )
    }
}

/// The name of an in-memory database that the script attaches: unlike temporary tables, it outlives a change of
/// `temp_store`.
pub(super) const NOTES: &str = "lockkeeper_script";

/// Returns the statements that store the references to missing tables from before the script.
pub(super) fn note_missing() -> String {
    format!("ATTACH ':memory:' AS {NOTES};\nCREATE TABLE {NOTES}.missing AS {MISSING_PARENTS};\n")
}

/// Returns the statements that stop the script if there are new references to missing tables, as the verification at
/// the end of a run does.
pub(super) fn compare_missing() -> String {
    format!(
        "\n-- \"malformed JSON\" means that a table references one that does not exist, and did not do so before.\nSELECT json('missing') WHERE EXISTS (SELECT 1 FROM ({MISSING_PARENTS}) AS now WHERE NOT EXISTS (SELECT 1 FROM {NOTES}.missing AS was WHERE was.child = now.child AND was.parent = now.parent));\nDETACH {NOTES};\n"
    )
}
