//! Removing rows that lead nowhere, before foreign keys are put back: while one is in place, removing a row could remove
//! or change others (ON DELETE) without a word.

use super::CopyState;
use super::copy::copy_out;
use super::detached::DetachedForeignKey;
use super::rows::CopyRow;
use super::violation::lost;
use crate::database::DatabaseError;
use crate::database::postgres::Postgres;

/// How rows are removed.
pub struct Removal<'a> {
    /// The columns that are handed over of the table with this number, quoted.
    pub columns: &'a dyn Fn(u32) -> Vec<String>,
    pub each: &'a mut dyn FnMut(Orphan<'_>),
}

/// A row that is removed.
pub struct Orphan<'a> {
    /// The number of its table; of the root, if it is in a partition.
    pub table: u32,
    pub row: CopyRow<'a>,
    /// Which foreign key it breaks, by its place among those of this transfer.
    pub key: usize,
    /// Its columns, quoted as all of these.
    pub columns: &'a [String],
    pub parent: &'a str,
    pub parent_columns: &'a [String],
}

/// Removes rows until all lead somewhere: those that led to one that was removed go, too.
pub(super) async fn remove(
    database: &mut Postgres,
    wire: &mut CopyState,
    keys: &[DetachedForeignKey],
    removal: &mut Removal<'_>,
) -> Result<(), DatabaseError> {
    loop {
        let mut removed = 0;
        // Rows that no condition can tell are refused when the key is put back.
        let telling = |foreign: &DetachedForeignKey| foreign.is_enforced && !foreign.operators.is_empty();
        for (key, foreign) in keys.iter().enumerate().filter(|(_, foreign)| telling(foreign)) {
            let columns: Vec<String> =
                (removal.columns)(foreign.root).iter().map(|column| format!("c.{column}")).collect();
            let sql = statement(foreign, &columns.join(", "));
            let each = |row: CopyRow<'_>| {
                let DetachedForeignKey { columns, parent, parent_columns, .. } = foreign;
                (removal.each)(Orphan { table: foreign.root, row, key, columns, parent, parent_columns });
            };
            removed += copy_out(database, wire, &sql, each).await?;
        }
        if removed == 0 {
            return Ok(());
        }
    }
}

/// A table that leads to itself is followed at once: row by row would be as many passes as the longest chain has rows.
fn statement(foreign: &DetachedForeignKey, columns: &str) -> String {
    let DetachedForeignKey { rows, parent_columns, operators, .. } = foreign;
    let lost = lost(foreign);
    if foreign.table != foreign.parent {
        return format!("DELETE FROM {rows} c WHERE {lost} RETURNING {columns}");
    }
    let parents: Vec<String> = parent_columns.iter().map(|parent| format!("c.{parent}")).collect();
    let names: Vec<String> = (0..parents.len()).map(|at| format!("k{at}")).collect();
    let pairs = names.iter().zip(operators).zip(&foreign.columns);
    let equal: Vec<String> =
        pairs.map(|((name, operator), column)| format!("g.{name} {operator} c.{column}")).collect();
    let (parents, names, equal) = (parents.join(", "), names.join(", "), equal.join(" AND "));
    // Every row leads to one other at most: none is met twice.
    format!(
        "WITH RECURSIVE gone (t, r, {names}) AS (SELECT c.tableoid, c.ctid, {parents} FROM {rows} c WHERE {lost} \
         UNION ALL SELECT c.tableoid, c.ctid, {parents} FROM {rows} c JOIN gone g ON {equal}) \
         DELETE FROM {rows} c USING gone g WHERE c.tableoid = g.t AND c.ctid = g.r RETURNING {columns}"
    )
}
