//! The conversion of a SQLite schema to a first revision for PostgreSQL, from the definitions of the tables and from
//! the stored values: after this revision every row can be transferred without further options.
//!
//! A definition whose meaning in PostgreSQL is not certain is written as a comment, never guessed.

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
mod translation;
mod type_inference;
mod types;

use std::collections::BTreeMap;

use crate::transfer::flag;
use crate::transfer::source::{IndexOrigin, IndexedValue, SkipReason, SourceContents, SourceTable, TableDefinition};
pub(crate) use comment::line;
use comment::{comment, indented};
use keys::TableKeys;
use names::{UsedNames, impossible, impossible_column, quoted};
pub(crate) use notes::TypeRefusal;
use translate::ColumnInfo;
pub(crate) use type_inference::{ChosenType, ColumnUsage, ROW, TypeInference, width};

/// The maximum number of columns of a table: `MaxHeapAttributeNumber` less the columns of the server
/// (src/include/access/htup_details.h).
const MAX_COLUMNS: usize = 1600;

/// A table of the source, with the types that were chosen for its columns.
#[derive(Debug)]
pub(crate) struct ExaminedTable {
    /// The table of the source.
    pub(crate) source: SourceTable,
    /// The definition of the table with its indexes and foreign keys.
    pub(crate) definition: TableDefinition,
    /// The chosen types, one for each column of the source.
    pub(crate) columns: Vec<ChosenType>,
}

impl ExaminedTable {
    /// Returns the columns as they are visible to expressions.
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
                has_cast_rules: !chosen.rules.is_empty(),
                longest: chosen.longest,
            })
            .collect()
    }

    /// Returns the index of the column that is an alias of the rowid, if there is one.
    fn rowid(&self) -> Option<usize> {
        rowid(&self.source, &self.definition)
    }
}

/// The queries about the rows of the source that a conversion needs.
pub(crate) trait RowQueries {
    /// An error of the source.
    type Error;

    /// Returns the name of a row for which a condition holds, or `None` if there is none. The SQL of the condition
    /// calls the table `child`.
    ///
    /// # Errors
    /// Fails when SQLite refuses the condition, or cannot read the table.
    fn first_where(&self, table: &SourceTable, condition: &str) -> Result<Option<String>, Self::Error>;

    /// Returns the message of an error that is about the condition alone, such as a collation that an application
    /// defines itself.
    ///
    /// # Errors
    /// Returns any other error unchanged.
    fn refusal(error: Self::Error) -> Result<String, Self::Error>;
}

/// The scripts of a revision, without the lines at the top that name it.
#[derive(Debug)]
pub(crate) struct ConvertedSchema {
    /// The up script.
    pub(crate) up: String,
    /// The down script.
    pub(crate) down: String,
    /// Messages about what is not carried over, or is carried over with a different meaning, with the reasons.
    pub(crate) warnings: Vec<String>,
}

/// Returns the index of the column that is an alias of the rowid: the only column of a primary key without an index.
fn rowid(source: &SourceTable, definition: &TableDefinition) -> Option<usize> {
    let has_index = definition.indexes.iter().any(|index| index.origin == IndexOrigin::Primary);
    match source.primary_key()[..] {
        [one] if !has_index => Some(one),
        _ => None,
    }
}

