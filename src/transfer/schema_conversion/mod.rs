//! A first revision for PostgreSQL, written from the tables of a SQLite file and from what is stored in them: after it,
//! every row can be transferred without being told more.
//!
//! What cannot be said in PostgreSQL with certainty is left as a comment, never guessed.

mod columns;
mod comment;
mod defaults;
mod expression;
mod foreign;
mod functions;
mod keys;
mod membership;
mod names;
mod notes;
mod shape;
mod syntax;
mod textual;
mod tokenizer;
mod translate;
mod type_inference;
mod types;

use std::collections::BTreeMap;

use crate::database::DatabaseError;
use crate::database::sqlite::source::{
    IndexOrigin, IndexedValue, SkipReason, SourceContents, SourceTable, TableDefinition,
};
pub use comment::line;
use comment::{comment, indented};
use keys::TableKeys;
pub use names::flag;
use names::{UsedNames, impossible, impossible_column, quoted};
pub use notes::TypeRefusal;
use translate::ColumnInfo;
pub use type_inference::{ChosenType, ColumnUsage, ROW, TypeInference, width};

/// Columns of a table: `MaxHeapAttributeNumber` less those of the server (src/include/access/htup_details.h).
const COLUMNS: usize = 1600;

/// A table of the source, and what its columns are to be.
#[derive(Debug)]
pub struct ExaminedTable {
    pub source: SourceTable,
    pub definition: TableDefinition,
    /// For each of the source's columns.
    pub columns: Vec<ChosenType>,
}

impl ExaminedTable {
    fn column_infos(&self, syntax: Option<&syntax::TableSyntax>) -> Vec<ColumnInfo<'_>> {
        let collation = |name: &str| -> Option<&str> {
            let column = syntax?.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
            column.collation.as_deref()
        };
        let columns = self.source.columns.iter().zip(&self.columns);
        columns
            .map(|(column, chosen)| ColumnInfo {
                name: &column.name,
                ty: chosen.ty(),
                is_binary: syntax.is_some()
                    && collation(&column.name).is_none_or(|name| name.eq_ignore_ascii_case("BINARY")),
                is_ruled: !chosen.rules.is_empty(),
                longest: chosen.longest,
            })
            .collect()
    }

    /// The column that is another name for the rowid.
    fn rowid(&self) -> Option<usize> {
        rowid(&self.source, &self.definition)
    }
}

/// What is asked of the rows: the name of one for which a condition holds.
pub type RowQuestion<'a> = dyn FnMut(&SourceTable, &str) -> Result<Option<String>, DatabaseError> + 'a;

/// A revision, without the lines that name it.
#[derive(Debug)]
pub struct ConvertedSchema {
    pub up: String,
    pub down: String,
    /// What is not carried, or otherwise than one might expect, and why.
    pub warnings: Vec<String>,
}

fn rowid(source: &SourceTable, definition: &TableDefinition) -> Option<usize> {
    let has_index = definition.indexes.iter().any(|index| index.origin == IndexOrigin::Primary);
    match source.primary_key()[..] {
        [one] if !has_index => Some(one),
        _ => None,
    }
}

/// What each column of a table is used for.
pub fn uses(source: &SourceTable, definition: &TableDefinition) -> Vec<ColumnUsage> {
    let mut uses = vec![ColumnUsage::default(); source.columns.len()];
    for index in &definition.indexes {
        for part in &index.parts {
            if let IndexedValue::Column(at) = part.of {
                uses[at].indexed = true;
                uses[at].unique |= index.unique;
            }
        }
    }
    if let Some(at) = rowid(source, definition) {
        uses[at] = ColumnUsage { rowid: true, ..ColumnUsage::default() };
    }
    uses
}

/// Why a table cannot be made at all, a line each.
pub fn impossibilities(source: &SourceTable) -> Vec<String> {
    let table = &source.name;
    let without = flag("--exclude", table);
    let out = |reason: String| format!("{table}: {reason} ({without} leaves the table out)");
    let number = source.columns.len();
    let wide = (number > COLUMNS)
        .then(|| out(format!("it has {number} columns, and a table of PostgreSQL {COLUMNS} at most")));
    let columns = source
        .columns
        .iter()
        .filter_map(|column| impossible_column(&column.name).map(|why| out(format!("column {}: {why}", column.name))));
    impossible(table).map(out).into_iter().chain(wide).chain(columns).collect()
}

