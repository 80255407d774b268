//! Primary keys, unique constraints and indexes.

use std::collections::BTreeMap;

use super::expression::parse;
use super::names::{UsedNames, list, quoted};
use super::textual::{MergeRule, duplicates_query};
use super::translate::{ColumnInfo, logical, translate};
use super::translation::{ExpressionClass, Translation};
use super::{ExaminedTable, RowQueries, syntax};
use crate::transfer::cast::WritableType;
use crate::transfer::source::{IndexOrigin, IndexPart, IndexedValue, SourceIndex};

/// The maximum size of an index entry in bytes, below `BTMaxItemSize` (src/include/access/nbtree.h): a third of a page.
const MAX_ENTRY_BYTES: usize = 2600;
/// The maximum number of columns of an index: `INDEX_MAX_KEYS`.
const MAX_INDEX_COLUMNS: usize = 32;

/// A primary key or unique constraint: its columns, and its name, if PostgreSQL would choose another one.
#[derive(Debug)]
pub(super) struct Constraint {
    pub(crate) columns: Vec<usize>,
    pub(crate) name: Option<String>,
}

/// The keys and indexes of a table.
#[derive(Debug, Default)]
pub(super) struct TableKeys {
    /// The primary key.
    pub(crate) primary: Option<Constraint>,
    /// The unique constraints.
    pub(crate) unique: Vec<Constraint>,
    /// The CREATE INDEX statements, each with its line end.
    pub(crate) indexes: Vec<String>,
    /// Lists of columns that are unique in PostgreSQL.
    pub(crate) unique_keys: Vec<Vec<usize>>,
    /// Notes on constraints that differ slightly from those of SQLite.
    pub(crate) notes: Vec<String>,
    /// Constraints and indexes that are not carried over: the text, and the reason.
    pub(crate) omitted: Vec<(String, String)>,
}

/// The context in which the keys of one table are examined.
struct KeyContext<'a> {
    table: &'a ExaminedTable,
    syntax: Option<&'a syntax::TableSyntax>,
    column_infos: Vec<ColumnInfo<'a>>,
}

/// The SQL of a part of an index, and the translation of its expression, if it is one.
type TranslatedPart = (String, Option<Translation>);

impl TableKeys {
    /// Translates the keys and indexes of a table.
    pub(crate) fn for_table<Q: RowQueries>(
        table: &ExaminedTable,
        syntax: Option<&syntax::TableSyntax>,
        names: &BTreeMap<String, String>,
        used_names: &mut UsedNames,
        rows: &Q,
    ) -> Result<TableKeys, Q::Error> {
        let context = KeyContext { table, syntax, column_infos: table.column_infos(syntax) };
        let mut keys = TableKeys::default();
        if let Some(rowid) = table.rowid() {
            keys.primary = Some(context.constraint(vec![rowid], "pkey", used_names));
            keys.unique_keys.push(vec![rowid]);
        }
        for index in &table.definition.indexes {
            match index.origin {
                IndexOrigin::Create => context.index(index, names, &mut keys, rows)?,
                _ => context.key(index, used_names, &mut keys, rows)?,
            }
        }
        Ok(keys)
    }
}