/// Returns the usage of each column of a table.
pub(crate) fn uses(source: &SourceTable, definition: &TableDefinition) -> Vec<ColumnUsage> {
    let mut uses = vec![ColumnUsage::default(); source.columns.len()];
    for index in &definition.indexes {
        for part in &index.parts {
            if let IndexedValue::Column(at) = part.value {
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

/// Returns the reasons why a table cannot be created at all, one message each.
pub(crate) fn impossibilities(source: &SourceTable) -> Vec<String> {
    let table = &source.name;
    let exclude_flag = flag("--exclude", table);
    let message = |reason: String| format!("{table}: {reason} ({exclude_flag} leaves the table out)");
    let count = source.columns.len();
    let too_many_columns = (count > MAX_COLUMNS)
        .then(|| message(format!("it has {count} columns, and a table of PostgreSQL {MAX_COLUMNS} at most")));
    let columns = source.columns.iter().filter_map(|column| {
        impossible_column(&column.name).map(|reason| message(format!("column {}: {reason}", column.name)))
    });
    impossible(table).map(message).into_iter().chain(too_many_columns).chain(columns).collect()
}

/// Writes the scripts of the revision. `texts` contains the name and the SQL text of objects that are no tables.
///
/// # Errors
/// Fails when SQLite reports an error for a query about the rows.
pub(crate) fn convert<Q: RowQueries>(
    examined: &[ExaminedTable],
    contents: &SourceContents,
    texts: &[(String, String)],
    rows: &Q,
) -> Result<ConvertedSchema, Q::Error> {
    let mut used_names = UsedNames::default();
    examined.iter().for_each(|table| used_names.take(&table.source.name));
    let mut schema = ConvertedSchema { up: String::new(), down: String::new(), warnings: Vec::new() };
    // Names that a person gave are reserved before names are generated.
    let index_names = |table: &ExaminedTable| {
        let created = table.definition.indexes.iter().filter(|index| index.origin == IndexOrigin::Create);
        created.map(|index| index.name.clone()).collect::<Vec<_>>()
    };
    let names: BTreeMap<String, String> =
        examined.iter().flat_map(index_names).map(|name| (name.clone(), used_names.unused(&name))).collect();
    let mut unique_keys = Vec::new();
    let parsed: Vec<_> = examined.iter().map(|table| syntax::table(&table.definition.sql)).collect();
    for (table, syntax) in examined.iter().zip(&parsed) {
        unique_keys.push(schema.table(table, syntax.as_ref(), &names, &mut used_names, rows)?);
    }
    for (at, table) in examined.iter().enumerate() {
        let keys = foreign::keys(at, examined, &unique_keys, parsed[at].as_ref(), rows)?;
        schema.up.push_str(if keys.is_empty() { "" } else { "\n" });
        for key in &keys {
            match key {
                Ok(sql) => schema.up += sql,
                Err((text, reason)) => schema.omit(&table.source.name, text, reason),
            }
        }
    }
    schema.up.push('\n');
    schema.add_skipped_objects(contents, texts);
    schema.up.truncate(schema.up.trim_end().len());
    schema.up.push('\n');
    let tables: Vec<String> = examined.iter().rev().map(|table| quoted(&table.source.name)).collect();
    schema.down = format!("DROP TABLE\n    {};\n", tables.join(",\n    "));
    Ok(schema)
}

impl ConvertedSchema {
    /// Writes a table with its keys and indexes. Returns the lists of columns that are unique in PostgreSQL.
    fn table<Q: RowQueries>(
        &mut self,
        table: &ExaminedTable,
        syntax: Option<&syntax::TableSyntax>,
        names: &BTreeMap<String, String>,
        used_names: &mut UsedNames,
        rows: &Q,
    ) -> Result<Vec<Vec<usize>>, Q::Error> {
        let keys = TableKeys::for_table(table, syntax, names, used_names, rows)?;
        self.up.push_str(if self.up.is_empty() { "" } else { "\n" });
        self.up += &columns::table(table, syntax, &keys, used_names, &mut self.warnings, rows)?;
        for note in &keys.notes {
            self.up += &comment(&format!("{note}."));
            self.warnings.push(format!("{}: {note}", table.source.name));
        }
        for (text, reason) in &keys.omitted {
            self.omit(&table.source.name, text, reason);
        }
        keys.indexes.iter().for_each(|index| self.up += index);
        Ok(keys.unique_keys)
    }

    /// Leaves out a constraint or an index: writes its text as a comment, and records a warning.
    fn omit(&mut self, table: &str, text: &str, reason: &str) {
        self.up += &comment(&format!("Not carried of {table}: {reason}."));
        self.up += &indented(text);
        let single_line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.warnings.push(format!("{table}: {single_line} is not carried: {reason}"));
    }

    /// Writes comments on the objects that are no tables, and records warnings.
    fn add_skipped_objects(&mut self, contents: &SourceContents, texts: &[(String, String)]) {
        let is_reported = |reason: &SkipReason| !matches!(reason, SkipReason::Internal | SkipReason::Shadow);
        for other in contents.others.iter().filter(|other| is_reported(&other.reason)) {
            self.up += &comment(&format!("Not carried: {}, {}.", other.name, other.reason));
            if let Some((_, text)) = texts.iter().find(|(name, _)| *name == other.name) {
                self.up += &indented(text);
            }
            self.warnings.push(format!("{} is not carried: {}", other.name, other.reason));
        }
    }
}
