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

/// Returns the statements for the foreign keys of a table. `kept` are, for each table, the lists of columns that are
/// unique in PostgreSQL.
pub(super) fn keys<Q: RowQueries>(
    at: usize,
    examined: &[ExaminedTable],
    kept: &[Vec<Vec<usize>>],
    syntax: Option<&syntax::TableSyntax>,
    rows: &Q,
) -> Result<Vec<ForeignKeyText>, Q::Error> {
    let table = &examined[at];
    let mut written = Vec::new();
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
        let written_key = parsed.get(number);
        let name = written_key.and_then(|written_key| written_key.name.as_ref()).map(|name| names.unused(name));
        let is_deferred = written_key.is_some_and(|written_key| written_key.deferred);
        let text = text(key, action, if is_deferred { " DEFERRABLE INITIALLY DEFERRED" } else { "" });
        match against(table, key, examined, kept, rows)? {
            Some(reason) => written.push(Err((text, reason))),
            None => {
                let name = name.map_or(String::new(), |name| format!("CONSTRAINT {} ", quoted(&name)));
                written.push(Ok(format!("ALTER TABLE {} ADD {name}{text};\n", quoted(&table.source.name))));
            }
        }
    }
    Ok(written)
}

/// Returns the definition of a foreign key without its name.
fn text(key: &SourceForeignKey, action: Option<&ReferentialAction>, deferred: &str) -> String {
    let names = |names: &[String]| list(names.iter().map(String::as_str));
    let mut text = format!("FOREIGN KEY ({}) REFERENCES {}", names(&key.columns), quoted(&key.parent));
    if !key.parent_columns.is_empty() {
        text += &format!(" ({})", names(&key.parent_columns));
    }
    if let Some(ReferentialAction { on_update, on_delete }) = action {
        let acts = [("DELETE", on_delete), ("UPDATE", on_update)];
        for (when, what) in acts.into_iter().filter(|(_, what)| *what != "NO ACTION") {
            text += &format!(" ON {when} {what}");
        }
    }
    text + deferred
}

/// Returns the reason why a key cannot be carried over, or `None`.
fn against<Q: RowQueries>(
    table: &ExaminedTable,
    key: &SourceForeignKey,
    examined: &[ExaminedTable],
    kept: &[Vec<Vec<usize>>],
    rows: &Q,
) -> Result<Option<String>, Q::Error> {
    let Some(to) = examined.iter().position(|parent| parent.source.name == key.parent) else {
        return Ok(Some(format!("there is no table {} here", key.parent)));
    };
    let parent = &examined[to];
    let places = |of: &ExaminedTable, names: &[String]| -> Vec<usize> {
        let place = |name: &String| of.source.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        names.iter().filter_map(place).collect()
    };
    let (from, onto) = (places(table, &key.columns), places(parent, &key.parent_columns));
    let mut sorted = onto.clone();
    sorted.sort_unstable();
    let is_kept = kept[to].iter().any(|columns| {
        let mut columns = columns.clone();
        columns.sort_unstable();
        columns == sorted
    });
    if onto.is_empty() || from.len() != onto.len() || !is_kept {
        let parent = &key.parent;
        return Ok(Some(format!("{parent} has no such primary key or unique constraint")));
    }
    for (&one, &other) in from.iter().zip(&onto) {
        let (child, parent) = (&table.columns[one], &parent.columns[other]);
        let alike = child.rules == parent.rules || (child.is_textual() && parent.is_textual());
        if !comparable(child.ty(), parent.ty()) || !alike {
            let name = &table.source.columns[one].name;
            let too = too(&format!("{}.{name}", table.source.name), child, parent);
            return Ok(Some(format!("{name} is {}, its parent {}{too}", child.ty(), parent.ty())));
        }
    }
    match rows.first_where(&table.source, &orphans(table, parent, &from, &onto)) {
        Ok(orphan) => Ok(orphan.map(|row| format!("{row} has no parent"))),
        Err(error) => Q::refusal(error).map(Some),
    }
}

/// Returns a note with the `--cast` option that makes the child column text like its parent, if that helps.
fn too(place: &str, child: &ChosenType, parent: &ChosenType) -> String {
    let is_number = matches!(child.ty(), WritableType::SmallInt | WritableType::BigInt);
    let is_text = !parent.rules.is_empty() && parent.is_textual();
    match is_number && child.rules.is_empty() && is_text {
        true => format!(" ({} makes it text, too)", flag("--cast", &format!("{place}={AS_TEXT}"))),
        false => String::new(),
    }
}

/// Reports whether PostgreSQL compares values of both types in a foreign key.
fn comparable(a: &WritableType, b: &WritableType) -> bool {
    let is_whole = |ty: &WritableType| matches!(ty, WritableType::SmallInt | WritableType::BigInt);
    let is_text = |ty: &WritableType| matches!(ty, WritableType::Text | WritableType::Varchar(_));
    a == b || (is_whole(a) && is_whole(b)) || (is_text(a) && is_text(b))
}

/// Returns the condition for rows whose parent is missing when texts are compared byte by byte, as PostgreSQL does. The
/// first comparison uses the collation of the parent, so that SQLite can use its index.
fn orphans(table: &ExaminedTable, parent: &ExaminedTable, from: &[usize], onto: &[usize]) -> String {
    let child = |at: &usize| format!("child.{}", identifier(&table.source.columns[*at].name));
    let column = |at: &usize| format!("parent.{}", identifier(&parent.source.columns[*at].name));
    let present: Vec<String> = from.iter().map(|at| format!("{} IS NOT NULL", child(at))).collect();
    let equal = from.iter().zip(onto).map(|(one, other)| {
        let (ours, theirs) = (child(one), column(other));
        let rules = [&table.columns[*one].rules, &parent.columns[*other].rules];
        if rules.into_iter().flatten().any(|rule| rule == AS_TEXT) {
            return texts_equal_query(&ours, &theirs, &parent.columns[*other].rules);
        }
        format!("{theirs} = {ours} AND {theirs} = {ours} COLLATE BINARY")
    });
    let equal: Vec<String> = equal.collect();
    format!(
        "{} AND NOT EXISTS (SELECT 1 FROM main.{} AS parent WHERE {})",
        present.join(" AND "),
        identifier(&parent.source.name),
        equal.join(" AND ")
    )
}
