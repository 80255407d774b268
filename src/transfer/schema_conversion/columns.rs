//! The CREATE TABLE statement: columns, keys and checks.

use super::comment::comment;
use super::defaults::{DefaultTranslation, default};
use super::expression::parse;
use super::keys::{Constraint, TableKeys};
use super::names::{UsedNames, list, quoted};
use super::translate::{ColumnInfo, logical, translate};
use super::translation::{ExpressionClass, Translation};
use super::types::sql;
use super::{ExaminedTable, RowQueries, syntax};
use crate::transfer::cast::WritableType;
use crate::transfer::source::{ColumnVisibility, SourceColumn};

/// The state of writing the statement of one table.
struct TableWriter<'a> {
    table: &'a ExaminedTable,
    syntax: Option<&'a syntax::TableSyntax>,
    column_infos: Vec<ColumnInfo<'a>>,
    keys: &'a TableKeys,
    warnings: &'a mut Vec<String>,
}

/// Returns the CREATE TABLE statement. Everything that is not carried over is a comment in the text and a warning.
pub(super) fn table<Q: RowQueries>(
    table: &ExaminedTable,
    syntax: Option<&syntax::TableSyntax>,
    keys: &TableKeys,
    used_names: &mut UsedNames,
    warnings: &mut Vec<String>,
    rows: &Q,
) -> Result<String, Q::Error> {
    let name = &table.source.name;
    let mut writer = TableWriter { table, syntax, column_infos: table.column_infos(syntax), keys, warnings };
    let mut parts = Vec::new();
    for at in 0..table.source.columns.len() {
        parts.push(writer.column(at, used_names, rows)?);
    }
    let (checks, mut omitted) = writer.checks(rows)?;
    for text in syntax.iter().flat_map(|syntax| &syntax.conflicts) {
        omitted += &comment(&format!("{}.", conflict_note(text)));
        writer.warnings.push(format!("{name}: {}", conflict_note(text)));
    }
    let primary = writer.keys.primary.as_ref().filter(|key| !is_inline(key));
    parts.extend(primary.map(|key| writer.constraint(key, "PRIMARY KEY")));
    let unique = writer.keys.unique.iter().filter(|key| !is_inline(key));
    parts.extend(unique.map(|key| writer.constraint(key, "UNIQUE")));
    parts.extend(checks);
    // A comma follows each part but the last one, and comments are on the lines above a part.
    let lines: Vec<String> = parts.iter().map(|(comments, line)| format!("{comments}    {line}")).collect();
    Ok(format!("CREATE TABLE {} (\n{}\n);\n{omitted}", quoted(name), lines.join(",\n")))
}

/// Returns the comment on an ON CONFLICT clause, which PostgreSQL does not have.
fn conflict_note(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{text}: its ON CONFLICT is not carried, what breaks the constraint is an error in PostgreSQL")
}

/// Comment lines, and the line of SQL below them.
type CommentedLine = (String, String);

/// Reports whether a key is written in the line of its column.
fn is_inline(key: &Constraint) -> bool {
    key.columns.len() == 1 && key.name.is_none()
}

