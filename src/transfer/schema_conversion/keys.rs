//! Primary keys, unique constraints and indexes.

use std::collections::BTreeMap;

use super::expression::parse;
use super::names::{UsedNames, list, quoted};
use super::textual::{MergeRule, twice};
use super::translate::{ColumnInfo, ExpressionClass, Translation, logical, say};
use super::{ExaminedTable, RowQuestion, syntax};
use crate::database::sqlite::source::{IndexOrigin, IndexPart, IndexedValue, SourceIndex};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::transfer::cast::WritableType;

/// A third of a page, less what an entry needs besides its values: `BTMaxItemSize` (src/include/access/nbtree.h).
const ENTRY: usize = 2600;
/// `INDEX_MAX_KEYS`.
const PARTS: usize = 32;

/// A key of a table: its columns, and the name that it has to have.
#[derive(Debug)]
pub(super) struct Constraint {
    pub columns: Vec<usize>,
    pub name: Option<String>,
}

/// Everything that is looked up, or there once only.
#[derive(Debug, Default)]
pub(super) struct TableKeys {
    pub primary: Option<Constraint>,
    pub unique: Vec<Constraint>,
    /// CREATE INDEX, each with its line end.
    pub indexes: Vec<String>,
    /// Columns of which PostgreSQL knows that they are there once.
    pub kept: Vec<Vec<usize>>,
    /// What is not quite as it was.
    pub told: Vec<String>,
    /// What could not be said, and why.
    pub lost: Vec<(String, String)>,
}

/// What is known while the keys of one table are looked at.
struct KeyContext<'a> {
    table: &'a ExaminedTable,
    syntax: Option<&'a syntax::TableSyntax>,
    seen: Vec<ColumnInfo<'a>>,
}

/// A part of an index, and the expression that it is.
type TranslatedPart = (String, Option<Translation>);

impl TableKeys {
    pub fn for_table(
        table: &ExaminedTable,
        syntax: Option<&syntax::TableSyntax>,
        names: &BTreeMap<String, String>,
        taken: &mut UsedNames,
        ask: &mut RowQuestion<'_>,
    ) -> Result<TableKeys, DatabaseError> {
        let it = KeyContext { table, syntax, seen: table.column_infos(syntax) };
        let mut keys = TableKeys::default();
        if let Some(rowid) = table.rowid() {
            keys.primary = Some(it.constraint(vec![rowid], "pkey", taken));
            keys.kept.push(vec![rowid]);
        }
        for index in &table.definition.indexes {
            match index.origin {
                IndexOrigin::Create => it.index(index, names, &mut keys, ask)?,
                _ => it.key(index, taken, &mut keys, ask)?,
            }
        }
        Ok(keys)
    }
}

