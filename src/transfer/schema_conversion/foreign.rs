//! Foreign keys, which are added after all tables were created: tables may refer to each other in a circle.

use super::names::{UsedNames, list, quoted};
use super::textual::{AS_TEXT, texts_equal_query};
use super::{ChosenType, ExaminedTable, RowQueries, syntax};
use crate::sql::identifier;
use crate::transfer::cast::WritableType;
use crate::transfer::flag;
use crate::transfer::source::{ReferentialAction, SourceForeignKey};

/// The ALTER TABLE statement; or as an error, the text of a key that is left out and the reason.
pub(super) type ForeignKeyText = Result<String, (String, String)>;

/// Returns the statements for the foreign keys of a table. `unique_keys` are, for each table, the lists of columns that
/// are unique in PostgreSQL.
pub(super) fn keys<Q: RowQueries>(
    at: usize,
    examined: &[ExaminedTable],
    unique_keys: &[Vec<Vec<usize>>],
    syntax: Option<&syntax::TableSyntax>,
    rows: &Q,
) -> Result<Vec<ForeignKeyText>, Q::Error> {
    let table = &examined[at];
    let mut statements = Vec::new();
    let mut names = UsedNames::default();
    for (name, _) in syntax.iter().flat_map(|syntax| &syntax.names) {
        names.take(name);
    }
    for check in syntax.iter().flat_map(|syntax| &syntax.checks) {
        check.name.iter().for_each(|name| names.take(name));
    }
    let parsed = syntax.map_or(&[][..], |syntax| &syntax.foreign_keys);
    // The keys of the parsed text are matched by position, which is impossible when there are more or fewer keys.
    let parsed = if parsed.len() == table.source.foreign_keys.len() { parsed } else { &[] };
    for (number, key) in table.source.foreign_keys.iter().enumerate() {
        let action = table.definition.actions.get(number);
        let key_syntax = parsed.get(number);
        let name = key_syntax.and_then(|key_syntax| key_syntax.name.as_ref()).map(|name| names.unused(name));
        let is_deferred = key_syntax.is_some_and(|key_syntax| key_syntax.deferred);
        let text = text(key, action, if is_deferred { " DEFERRABLE INITIALLY DEFERRED" } else { "" });
        match omission_reason(table, key, examined, unique_keys, rows)? {
            Some(reason) => statements.push(Err((text, reason))),
            None => {
                let name = name.map_or(String::new(), |name| format!("CONSTRAINT {} ", quoted(&name)));
                statements.push(Ok(format!("ALTER TABLE {} ADD {name}{text};\n", quoted(&table.source.name))));
            }
        }
    }
    Ok(statements)
}

/// Returns the definition of a foreign key without its name.
fn text(key: &SourceForeignKey, action: Option<&ReferentialAction>, deferred: &str) -> String {
    let names = |names: &[String]| list(names.iter().map(String::as_str));
    let mut text = format!("FOREIGN KEY ({}) REFERENCES {}", names(&key.columns), quoted(&key.parent));
    if !key.parent_columns.is_empty() {
        text += &format!(" ({})", names(&key.parent_columns));
    }
    if let Some(ReferentialAction { on_update, on_delete }) = action {
        let actions = [("DELETE", on_delete), ("UPDATE", on_update)];
        for (event, effect) in actions.into_iter().filter(|(_, effect)| *effect != "NO ACTION") {
            text += &format!(" ON {event} {effect}");
        }
    }
    text + deferred
}

