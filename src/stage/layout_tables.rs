//! The choice among the layouts that fit a directory, by the history tables that the database has.

use crate::config::{DatabaseUrlSource, WaitPolicy};
use crate::database::{self, Database, DatabaseError, HistoryName};
use crate::revision::other_tools::{ForeignHistory, LayoutByTable};

/// Connects once, without waiting, and returns the layouts that fit the directory and whose history tables the database
/// has. Returns none if the database cannot be asked.
pub(crate) async fn layouts_by_table(
    source: &DatabaseUrlSource,
    history: &HistoryName,
    policy: &WaitPolicy,
) -> Vec<LayoutByTable> {
    let Some(target) = source.resolve().ok().filter(|_| !history.other_tools.is_empty()) else {
        return Vec::new();
    };
    let ask = async {
        // A table of ours decides as well.
        let (mut database, _) = database::open(&target, history, policy.attempt).await?;
        find_layouts(&mut database, history).await
    };
    tokio::time::timeout(policy.attempt, ask).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Returns the layouts whose history tables a database has, if it has none of the configured name and the directory fits
/// several layouts.
pub(super) async fn find_layouts(
    database: &mut Database,
    history: &HistoryName,
) -> Result<Vec<LayoutByTable>, DatabaseError> {
    if history.other_tools.is_empty() || database.has_history() {
        return Ok(Vec::new());
    }
    let (_, schema) = database.history_place();
    let found = database.foreign_histories().await?.into_iter();
    let found = found.filter(|found| schema.as_deref().is_none_or(|schema| found.is_in_schema(schema)));
    let layout = |found: ForeignHistory| {
        let layout = history.other_tools.iter().find(|layout| found.tool.layout == Some(layout))?;
        Some(LayoutByTable { layout, table: found.table })
    };
    Ok(found.filter_map(layout).collect())
}
