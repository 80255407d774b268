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
pub(super) enum Before<'a> {
    /// A temporary table, within a transaction.
    Temporary,
    /// The baseline, by the history table's name.
    Baseline(&'a str),
}

impl Before<'_> {
    /// Notes them.
    pub(super) fn note(&self) -> String {
        match self {
            Before::Temporary => format!("CREATE TEMP TABLE lockkeeper_orphans AS {ORPHANS};\n"),
            Before::Baseline(history) => {
                format!(
                    "DROP TABLE IF EXISTS {table};\n{create}INSERT INTO {table} {ORPHANS};\n",
                    table = baseline(history),
                    create = create_baseline(history)
                )
            }
        }
    }

    /// Stops the script when there are more by now. What was there before is not the script's doing.
    pub(super) fn compare(&self) -> String {
        let (table, [child, parent, rows]) = match self {
            Before::Temporary => ("temp.lockkeeper_orphans".to_owned(), ["child", "parent", "n"]),
            Before::Baseline(history) => {
                (baseline(history), ["lockkeeper_child", "lockkeeper_parent", "lockkeeper_rows"])
            }
        };
        format!(
            "-- \"malformed JSON\" means that foreign keys lead nowhere now.\nSELECT json('orphans') WHERE EXISTS (SELECT 1 FROM ({ORPHANS}) AS now WHERE now.n > coalesce((SELECT was.{rows} FROM {table} AS was WHERE was.{child} = now.child AND was.{parent} = now.parent), 0));\nDROP TABLE {table};\n"
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
