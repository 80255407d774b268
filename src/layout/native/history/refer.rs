//! Gives history tables of earlier releases their present form.
//!
//! Earlier releases recorded the progress of a script without a transaction in the row of the history. A table is made
//! to refer to the journal when a release that knows the journal first runs such a script.

use super::state::{self, CONSTRAINT, constraint};
use super::write::HistoryStatements;
use crate::dialect::Dialect;
use crate::revision::history::HistoryTable;
use crate::sql::{identifier, is_one_of, operator};

/// The columns that a table of every release has.
const COLUMNS: [&str; 11] = [
    "revision",
    "description",
    "checksum",
    "applied_at",
    "duration_ms",
    "state",
    "statements_done",
    "statements_total",
    "applied_by",
    "lockkeeper_version",
    "backup",
];

/// Returns the statements that give an existing table the columns of later releases. `name` is the name of the table
/// without quotes and schema.
///
/// On SQLite the table refers to the journal at once, since SQLite cannot change a CHECK, and the earliest one allows
/// only two states.
pub(super) fn extend(table: &HistoryTable, name: &str) -> String {
    match table.dialect {
        Dialect::Postgres => format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS down_checksum pg_catalog.text, DROP CONSTRAINT IF EXISTS {};\n",
            table.table,
            identifier(&earlier_constraint(name))
        ),
        Dialect::Sqlite => table.journal().create() + &refer_to_journal(table, name, table.format.later_columns()),
    }
}

/// Returns the statements that make an existing table refer to the journal, and that move the progress of unfinished
/// revisions to it.
pub(super) fn refer_to_journal(table: &HistoryTable, name: &str, lacks: &[&'static str]) -> String {
    match table.dialect {
        Dialect::Postgres => alter(table, name),
        Dialect::Sqlite => rebuild(table, lacks),
    }
}

/// Changes the table in place. A release before this one adds `catalog_before` to a table that lacks it.
fn alter(table: &HistoryTable, name: &str) -> String {
    let history = &table.table;
    let rows = entries(Dialect::Postgres, history);
    let is_earlier = is_earlier(Dialect::Postgres);
    format!(
        "ALTER TABLE {history} DROP CONSTRAINT IF EXISTS {earlier}, DROP CONSTRAINT IF EXISTS {CONSTRAINT};\n{moved}UPDATE {history} AS h SET state = {state}, statements_done = {done} WHERE {is_earlier};\nALTER TABLE {history} DROP COLUMN IF EXISTS catalog_before, ADD CONSTRAINT {constraint};\n",
        earlier = identifier(&earlier_constraint(name)),
        moved = table.journal().insert_from(&rows),
        state = present_state(Dialect::Postgres),
        done = statements_done(Dialect::Postgres),
        constraint = constraint(Dialect::Postgres),
    )
}

/// Makes the table anew, since SQLite cannot change a CHECK. The new table is not renamed, so that SQLite rewrites no
/// references to it.
fn rebuild(table: &HistoryTable, lacks: &[&'static str]) -> String {
    const COPY: &str = "temp.lockkeeper_rows";
    let history = &table.table;
    let later = table.format.later_columns().iter().copied().filter(|column| !lacks.contains(column));
    let columns: Vec<&str> = COLUMNS.into_iter().chain(later).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|&column| match column {
            "state" => present_state(Dialect::Sqlite),
            "statements_done" => statements_done(Dialect::Sqlite),
            column => format!("h.{column}"),
        })
        .collect();
    let (columns, values) = (columns.join(", "), values.join(", "));
    format!(
        "CREATE TEMP TABLE lockkeeper_rows AS SELECT {columns} FROM {history};\nDROP TABLE {history};\n{create}INSERT INTO {history} ({columns}) SELECT {values} FROM {COPY} AS h;\n{moved}DROP TABLE {COPY};\n",
        create = HistoryStatements(table).create(),
        moved = table.journal().insert_from(&entries(Dialect::Sqlite, COPY)),
    )
}

/// Returns the name that PostgreSQL has given to the constraint of an earlier release.
fn earlier_constraint(name: &str) -> String {
    format!("{name}_state_check")
}

/// Returns the query for the rows of the journal that hold the progress which an earlier release has recorded in the
/// history.
fn entries(dialect: Dialect, history: &str) -> String {
    let (equals, less) = (operator(dialect, "="), operator(dialect, "<"));
    // The column exists only in some tables.
    let more = match dialect {
        Dialect::Postgres => ", pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(h), 'catalog_before')",
        Dialect::Sqlite => "",
    };
    format!(
        "SELECT h.revision, CASE WHEN h.state {equals} '{undoing}' THEN 'down' ELSE 'up' END, {done}, h.statements_total, h.statements_done {less} 0, h.checksum{more} FROM {history} AS h WHERE {is_earlier}",
        undoing = state::EARLIER_UNDOING,
        done = statements_done(dialect),
        is_earlier = is_earlier(dialect),
    )
}

/// Returns a condition on a row `h` whose progress an earlier release has recorded.
fn is_earlier(dialect: Dialect) -> String {
    let states = [state::EARLIER_PARTIAL, state::EARLIER_UNDOING].map(|state| format!("'{state}'"));
    is_one_of(dialect, "h.state", &states)
}

/// Returns an expression for the present value of the state of a row `h`.
fn present_state(dialect: Dialect) -> String {
    let equals = operator(dialect, "=");
    let when = |earlier: &str, present: &str| format!("WHEN h.state {equals} '{earlier}' THEN '{present}'");
    format!(
        "CASE {} {} ELSE h.state END",
        when(state::EARLIER_PARTIAL, state::PARTIAL),
        when(state::EARLIER_UNDOING, state::UNDOING)
    )
}

/// Returns an expression for the number of statements of a row `h` that are done. An earlier release has written a
/// negative number while a statement ran: see `read`.
fn statements_done(dialect: Dialect) -> String {
    let (less, minus) = (operator(dialect, "<"), operator(dialect, "-"));
    format!(
        "CASE WHEN h.statements_done {less} 0 THEN (0 {minus} 1) {minus} h.statements_done ELSE h.statements_done END"
    )
}
