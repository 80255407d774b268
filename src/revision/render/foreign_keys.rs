//! SQLite's foreign keys, in SQL that a run sends and a printed script contains: which rows have no parent row, and which
//! tables reference a table that does not exist.

use super::{identifier, sqlite_literal};

/// Counts the rows without a parent row, by table and parent.
pub const ORPHANS: &str =
    "SELECT \"table\" AS child, parent, count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2";

/// Counts those of one table.
pub fn orphans_of(table: &str) -> String {
    format!(
        "SELECT \"table\" AS child, parent, count(*) AS n FROM pragma_foreign_key_check({}, 'main') GROUP BY 1, 2",
        sqlite_literal(table)
    )
}

/// Lists the tables that reference a table that does not exist, with the name of that one.
pub const MISSING_PARENTS: &str = "SELECT m.name AS child, k.\"table\" AS parent FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS k WHERE m.type = 'table' AND lower(k.\"table\") NOT IN (SELECT lower(name) FROM main.sqlite_master WHERE type = 'table') GROUP BY 1, 2";

/// Lists the foreign keys, by child and number, that lead to a table or view whose columns are neither the primary key nor
/// unique as a whole: SQLite refuses to check these, and with them every other key of a check ("foreign key mismatch").
/// The conditions are those of SQLite's manual, "Required and Suggested Database Indexes", but for the collation of an
/// index, which no pragma tells of a column.
const UNCHECKED: &str = "SELECT key.child FROM (SELECT m.name AS child, p.name AS parent, k.id AS id, count(*) AS n, min(k.\"to\") AS onto FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS k, main.sqlite_master AS p WHERE m.type = 'table' AND p.type IN ('table', 'view') AND lower(p.name) = lower(k.\"table\") GROUP BY m.name, k.id) AS key WHERE NOT (key.n = 1 AND EXISTS (SELECT 1 FROM pragma_table_info(key.parent, 'main') AS c WHERE c.pk = 1 AND upper(c.type) = 'INTEGER' AND lower(coalesce(key.onto, c.name)) = lower(c.name)) AND NOT EXISTS (SELECT 1 FROM pragma_table_info(key.parent, 'main') AS c WHERE c.pk > 1) AND NOT EXISTS (SELECT 1 FROM pragma_index_list(key.parent, 'main') AS i WHERE i.origin = 'pk')) AND NOT EXISTS (SELECT 1 FROM pragma_index_list(key.parent, 'main') AS i WHERE i.\"unique\" AND NOT i.partial AND (SELECT count(*) FROM pragma_index_info(i.name, 'main')) = key.n AND CASE WHEN key.onto IS NULL THEN i.origin = 'pk' ELSE NOT EXISTS (SELECT 1 FROM pragma_index_info(i.name, 'main') AS c WHERE coalesce(lower(c.name) NOT IN (SELECT lower(f.\"to\") FROM pragma_foreign_key_list(key.child, 'main') AS f WHERE f.id = key.id), 1)) END)";

/// Counts the rows without a parent row as [`ORPHANS`] does, but leaves out the tables with a key that SQLite does not
/// check. CROSS JOIN keeps the order: such a table is not asked for.
fn checked_orphans() -> String {
    format!(
        "SELECT o.\"table\" AS child, o.parent AS parent, count(*) AS n FROM (SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT IN (SELECT child FROM ({UNCHECKED}))) AS m CROSS JOIN pragma_foreign_key_check(m.name, 'main') AS o GROUP BY 1, 2"
    )
}

/// Returns the quoted name of the table that keeps the rows without a parent row from before a script without a
/// transaction, until that script is done: whichever run finishes it compares with them.
pub fn baseline(history: &str) -> String {
    identifier(&baseline_name(history))
}

/// Returns that name without quotes.
pub fn baseline_name(history: &str) -> String {
    format!("{history}_foreign_keys")
}

/// Creates the baseline. The columns' names tell it from an application's table.
pub fn create_baseline(history: &str) -> String {
    let table = baseline(history);
    format!(
        "CREATE TABLE {table} (lockkeeper_child text NOT NULL, lockkeeper_parent text NOT NULL, lockkeeper_rows INTEGER NOT NULL);\n"
    )
}

/// Where a printed script keeps the number of rows without a parent row that it found before.
pub(super) enum CountLocation<'a> {
    /// A temporary table, within a transaction.
    Temporary,
    /// The baseline, by the history table's name.
    Baseline(&'a str),
}

impl CountLocation<'_> {
    /// Notes them.
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

    /// Stops the script when there are more by now. What was there before is not the script's doing.
    pub(super) fn compare(&self) -> String {
        let (table, [child, parent, rows]) = match self {
            CountLocation::Temporary => ("temp.lockkeeper_orphans".to_owned(), ["child", "parent", "n"]),
            CountLocation::Baseline(history) => {
                (baseline(history), ["lockkeeper_child", "lockkeeper_parent", "lockkeeper_rows"])
            }
        };
        let orphans = checked_orphans();
        format!(
            "-- \"malformed JSON\" means that foreign keys lead nowhere now.\nSELECT json('orphans') WHERE EXISTS (SELECT 1 FROM ({orphans}) AS now WHERE now.n > coalesce((SELECT was.{rows} FROM {table} AS was WHERE was.{child} = now.child AND was.{parent} = now.parent), 0));\nDROP TABLE {table};\n"
        )
    }
}

/// The script's own database in memory: unlike temporary tables it outlives a change of `temp_store`.
pub(super) const NOTES: &str = "lockkeeper_script";

/// Notes which references to missing tables are there before the script.
pub(super) fn note_missing() -> String {
    format!("ATTACH ':memory:' AS {NOTES};\nCREATE TABLE {NOTES}.missing AS {MISSING_PARENTS};\n")
}

/// Stops the script when there are others by now, as the verification at the end of a run does.
pub(super) fn compare_missing() -> String {
    format!(
        "\n-- \"malformed JSON\" means that a table references one that does not exist, and did not do so before.\nSELECT json('missing') WHERE EXISTS (SELECT 1 FROM ({MISSING_PARENTS}) AS now WHERE NOT EXISTS (SELECT 1 FROM {NOTES}.missing AS was WHERE was.child = now.child AND was.parent = now.parent));\nDETACH {NOTES};\n"
    )
}