/// Writes the revision.
///
/// # Errors
/// SQLite's, while the rows are asked.
pub fn convert(
    examined: &[ExaminedTable],
    contents: &SourceContents,
    texts: &[(String, String)],
    ask: &mut RowQuestion<'_>,
) -> Result<ConvertedSchema, DatabaseError> {
    let mut taken = UsedNames::default();
    examined.iter().for_each(|table| taken.take(&table.source.name));
    let mut schema = ConvertedSchema { up: String::new(), down: String::new(), warnings: Vec::new() };
    // Names that a person gave come before those that are made up.
    let named = |table: &ExaminedTable| {
        let made = table.definition.indexes.iter().filter(|index| index.origin == IndexOrigin::Create);
        made.map(|index| index.name.clone()).collect::<Vec<_>>()
    };
    let names: BTreeMap<String, String> =
        examined.iter().flat_map(named).map(|name| (name.clone(), taken.unused(&name))).collect();
    let mut kept = Vec::new();
    let parsed: Vec<_> = examined.iter().map(|table| syntax::table(&table.definition.sql)).collect();
    for (table, syntax) in examined.iter().zip(&parsed) {
        kept.push(schema.table(table, syntax.as_ref(), &names, &mut taken, ask)?);
    }
    for (at, table) in examined.iter().enumerate() {
        let keys = foreign::keys(at, examined, &kept, parsed[at].as_ref(), ask)?;
        schema.up.push_str(if keys.is_empty() { "" } else { "\n" });
        for key in &keys {
            match key {
                Ok(sql) => schema.up += sql,
                Err((text, reason)) => schema.lose(&table.source.name, text, reason),
            }
        }
    }
    schema.up.push('\n');
    schema.others(contents, texts);
    schema.up.truncate(schema.up.trim_end().len());
    schema.up.push('\n');
    let tables: Vec<String> = examined.iter().rev().map(|table| quoted(&table.source.name)).collect();
    schema.down = format!("DROP TABLE\n    {};\n", tables.join(",\n    "));
    Ok(schema)
}

impl ConvertedSchema {
    /// A table with what is looked up in it; returns the columns of its keys.
    fn table(
        &mut self,
        table: &ExaminedTable,
        syntax: Option<&syntax::TableSyntax>,
        names: &BTreeMap<String, String>,
        taken: &mut UsedNames,
        ask: &mut RowQuestion<'_>,
    ) -> Result<Vec<Vec<usize>>, DatabaseError> {
        let keys = TableKeys::for_table(table, syntax, names, taken, ask)?;
        self.up.push_str(if self.up.is_empty() { "" } else { "\n" });
        self.up += &columns::table(table, syntax, &keys, taken, &mut self.warnings, ask)?;
        for words in &keys.told {
            self.up += &comment(&format!("{words}."));
            self.warnings.push(format!("{}: {words}", table.source.name));
        }
        for (text, reason) in &keys.lost {
            self.lose(&table.source.name, text, reason);
        }
        keys.indexes.iter().for_each(|index| self.up += index);
        Ok(keys.kept)
    }

    /// Leaves something out, with its text as a comment.
    fn lose(&mut self, table: &str, text: &str, reason: &str) {
        self.up += &comment(&format!("Not carried of {table}: {reason}."));
        self.up += &indented(text);
        let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.warnings.push(format!("{table}: {short} is not carried: {reason}"));
    }

    /// What is no table.
    fn others(&mut self, contents: &SourceContents, texts: &[(String, String)]) {
        let told = |reason: &SkipReason| !matches!(reason, SkipReason::Internal | SkipReason::Shadow);
        for other in contents.others.iter().filter(|other| told(&other.reason)) {
            self.up += &comment(&format!("Not carried: {}, {}.", other.name, other.reason));
            if let Some((_, text)) = texts.iter().find(|(name, _)| *name == other.name) {
                self.up += &indented(text);
            }
            self.warnings.push(format!("{} is not carried: {}", other.name, other.reason));
        }
    }
}