impl KeyContext<'_> {
    /// A constraint, with its name when the one that PostgreSQL would choose is not the one it shall have.
    fn constraint(&self, columns: Vec<usize>, ending: &str, taken: &mut UsedNames) -> Constraint {
        let names: Vec<&str> = columns.iter().map(|&at| self.seen[at].name).collect();
        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let given = self.syntax.and_then(|syntax| syntax.names.iter().find(|(_, of)| *of == lower));
        let table = &self.table.source.name;
        let usual = match ending {
            "pkey" => format!("{table}_pkey"),
            _ => format!("{table}_{}_{ending}", names.join("_")),
        };
        let wanted = given.map_or(&usual, |(name, _)| name);
        let name = taken.unused(wanted);
        Constraint { columns, name: (name != usual).then_some(name) }
    }

    /// PRIMARY KEY or UNIQUE.
    fn key(
        &self,
        index: &SourceIndex,
        taken: &mut UsedNames,
        keys: &mut TableKeys,
        ask: &mut RowQuestion<'_>,
    ) -> Result<(), DatabaseError> {
        let columns: Vec<usize> = index.parts.iter().filter_map(column).collect();
        let is_primary = index.origin == IndexOrigin::Primary;
        let what = if is_primary { "PRIMARY KEY" } else { "UNIQUE" };
        let names = list(columns.iter().map(|&at| self.seen[at].name));
        let text = format!("{what} ({names})");
        if let Some(reason) = self.obstacle(index, ask)? {
            keys.lost.push((text, reason));
            return Ok(());
        }
        if is_primary && columns.iter().any(|&at| self.table.columns[at].nulls) {
            let reason = "some rows have NULL in it, which SQLite allows; UNIQUE takes its place";
            keys.lost.push((text, reason.into()));
            keys.unique.push(self.constraint(columns.clone(), "key", taken));
        } else if is_primary {
            keys.primary = Some(self.constraint(columns.clone(), "pkey", taken));
        } else {
            keys.unique.push(self.constraint(columns.clone(), "key", taken));
        }
        keys.kept.push(columns.clone());
        keys.told.extend(self.weaker(index));
        // What differs in case alone stays forbidden by an index beside it.
        if index.parts.iter().any(|part| self.folds(part)) {
            let end: Vec<&str> = columns.iter().map(|&at| self.seen[at].name).collect();
            let name = taken.unused(&format!("{}_{}_nocase", self.table.source.name, end.join("_")));
            let parts: Vec<String> = index.parts.iter().filter_map(|part| self.part(part)).collect();
            keys.indexes.push(self.create(index, &name, &parts, None));
        }
        Ok(())
    }

    /// Why an index cannot be, however it is said.
    fn obstacle(&self, index: &SourceIndex, ask: &mut RowQuestion<'_>) -> Result<Option<String>, DatabaseError> {
        let bytes = self.bytes(index);
        if bytes > ENTRY {
            return Ok(Some(format!("its values have up to {bytes} bytes, and an entry of an index {ENTRY}")));
        }
        if index.parts.len() > PARTS {
            return Ok(Some(format!("PostgreSQL takes {PARTS} columns")));
        }
        if index.unique { self.merged(index, ask) } else { Ok(None) }
    }

    /// Why values that SQLite tells apart may be equal in PostgreSQL.
    fn merged(&self, index: &SourceIndex, ask: &mut RowQuestion<'_>) -> Result<Option<String>, DatabaseError> {
        let merging = |at: usize| self.table.columns[at].merging();
        let columns: Vec<usize> = index.parts.iter().filter_map(column).collect();
        let others: Vec<usize> = columns.iter().copied().filter(|&at| merging(at) == MergeRule::Never).collect();
        for at in columns {
            let found = match merging(at) {
                MergeRule::Never => continue,
                MergeRule::Possible => return Ok(Some("a --cast may make values equal that are not".into())),
                MergeRule::Integers => ask(&self.table.source, &twice(&self.table.source, at, &others)),
            };
            let name = self.seen[at].name;
            match found {
                Ok(None) => {}
                Ok(Some(row)) => {
                    return Ok(Some(format!("as text, {name} of {row} is equal to that of another row")));
                }
                // A collation of an application's own.
                Err(fault) if fault.kind == DatabaseErrorKind::Statement => return Ok(Some(fault.message)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// What the columns of an entry may come to.
    fn bytes(&self, index: &SourceIndex) -> usize {
        index.parts.iter().filter_map(column).map(|at| self.table.columns[at].longest).sum()
    }

    /// What a unique index no longer forbids. Equal bytes are equal in every collation, so that it holds, but for less.
    fn weaker(&self, index: &SourceIndex) -> Option<String> {
        let other = |part: &&IndexPart| {
            let is_text = column(part).is_some_and(|at| is_text(self.seen[at].ty));
            is_text && !["BINARY", "NOCASE"].iter().any(|name| part.collation.eq_ignore_ascii_case(name))
        };
        let part = index.parts.iter().find(other).filter(|_| index.unique)?;
        let name = column(part).map_or("", |at| self.seen[at].name);
        Some(format!(
            "{name} is unique by its bytes: PostgreSQL has no collation {}, which holds more to be equal",
            part.collation
        ))
    }

    /// Whether case is passed over.
    fn folds(&self, part: &IndexPart) -> bool {
        column(part).is_some_and(|at| is_text(self.seen[at].ty)) && part.collation.eq_ignore_ascii_case("NOCASE")
    }

    /// A column as a part of an index. SQLite's NOCASE knows the letters of ASCII only, as the collation C does.
    fn part(&self, part: &IndexPart) -> Option<String> {
        let name = match part.of {
            IndexedValue::Column(at) => quoted(self.seen[at].name),
            IndexedValue::Rowid => quoted(self.seen[self.table.rowid()?].name),
            IndexedValue::Expression => return None,
        };
        let folded = if self.folds(part) { format!("lower({name} COLLATE \"C\")") } else { name };
        Some(folded + if part.descending { " DESC" } else { "" })
    }

    fn create(&self, index: &SourceIndex, name: &str, parts: &[String], condition: Option<&str>) -> String {
        let unique = if index.unique { "UNIQUE " } else { "" };
        let condition = condition.map_or(String::new(), |condition| format!(" WHERE {condition}"));
        let (name, table) = (quoted(name), quoted(&self.table.source.name));
        format!("CREATE {unique}INDEX {name} ON {table} ({}){condition};\n", parts.join(", "))
    }

    /// CREATE INDEX.
    fn index(
        &self,
        index: &SourceIndex,
        names: &BTreeMap<String, String>,
        keys: &mut TableKeys,
        ask: &mut RowQuestion<'_>,
    ) -> Result<(), DatabaseError> {
        let name = names.get(&index.name).unwrap_or(&index.name);
        let mut lose = |reason: String| {
            keys.lost.push((index.sql.clone().unwrap_or_else(|| format!("INDEX {}", index.name)), reason));
        };
        if let Some(reason) = self.obstacle(index, ask)? {
            lose(reason);
            return Ok(());
        }
        let Some((parts, condition)) = self.translated_index(index) else {
            lose("it has an expression that is not certain to mean the same".into());
            return Ok(());
        };
        let texts =
            parts.iter().filter_map(|(_, said)| said.as_ref()).filter(|said| said.class == ExpressionClass::Text);
        if texts.map(|said| said.longest).sum::<usize>() + self.bytes(index) > ENTRY {
            lose("its expression may be longer than an entry of an index".into());
            return Ok(());
        }
        let said = parts.iter().filter_map(|(_, said)| said.as_ref()).chain(&condition);
        for guard in said.flat_map(|said| &said.guards) {
            if let Some(row) = ask(&self.table.source, &format!("typeof({guard}) = 'real'"))? {
                lose(format!("in {row} its numbers are beyond 64 bits"));
                return Ok(());
            }
        }
        keys.told.extend(self.weaker(index));
        let shown: Vec<String> = parts.iter().map(|(sql, _)| sql.clone()).collect();
        keys.indexes.push(self.create(index, name, &shown, condition.as_ref().map(|said| said.sql.as_str())));
        let plain = index.parts.iter().all(|part| column(part).is_some() && !self.folds(part));
        if index.unique && plain && condition.is_none() {
            keys.kept.push(index.parts.iter().filter_map(column).collect());
        }
        Ok(())
    }

    /// The parts of an index and its condition; nothing when one of them cannot be said.
    fn translated_index(&self, index: &SourceIndex) -> Option<(Vec<TranslatedPart>, Option<Translation>)> {
        let needs_text = index.partial || index.parts.iter().any(|part| part.of == IndexedValue::Expression);
        let text = match needs_text {
            true => Some(syntax::index(index.sql.as_deref()?)?),
            false => None,
        };
        let mut parts = Vec::new();
        for (at, part) in index.parts.iter().enumerate() {
            if let Some(sql) = self.part(part) {
                parts.push((sql, None));
                continue;
            }
            let said = say(&parse(text.as_ref()?.parts.get(at)?)?, &self.seen)?;
            let is_plain = part.collation.eq_ignore_ascii_case("BINARY") || said.class != ExpressionClass::Text;
            let fits = is_plain
                && matches!(said.class, ExpressionClass::Integer | ExpressionClass::Text | ExpressionClass::Logical);
            let direction = if part.descending { " DESC" } else { "" };
            parts.push((format!("({}){direction}", said.sql), fits.then_some(Some(said))?));
        }
        let condition = match text.and_then(|text| text.condition) {
            None => None,
            Some(condition) => Some(logical(&parse(&condition)?, &self.seen)?),
        };
        Some((parts, condition))
    }
}

fn column(part: &IndexPart) -> Option<usize> {
    match part.of {
        IndexedValue::Column(at) => Some(at),
        _ => None,
    }
}

fn is_text(ty: &WritableType) -> bool {
    matches!(ty, WritableType::Text | WritableType::Varchar(_))
}