/// Returns the reason why a key cannot be carried over, or `None`.
fn omission_reason<Q: RowQueries>(
    table: &ExaminedTable,
    key: &SourceForeignKey,
    examined: &[ExaminedTable],
    unique_keys: &[Vec<Vec<usize>>],
    rows: &Q,
) -> Result<Option<String>, Q::Error> {
    let Some(parent_index) = examined.iter().position(|parent| parent.source.name == key.parent) else {
        return Ok(Some(format!("there is no table {} here", key.parent)));
    };
    let parent = &examined[parent_index];
    let positions = |owner: &ExaminedTable, names: &[String]| -> Vec<usize> {
        let position =
            |name: &String| owner.source.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        names.iter().filter_map(position).collect()
    };
    let (child_columns, parent_columns) = (positions(table, &key.columns), positions(parent, &key.parent_columns));
    let mut sorted = parent_columns.clone();
    sorted.sort_unstable();
    let is_unique = unique_keys[parent_index].iter().any(|columns| {
        let mut columns = columns.clone();
        columns.sort_unstable();
        columns == sorted
    });
    if parent_columns.is_empty() || child_columns.len() != parent_columns.len() || !is_unique {
        let parent = &key.parent;
        return Ok(Some(format!("{parent} has no such primary key or unique constraint")));
    }
    for (&one, &other) in child_columns.iter().zip(&parent_columns) {
        let (child, parent) = (&table.columns[one], &parent.columns[other]);
        let has_same_rules = child.rules == parent.rules || (child.is_textual() && parent.is_textual());
        if !comparable(child.ty(), parent.ty()) || !has_same_rules {
            let name = &table.source.columns[one].name;
            let hint = cast_hint(&format!("{}.{name}", table.source.name), child, parent);
            return Ok(Some(format!("{name} is {}, its parent {}{hint}", child.ty(), parent.ty())));
        }
    }
    match rows.first_where(&table.source, &orphans(table, parent, &child_columns, &parent_columns)) {
        Ok(orphan) => Ok(orphan.map(|row| format!("{row} has no parent"))),
        Err(error) => Q::refusal(error).map(Some),
    }
}

/// Returns a note with the `--cast` option that makes the child column text like its parent, if that helps.
fn cast_hint(column_name: &str, child: &ChosenType, parent: &ChosenType) -> String {
    let is_number = matches!(child.ty(), WritableType::SmallInt | WritableType::BigInt);
    let is_text = !parent.rules.is_empty() && parent.is_textual();
    match is_number && child.rules.is_empty() && is_text {
        true => format!(" ({} makes it text, too)", flag("--cast", &format!("{column_name}={AS_TEXT}"))),
        false => String::new(),
    }
}

/// Reports whether PostgreSQL compares values of both types in a foreign key.
fn comparable(a: &WritableType, b: &WritableType) -> bool {
    let is_integer = |ty: &WritableType| matches!(ty, WritableType::SmallInt | WritableType::BigInt);
    let is_text = |ty: &WritableType| matches!(ty, WritableType::Text | WritableType::Varchar(_));
    a == b || (is_integer(a) && is_integer(b)) || (is_text(a) && is_text(b))
}

/// Returns the condition for rows whose parent is missing when texts are compared byte by byte, as PostgreSQL does. The
/// first comparison uses the collation of the parent, so that SQLite can use its index.
fn orphans(table: &ExaminedTable, parent: &ExaminedTable, child_columns: &[usize], parent_columns: &[usize]) -> String {
    let child = |at: &usize| format!("child.{}", identifier(&table.source.columns[*at].name));
    let column = |at: &usize| format!("parent.{}", identifier(&parent.source.columns[*at].name));
    let not_null: Vec<String> = child_columns.iter().map(|at| format!("{} IS NOT NULL", child(at))).collect();
    let equal = child_columns.iter().zip(parent_columns).map(|(one, other)| {
        let (child_value, parent_value) = (child(one), column(other));
        let rules = [&table.columns[*one].rules, &parent.columns[*other].rules];
        if rules.into_iter().flatten().any(|rule| rule == AS_TEXT) {
            return texts_equal_query(&child_value, &parent_value, &parent.columns[*other].rules);
        }
        format!("{parent_value} = {child_value} AND {parent_value} = {child_value} COLLATE BINARY")
    });
    let equal: Vec<String> = equal.collect();
    format!(
        "{} AND NOT EXISTS (SELECT 1 FROM main.{} AS parent WHERE {})",
        not_null.join(" AND "),
        identifier(&parent.source.name),
        equal.join(" AND ")
    )
}
