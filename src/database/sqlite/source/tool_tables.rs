//! Recognises the tables in which migration tools, among them Lockkeeper, keep their records.

use crate::revision::other_tools;

/// The tables of tools besides the histories that [`other_tools`] knows: locks, and the name of the environment.
const OTHER_TABLES: [(&str, &str); 3] =
    [("databasechangeloglock", "Liquibase"), ("knex_migrations_lock", "Knex"), ("ar_internal_metadata", "Rails")];

/// Returns the tool that keeps its records in a table. Lockkeeper's own tables are recognised by their columns, because
/// their names depend on a setting.
pub(crate) fn owning_tool<'a>(table: &str, columns: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    const HISTORY_COLUMNS: [&str; 4] = ["revision", "checksum", "statements_done", "lockkeeper_version"];
    let table = table.to_lowercase();
    let columns: Vec<String> = columns.map(str::to_lowercase).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    const BASELINE_COLUMNS: [&str; 3] = ["lockkeeper_child", "lockkeeper_parent", "lockkeeper_rows"];
    let has_all = |names: &[&str]| names.iter().all(|column| columns.contains(column));
    const JOURNAL_COLUMNS: [&str; 4] = ["revision", "statements_done", "statement_begun", "fingerprint"];
    if has_all(&HISTORY_COLUMNS) || has_all(&BASELINE_COLUMNS) || has_all(&JOURNAL_COLUMNS) {
        return Some("Lockkeeper");
    }
    let tool_of_other_table = OTHER_TABLES.iter().find(|(name, _)| *name == table).map(|(_, tool)| *tool);
    other_tools::recognise(&table, &columns).map(|tool| tool.name).or(tool_of_other_table)
}
