//! Conditions over all rows of the history, by which a printed script finds out whether it may run.

use super::state;
use crate::dialect::Dialect;
use crate::revision::{Applied, RecordedState, Version};
use crate::sql::{is_one_of, literal, operator};

/// Returns a condition on the history: the number of revisions, the newest among them, and no unfinished ones except
/// the known.
pub(super) fn has_exactly(dialect: Dialect, applied: &[Applied], from: &[Version]) -> String {
    let equals = operator(dialect, "=");
    let mut conditions = vec![format!("{}(*) {equals} {}", count_of(dialect), applied.len())];
    let mut count = |rows: String, wanted: usize| conditions.push(counted(dialect, &rows, wanted));
    let unfinished = applied.iter().filter_map(|row| match row.state {
        RecordedState::Applied | RecordedState::Failed => None,
        RecordedState::Partial { done } => Some((&row.id, [state::PARTIAL, state::EARLIER_PARTIAL], done)),
        RecordedState::Undoing { done } => Some((&row.id, [state::UNDOING, state::EARLIER_UNDOING], done)),
    });
    let mut left = 0;
    for (id, states, done) in unfinished {
        left += 1;
        let (id, states) = (literal(id.as_str()), states.map(literal));
        let state = is_one_of(dialect, "state", &states);
        count(format!("revision {equals} {id} AND {state} AND statements_done {equals} {done}"), 1);
    }
    if left > 0 {
        count(format!("state {equals} '{}'", state::APPLIED), applied.len() - left);
    }
    if !from.is_empty() {
        // The numbers are as in the rows: a file name may have other zeros.
        let newest = applied.iter().filter(|row| from.contains(&row.id));
        let ids: Vec<String> = newest.map(|row| literal(row.id.as_str())).collect();
        let newest = is_one_of(dialect, "revision", &ids);
        count(format!("state {equals} '{}' AND {newest}", state::APPLIED), ids.len());
    }
    conditions.join("\n    AND ")
}

/// Returns a condition that exactly `wanted` rows fulfil the condition `rows`.
fn counted(dialect: Dialect, rows: &str, wanted: usize) -> String {
    format!("{}(CASE WHEN {rows} THEN 1 END) {} {wanted}", count_of(dialect), operator(dialect, "="))
}

fn count_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "pg_catalog.count",
        Dialect::Sqlite => "count",
    }
}

/// Returns a condition that each of these versions has a row that spells it so.
pub(super) fn has_each(dialect: Dialect, versions: &[&Version]) -> String {
    let versions: Vec<String> = versions.iter().map(|version| literal(version.as_str())).collect();
    counted(dialect, &is_one_of(dialect, "revision", &versions), versions.len())
}