impl TableWriter<'_> {
    /// Records a warning about a column, and returns its comment lines.
    fn comment(&mut self, at: usize, text: &str) -> String {
        let column_name = format!("{}.{}", self.table.source.name, self.column_infos[at].name);
        self.warnings.push(format!("{column_name}: {text}"));
        let lines = comment(&format!("{text}."));
        lines.lines().map(|line| format!("    {line}\n")).collect()
    }

    /// Returns comments on properties of a column that PostgreSQL does not have: the collation, and ON CONFLICT.
    fn remaining_comments(&self, at: usize) -> Vec<String> {
        let name = self.column_infos[at].name;
        let mut columns = self.syntax.iter().flat_map(|syntax| &syntax.columns);
        let Some(column_syntax) = columns.find(|column_syntax| column_syntax.name.eq_ignore_ascii_case(name)) else {
            return Vec::new();
        };
        let is_text = matches!(self.column_infos[at].ty, WritableType::Text | WritableType::Varchar(_));
        let is_other_collation = |name: &&String| is_text && !name.eq_ignore_ascii_case("BINARY");
        let collation = column_syntax.collation.as_ref().filter(is_other_collation).map(|name| {
            let difference = match name.eq_ignore_ascii_case("NOCASE") {
                true => "tells upper and lower case apart where the column is compared",
                false => "compares the column by its own collation",
            };
            format!("COLLATE {name} is not carried: PostgreSQL {difference}")
        });
        collation.into_iter().chain(column_syntax.conflicts.iter().map(|text| conflict_note(text))).collect()
    }

    /// Returns the definition of a column.
    fn column<Q: RowQueries>(
        &mut self,
        at: usize,
        used_names: &mut UsedNames,
        rows: &Q,
    ) -> Result<CommentedLine, Q::Error> {
        let table = self.table;
        let (column, chosen) = (&table.source.columns[at], &table.columns[at]);
        let mut comments = String::new();
        for text in chosen.note.iter().cloned().chain(self.remaining_comments(at)) {
            comments += &self.comment(at, &text);
        }
        let mut line = format!("{} {}", quoted(&column.name), sql(chosen.ty()));
        let is_inline_key = |key: &Constraint| is_inline(key) && key.columns == [at];
        let is_primary = self.keys.primary.as_ref().is_some_and(|key| key.columns.contains(&at));
        if table.rowid() == Some(at) {
            line += " GENERATED BY DEFAULT AS IDENTITY";
            line += &self.sequence(&column.name, used_names);
        } else if column.hidden != ColumnVisibility::No {
            match self.generated(at, rows)? {
                Ok(expression) => line += &format!(" GENERATED ALWAYS AS ({expression}) STORED"),
                Err(reason) => comments += &self.comment(at, &reason),
            }
        }
        match (column.not_null && !is_primary, chosen.nulls) {
            (true, false) => line += " NOT NULL",
            (true, true) => comments += &self.comment(at, "NOT NULL is not carried: some rows have NULL"),
            _ => {}
        }
        match self.default_of(at) {
            DefaultTranslation::None => {}
            DefaultTranslation::Translated(sql) => line += &format!(" DEFAULT {sql}"),
            DefaultTranslation::NotTranslated => {
                let text = column.default.as_deref().unwrap_or_default();
                comments += &self.comment(at, &format!("DEFAULT {text} is not carried"));
            }
        }
        if self.keys.primary.as_ref().is_some_and(is_inline_key) {
            line += " PRIMARY KEY";
        }
        if self.keys.unique.iter().any(is_inline_key) {
            line += " UNIQUE";
        }
        Ok((comments, line))
    }

    /// Translates the default of a column. The alias of the rowid has an identity, and its default has no effect.
    fn default_of(&self, at: usize) -> DefaultTranslation {
        let (column, chosen) = (&self.table.source.columns[at], &self.table.columns[at]);
        let has_default = column.hidden == ColumnVisibility::No && self.table.rowid() != Some(at);
        match column.default.as_ref().filter(|_| has_default) {
            Some(text) => default(text, &chosen.cast),
            None => DefaultTranslation::None,
        }
    }

    /// Returns the clause that names the sequence of an identity column, if the usual name is taken.
    fn sequence(&self, column: &str, used_names: &mut UsedNames) -> String {
        let default_name = format!("{}_{column}_seq", self.table.source.name);
        let name = used_names.unused(&default_name);
        if name == default_name { String::new() } else { format!(" (SEQUENCE NAME {})", quoted(&name)) }
    }

    /// Returns the expression of a generated column, or a comment when the column becomes an ordinary one.
    fn generated<Q: RowQueries>(&self, at: usize, rows: &Q) -> Result<Result<String, String>, Q::Error> {
        let column = &self.table.source.columns[at];
        let text = self.syntax.and_then(|syntax| {
            let column_syntax = syntax.columns.iter().find(|it| it.name.eq_ignore_ascii_case(&column.name))?;
            column_syntax.expression.clone()
        });
        let shown = text.clone().unwrap_or_default();
        let ordinary_column_note =
            || format!("generated in SQLite as ({shown}): an ordinary column here, its values are copied");
        // A generated column cannot refer to another generated column (PostgreSQL manual, 5.3).
        let is_plain = |(column, _): &(&SourceColumn, &ColumnInfo<'_>)| column.hidden == ColumnVisibility::No;
        let ordinary_columns = self.table.source.columns.iter().zip(&self.column_infos).filter(is_plain);
        let column_infos: Vec<ColumnInfo<'_>> = ordinary_columns.map(|(_, info)| info.clone()).collect();
        let Some(translation) = text.and_then(|text| translate(&parse(&text)?, &column_infos)) else {
            return Ok(Err(ordinary_column_note()));
        };
        let fits = match self.column_infos[at].ty {
            WritableType::Boolean => translation.class == ExpressionClass::Logical,
            WritableType::SmallInt | WritableType::BigInt => translation.class == ExpressionClass::Integer,
            WritableType::Text | WritableType::Varchar(_) => translation.class == ExpressionClass::Text,
            _ => false,
        };
        let has_cast_rules = self.column_infos[at].has_cast_rules;
        if !fits || has_cast_rules || self.find_violation(&translation, None, rows)?.is_some() {
            return Ok(Err(ordinary_column_note()));
        }
        Ok(Ok(translation.sql))
    }

    /// Returns a row for which a condition does not hold, or whose numbers overflow the 64 bits of PostgreSQL's
    /// integers.
    fn find_violation<Q: RowQueries>(
        &self,
        translation: &Translation,
        condition: Option<&str>,
        rows: &Q,
    ) -> Result<Option<String>, Q::Error> {
        let guards = translation.guards.iter().map(|guard| format!("typeof({guard}) = 'real'"));
        let conditions: Vec<String> =
            condition.map(|text| format!("NOT ({text}\n)")).into_iter().chain(guards).collect();
        if conditions.is_empty() { Ok(None) } else { rows.first_where(&self.table.source, &conditions.join(" OR ")) }
    }

    /// Returns the definition of a key with several columns or a name.
    fn constraint(&self, key: &Constraint, kind: &str) -> CommentedLine {
        let name = key.name.as_ref().map_or(String::new(), |name| format!("CONSTRAINT {} ", quoted(name)));
        let columns = list(key.columns.iter().map(|&at| self.column_infos[at].name));
        (String::new(), format!("{name}{kind} ({columns})"))
    }

    /// Returns the checks that have the same meaning in both databases, and comments on the others.
    fn checks<Q: RowQueries>(&mut self, rows: &Q) -> Result<(Vec<CommentedLine>, String), Q::Error> {
        let name = &self.table.source.name;
        let mut omitted = String::new();
        let Some(syntax) = self.syntax else {
            let note =
                format!("{name}: its definition is not understood: checks, collations and ON CONFLICT are not carried");
            omitted += &comment(&note);
            self.warnings.push(note);
            return Ok((Vec::new(), omitted));
        };
        let mut lines = Vec::new();
        let mut names = UsedNames::default();
        let keys = self.keys.primary.iter().chain(&self.keys.unique);
        keys.filter_map(|key| key.name.as_ref()).for_each(|name| names.take(name));
        for check in &syntax.checks {
            let reason = match parse(&check.text).and_then(|it| logical(&it, &self.column_infos)) {
                None => "it is not certain to mean the same in PostgreSQL".to_owned(),
                Some(translation) => match self.find_violation(&translation, Some(&check.text), rows) {
                    Ok(None) => {
                        let name = check.name.as_ref().map(|name| names.unused(name));
                        let name = name.map_or(String::new(), |name| format!("CONSTRAINT {} ", quoted(&name)));
                        lines.push((String::new(), format!("{name}CHECK ({})", translation.sql)));
                        continue;
                    }
                    Ok(Some(row)) => format!("{row} breaks it"),
                    Err(error) => Q::refusal(error)?,
                },
            };
            let single_line = check.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let note = format!("Not carried of {name}: CHECK ({single_line}): {reason}");
            omitted += &comment(&format!("{note}."));
            self.warnings.push(format!("{name}: CHECK ({single_line}) is not carried: {reason}"));
        }
        Ok((lines, omitted))
    }
}
