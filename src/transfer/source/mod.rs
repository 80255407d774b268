//! The descriptions of the contents of a SQLite database whose rows are copied: tables that are read, and objects that
//! are skipped.

mod definition;

use std::fmt;

pub(crate) use definition::{IndexOrigin, IndexPart, IndexedValue, ReferentialAction, SourceIndex, TableDefinition};

/// The contents of a source.
#[derive(Clone, Debug, Default)]
pub struct SourceContents {
    /// Tables, ordered by name.
    pub tables: Vec<SourceTable>,
    /// Skipped objects, ordered by name.
    pub others: Vec<SkippedObject>,
}

/// A table with rows of the user.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTable {
    /// Table name, not quoted.
    pub name: String,
    /// Columns in the order of the table, with hidden and generated ones.
    pub columns: Vec<SourceColumn>,
    /// Key that names and orders the rows.
    pub key: RowKey,
    /// Foreign keys in the order of their declaration.
    pub foreign_keys: Vec<SourceForeignKey>,
    /// High-water mark of AUTOINCREMENT; `None` without AUTOINCREMENT, or when nothing was ever inserted.
    pub sequence: Option<i64>,
    /// Estimated number of rows; `None` if it is unknown without counting.
    pub rows: Option<u64>,
    /// Estimated size of the values in bytes, from the first rows; `None` if it is unknown.
    pub bytes: Option<u64>,
    /// Tool whose migration history or other records this table holds.
    pub bookkeeping: Option<&'static str>,
    /// Name of a virtual table whose module is not built in, and with which this table's name begins: the module may
    /// keep its data here. A table that also exists in the target is not the module's.
    pub possible_owner: Option<String>,
}

impl SourceTable {
    /// Returns the positions of the columns of the declared primary key, in the order of the key.
    pub fn primary_key(&self) -> Vec<usize> {
        let mut columns: Vec<(u32, usize)> = (self.columns.iter().enumerate())
            .filter_map(|(at, column)| column.primary.map(|position| (position, at)))
            .collect();
        columns.sort_unstable();
        columns.into_iter().map(|(_, at)| at).collect()
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Column name, not quoted.
    pub name: String,
    /// Declared type; empty if there is none.
    pub declared: String,
    /// True for a column with a NOT NULL constraint.
    pub not_null: bool,
    /// SQL expression of the default.
    pub default: Option<String>,
    /// Position in the primary key, from 1.
    pub primary: Option<u32>,
    /// Visibility in `SELECT *`.
    pub hidden: ColumnVisibility,
}

/// The visibility of a column in `SELECT *`, and the origin of its values (SQLite manual, "PRAGMA table_xinfo").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnVisibility {
    /// An ordinary column, which is not hidden.
    No,
    /// A hidden column of a virtual table.
    Column,
    /// A generated column whose values are computed when they are read.
    GeneratedVirtual,
    /// A generated column whose values are stored.
    GeneratedStored,
}

/// The key that identifies and orders the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// The rowid: `name` is one of its names that no column has taken, `column` the position of the column that is an
    /// alias of it, if there is one.
    Rowid {
        /// The name by which SQL reads it.
        name: &'static str,
        /// The position of the column that is an alias of it.
        column: Option<usize>,
    },
    /// The primary key of a WITHOUT ROWID table, as positions of its columns in the order of the key; or the alias of
    /// the rowid, when columns have taken all names of the rowid.
    Columns(Vec<usize>),
    /// A rowid that no query can name, because columns have taken all its names.
    Unnamed,
}

/// A foreign key, with the parent's columns also where the declaration omits them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceForeignKey {
    /// Referencing columns.
    pub columns: Vec<String>,
    /// Parent table, spelled as its own definition spells it if it exists.
    pub parent: String,
    /// Referenced columns; empty if the parent is missing or has no such key.
    pub parent_columns: Vec<String>,
}

/// An object that is not read, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedObject {
    /// Name of the object.
    pub name: String,
    /// Reason why it is not read.
    pub reason: SkipReason,
}

/// The reason why an object is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A view.
    View,
    /// A trigger.
    Trigger {
        /// Table of the trigger.
        table: String,
    },
    /// A virtual table, whose rows a module makes.
    Virtual {
        /// SQLite's complaint if the module is not built in.
        complaint: Option<String>,
    },
    /// A table in which a virtual table keeps its data.
    Shadow,
    /// An internal table of SQLite.
    Internal,
    /// A table of an export without rows, whose columns are unknown because the target has no such table.
    Empty,
    /// A table whose name, or a column's, is not UTF-8, so that SQL cannot name it.
    Unnameable,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::View => f.write_str("a view: it has no rows of its own"),
            SkipReason::Trigger { table } => write!(f, "a trigger on {table}"),
            SkipReason::Virtual { complaint: None } => f.write_str("a virtual table: its rows are made by a module"),
            SkipReason::Virtual { complaint: Some(complaint) } => write!(f, "a virtual table ({complaint})"),
            SkipReason::Shadow => f.write_str("the data of a virtual table"),
            SkipReason::Internal => f.write_str("SQLite's own"),
            SkipReason::Empty => f.write_str("it has no rows, and the target has no such table"),
            SkipReason::Unnameable => f.write_str("its name, or a column's, is not UTF-8"),
        }
    }
}
