//! Removal of rows without a parent row, before foreign keys are added: with a foreign key in place, removing a row
//! could silently remove or change other rows (ON DELETE).

use super::CopyState;
use super::copy::copy_out;
use super::detached::DetachedForeignKey;
use super::rows::CopyRow;
use super::violation::orphan_condition;
use crate::database::DatabaseError;
use crate::database::postgres::Postgres;

/// The options of a removal.
pub(crate) struct Removal<'a> {
    /// A function that returns, for the OID of a table, the quoted columns of its removed rows that `on_orphan` gets.
    pub(crate) columns: &'a dyn Fn(u32) -> Vec<String>,
    /// The callback that gets each removed row.
    pub(crate) on_orphan: &'a mut dyn FnMut(Orphan<'_>),
}

/// A row that is removed.
pub(crate) struct Orphan<'a> {
    /// The OID of the table, or of the root if the row is in a partition.
    pub(crate) table: u32,
    /// The values of the row.
    pub(crate) row: CopyRow<'a>,
    /// The violated foreign key, as its index among the detached ones.
    pub(crate) key: usize,
    /// The columns of the foreign key; all names are quoted.
    pub(crate) columns: &'a [String],
    /// The referenced table, qualified and quoted.
    pub(crate) parent: &'a str,
    /// The referenced columns.
    pub(crate) parent_columns: &'a [String],
}

/// Removes rows until every row has its parent: rows that refer to a removed row are removed, too.
pub(super) async fn remove(
    session: &mut Postgres,
    copy_state: &mut CopyState,
    keys: &[DetachedForeignKey],
    removal: &mut Removal<'_>,
) -> Result<(), DatabaseError> {
    loop {
        let mut removed = 0;
        // Rows that no condition can find are reported when the key is added.
        let is_searchable =
            |foreign_key: &DetachedForeignKey| foreign_key.is_enforced && !foreign_key.operators.is_empty();
        for (key, foreign_key) in keys.iter().enumerate().filter(|(_, foreign_key)| is_searchable(foreign_key)) {
            let columns: Vec<String> =
                (removal.columns)(foreign_key.root).iter().map(|column| format!("c.{column}")).collect();
            let sql = delete_statement(foreign_key, &columns.join(", "));
            let each = |row: CopyRow<'_>| {
                let DetachedForeignKey { columns, parent, parent_columns, .. } = foreign_key;
                (removal.on_orphan)(Orphan { table: foreign_key.root, row, key, columns, parent, parent_columns });
            };
            removed += copy_out(session, copy_state, &sql, each).await?;
        }
        if removed == 0 {
            return Ok(());
        }
    }
}

/// Returns the DELETE statement. In a table that refers to itself, chains are followed by one recursive query: a loop
/// would need as many passes as the longest chain has rows.
fn delete_statement(foreign_key: &DetachedForeignKey, columns: &str) -> String {
    let DetachedForeignKey { rows, parent_columns, operators, .. } = foreign_key;
    let condition = orphan_condition(foreign_key);
    if foreign_key.table != foreign_key.parent {
        return format!("DELETE FROM {rows} c WHERE {condition} RETURNING {columns}");
    }
    let parents: Vec<String> = parent_columns.iter().map(|parent| format!("c.{parent}")).collect();
    let names: Vec<String> = (0..parents.len()).map(|at| format!("k{at}")).collect();
    let pairs = names.iter().zip(operators).zip(&foreign_key.columns);
    let equal: Vec<String> =
        pairs.map(|((name, operator), column)| format!("g.{name} {operator} c.{column}")).collect();
    let (parents, names, equal) = (parents.join(", "), names.join(", "), equal.join(" AND "));
    // Every row refers to at most one other row, so no row occurs twice.
    format!(
        "WITH RECURSIVE gone (t, r, {names}) AS (SELECT c.tableoid, c.ctid, {parents} FROM {rows} c WHERE {condition} \
         UNION ALL SELECT c.tableoid, c.ctid, {parents} FROM {rows} c JOIN gone g ON {equal}) \
         DELETE FROM {rows} c USING gone g WHERE c.tableoid = g.t AND c.ctid = g.r RETURNING {columns}"
    )
}