impl KeyContext<'_> {
    /// Creates a constraint, with a name when the name that PostgreSQL would choose is not the wanted one.
    fn constraint(&self, columns: Vec<usize>, suffix: &str, used_names: &mut UsedNames) -> Constraint {
        let names: Vec<&str> = columns.iter().map(|&at| self.column_infos[at].name).collect();
        let lower_names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let declared = self.syntax.and_then(|syntax| syntax.names.iter().find(|(_, columns)| *columns == lower_names));
        let table = &self.table.source.name;
        let default_name = match suffix {
            "pkey" => format!("{table}_pkey"),
            _ => format!("{table}_{}_{suffix}", names.join("_")),
        };
        let preferred_name = declared.map_or(&default_name, |(name, _)| name);
        let name = used_names.unused(preferred_name);
        Constraint { columns, name: (name != default_name).then_some(name) }
    }

    /// Translates a PRIMARY KEY or UNIQUE constraint.
    fn key<Q: RowQueries>(
        &self,
        index: &SourceIndex,
        used_names: &mut UsedNames,
        keys: &mut TableKeys,
        rows: &Q,
    ) -> Result<(), Q::Error> {
        let columns: Vec<usize> = index.parts.iter().filter_map(column).collect();
        let is_primary = index.origin == IndexOrigin::Primary;
        let kind = if is_primary { "PRIMARY KEY" } else { "UNIQUE" };
        let names = list(columns.iter().map(|&at| self.column_infos[at].name));
        let text = format!("{kind} ({names})");
        if let Some(reason) = self.omission_reason(index, rows)? {
            keys.omitted.push((text, reason));
            return Ok(());
        }
        if is_primary && columns.iter().any(|&at| self.table.columns[at].nulls) {
            let reason = "some rows have NULL in it, which SQLite allows; UNIQUE takes its place";
            keys.omitted.push((text, reason.into()));
            keys.unique.push(self.constraint(columns.clone(), "key", used_names));
        } else if is_primary {
            keys.primary = Some(self.constraint(columns.clone(), "pkey", used_names));
        } else {
            keys.unique.push(self.constraint(columns.clone(), "key", used_names));
        }
        keys.unique_keys.push(columns.clone());
        keys.notes.extend(self.collation_note(index));
        // An additional index refuses values that differ only in case.
        if index.parts.iter().any(|part| self.is_nocase(part)) {
            let column_names: Vec<&str> = columns.iter().map(|&at| self.column_infos[at].name).collect();
            let name = used_names.unused(&format!("{}_{}_nocase", self.table.source.name, column_names.join("_")));
            let parts: Vec<String> = index.parts.iter().filter_map(|part| self.part_sql(part)).collect();
            keys.indexes.push(self.index_sql(index, &name, &parts, None));
        }
        Ok(())
    }

    /// Returns the reason why an index is impossible in PostgreSQL, or `None`.
    fn omission_reason<Q: RowQueries>(&self, index: &SourceIndex, rows: &Q) -> Result<Option<String>, Q::Error> {
        let bytes = self.entry_bytes(index);
        if bytes > MAX_ENTRY_BYTES {
            return Ok(Some(format!(
                "its values have up to {bytes} bytes, and an entry of an index {MAX_ENTRY_BYTES}"
            )));
        }
        if index.parts.len() > MAX_INDEX_COLUMNS {
            return Ok(Some(format!("PostgreSQL takes {MAX_INDEX_COLUMNS} columns")));
        }
        if index.unique { self.find_merged_values(index, rows) } else { Ok(None) }
    }

    /// Returns the reason why different values of SQLite may be equal in PostgreSQL, or `None`.
    fn find_merged_values<Q: RowQueries>(&self, index: &SourceIndex, rows: &Q) -> Result<Option<String>, Q::Error> {
        let merge_rule = |at: usize| self.table.columns[at].merge_rule();
        let columns: Vec<usize> = index.parts.iter().filter_map(column).collect();
        let others: Vec<usize> = columns.iter().copied().filter(|&at| merge_rule(at) == MergeRule::Never).collect();
        for at in columns {
            let found = match merge_rule(at) {
                MergeRule::Never => continue,
                MergeRule::Possible => return Ok(Some("a --cast may make values equal that are not".into())),
                MergeRule::Integers => {
                    rows.first_where(&self.table.source, &duplicates_query(&self.table.source, at, &others))
                }
            };
            let name = self.column_infos[at].name;
            match found {
                Ok(None) => {}
                Ok(Some(row)) => {
                    return Ok(Some(format!("as text, {name} of {row} is equal to that of another row")));
                }
                Err(error) => return Q::refusal(error).map(Some),
            }
        }
        Ok(None)
    }

    /// Returns the maximum size of an entry's column values, in bytes.
    fn entry_bytes(&self, index: &SourceIndex) -> usize {
        index.parts.iter().filter_map(column).map(|at| self.table.columns[at].longest).sum()
    }

    /// Returns a note on what a unique index no longer refuses. Equal bytes are equal in every collation of SQLite, so
    /// that the index is valid, but weaker.
    fn collation_note(&self, index: &SourceIndex) -> Option<String> {
        let other = |part: &&IndexPart| {
            let is_text = column(part).is_some_and(|at| is_text(self.column_infos[at].ty));
            is_text && !["BINARY", "NOCASE"].iter().any(|name| part.collation.eq_ignore_ascii_case(name))
        };
        let part = index.parts.iter().find(other).filter(|_| index.unique)?;
        let name = column(part).map_or("", |at| self.column_infos[at].name);
        Some(format!(
            "{name} is unique by its bytes: PostgreSQL has no collation {}, which holds more to be equal",
            part.collation
        ))
    }

    /// Reports whether a part of an index ignores the case of letters.
    fn is_nocase(&self, part: &IndexPart) -> bool {
        column(part).is_some_and(|at| is_text(self.column_infos[at].ty))
            && part.collation.eq_ignore_ascii_case("NOCASE")
    }

    /// Returns a column as a part of an index. NOCASE folds the letters of ASCII only, as the collation C does.
    fn part_sql(&self, part: &IndexPart) -> Option<String> {
        let name = match part.value {
            IndexedValue::Column(at) => quoted(self.column_infos[at].name),
            IndexedValue::Rowid => quoted(self.column_infos[self.table.rowid()?].name),
            IndexedValue::Expression => return None,
        };
        let folded = if self.is_nocase(part) { format!("lower({name} COLLATE \"C\")") } else { name };
        Some(folded + if part.descending { " DESC" } else { "" })
    }

    fn index_sql(&self, index: &SourceIndex, name: &str, parts: &[String], condition: Option<&str>) -> String {
        let unique = if index.unique { "UNIQUE " } else { "" };
        let condition = condition.map_or(String::new(), |condition| format!(" WHERE {condition}"));
        let (name, table) = (quoted(name), quoted(&self.table.source.name));
        format!("CREATE {unique}INDEX {name} ON {table} ({}){condition};\n", parts.join(", "))
    }

    /// Translates a CREATE INDEX statement.
    fn index<Q: RowQueries>(
        &self,
        index: &SourceIndex,
        names: &BTreeMap<String, String>,
        keys: &mut TableKeys,
        rows: &Q,
    ) -> Result<(), Q::Error> {
        let name = names.get(&index.name).unwrap_or(&index.name);
        let mut omit = |reason: String| {
            keys.omitted.push((index.sql.clone().unwrap_or_else(|| format!("INDEX {}", index.name)), reason));
        };
        if let Some(reason) = self.omission_reason(index, rows)? {
            omit(reason);
            return Ok(());
        }
        let Some((parts, condition)) = self.translate_index(index) else {
            omit("it has an expression that is not certain to mean the same".into());
            return Ok(());
        };
        let expressions: Vec<&Translation> = parts.iter().filter_map(|(_, expression)| expression.as_ref()).collect();
        let texts = expressions.iter().filter(|expression| expression.class == ExpressionClass::Text);
        if texts.map(|text| text.longest).sum::<usize>() + self.entry_bytes(index) > MAX_ENTRY_BYTES {
            omit("its expression may be longer than an entry of an index".into());
            return Ok(());
        }
        for guard in expressions.into_iter().chain(&condition).flat_map(|expression| &expression.guards) {
            if let Some(row) = rows.first_where(&self.table.source, &format!("typeof({guard}) = 'real'"))? {
                omit(format!("in {row} its numbers are beyond 64 bits"));
                return Ok(());
            }
        }
        keys.notes.extend(self.collation_note(index));
        let part_sqls: Vec<String> = parts.iter().map(|(sql, _)| sql.clone()).collect();
        let filter = condition.as_ref().map(|condition| condition.sql.as_str());
        keys.indexes.push(self.index_sql(index, name, &part_sqls, filter));
        let is_plain = index.parts.iter().all(|part| column(part).is_some() && !self.is_nocase(part));
        if index.unique && is_plain && condition.is_none() {
            keys.unique_keys.push(index.parts.iter().filter_map(column).collect());
        }
        Ok(())
    }

    /// Translates the parts of an index and its condition; `None` means that one of them has no translation.
    fn translate_index(&self, index: &SourceIndex) -> Option<(Vec<TranslatedPart>, Option<Translation>)> {
        let needs_text = index.partial || index.parts.iter().any(|part| part.value == IndexedValue::Expression);
        let text = match needs_text {
            true => Some(syntax::index(index.sql.as_deref()?)?),
            false => None,
        };
        let mut parts = Vec::new();
        for (at, part) in index.parts.iter().enumerate() {
            if let Some(sql) = self.part_sql(part) {
                parts.push((sql, None));
                continue;
            }
            let translation = translate(&parse(text.as_ref()?.parts.get(at)?)?, &self.column_infos)?;
            let is_plain = part.collation.eq_ignore_ascii_case("BINARY") || translation.class != ExpressionClass::Text;
            let fits = is_plain
                && matches!(
                    translation.class,
                    ExpressionClass::Integer | ExpressionClass::Text | ExpressionClass::Logical
                );
            let direction = if part.descending { " DESC" } else { "" };
            parts.push((format!("({}){direction}", translation.sql), fits.then_some(Some(translation))?));
        }
        let condition = match text.and_then(|text| text.condition) {
            None => None,
            Some(condition) => Some(logical(&parse(&condition)?, &self.column_infos)?),
        };
        Some((parts, condition))
    }
}

fn column(part: &IndexPart) -> Option<usize> {
    match part.value {
        IndexedValue::Column(at) => Some(at),
        _ => None,
    }
}

fn is_text(ty: &WritableType) -> bool {
    matches!(ty, WritableType::Text | WritableType::Varchar(_))
}
