//! Conditions on a tool's history, by which a printed script finds out whether it may run.

use super::ToolTable;
use crate::dialect::Dialect;
use crate::revision::history::HistoryTable;
use crate::revision::{Applied, Coverage, RecordedState, Version};
use crate::sql::{is_one_of, literal, operator};

/// Returns a condition that exactly these revisions are applied. It is an expression over all rows of the table.
pub(super) fn has_exactly<T: ToolTable>(
    tool: &T,
    table: &HistoryTable,
    applied: &[Applied],
    from: &[Version],
) -> String {
    let whole: Vec<&Version> = applied.iter().filter(|row| is_row(row)).map(|row| &row.id).collect();
    let (expected, newest) = match tool.coverage() {
        Coverage::OneRevision | Coverage::Baseline | Coverage::FileMayBeGone => {
            (whole.len(), from.iter().filter(|version| whole.contains(version)).collect())
        }
        // The only row is that of the newest revision.
        Coverage::Earlier => {
            let newest: Vec<&Version> = whole.into_iter().max().into_iter().collect();
            (newest.len(), newest)
        }
    };
    let mut conditions = vec![format!("{} {} {expected}", count_of(tool, table, None), operator(table.dialect, "="))];
    if !newest.is_empty() {
        conditions.push(has_rows(tool, table, &newest));
    }
    over_all_rows(table.dialect, &conditions)
}

/// Returns whether a revision has a row of its own that says that it is applied.
fn is_row(row: &Applied) -> bool {
    row.state == RecordedState::Applied && row.coverage != Coverage::Baseline
}

/// Returns a condition that each of these versions has a row. It is an expression over all rows of the table.
pub(super) fn has_each<T: ToolTable>(tool: &T, table: &HistoryTable, versions: &[&Version]) -> String {
    let conditions = match tool.coverage() {
        Coverage::OneRevision | Coverage::Baseline | Coverage::FileMayBeGone => vec![has_rows(tool, table, versions)],
        Coverage::Earlier => Vec::new(),
    };
    over_all_rows(table.dialect, &conditions)
}

fn has_rows<T: ToolTable>(tool: &T, table: &HistoryTable, versions: &[&Version]) -> String {
    let ids: Vec<String> = versions.iter().map(|version| literal(version.as_str())).collect();
    let condition = is_one_of(table.dialect, "r.version", &ids);
    format!("{} {} {}", count_of(tool, table, Some(&condition)), operator(table.dialect, "="), versions.len())
}

/// Returns a query for the number of rows of applied revisions that fulfil a condition.
fn count_of<T: ToolTable>(tool: &T, table: &HistoryTable, condition: Option<&str>) -> String {
    let rows = tool.rows(table.dialect, &table.table);
    let condition = condition.map_or(String::new(), |condition| format!(" AND {condition}"));
    let (count, equals) = (count(table.dialect), operator(table.dialect, "="));
    format!("(SELECT {count} FROM ({rows}) AS r WHERE r.state {equals} 'applied'{condition})")
}

/// Returns a condition that has one value for all rows of a table.
fn over_all_rows(dialect: Dialect, conditions: &[String]) -> String {
    let any = format!("{} {} 0", count(dialect), operator(dialect, ">="));
    std::iter::once(&any).chain(conditions).map(String::as_str).collect::<Vec<_>>().join("\n    AND ")
}

fn count(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "pg_catalog.count(*)",
        Dialect::Sqlite => "count(*)",
    }
}
