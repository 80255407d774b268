//! What a source has: tables to be read, and what is left alone.

use std::fmt;

/// Everything in a source.
#[derive(Clone, Debug, Default)]
pub struct SourceContents {
    /// By name.
    pub tables: Vec<SourceTable>,
    /// By name.
    pub others: Vec<SkippedObject>,
}

/// A table with rows of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTable {
    pub name: String,
    pub columns: Vec<SourceColumn>,
    pub key: RowKey,
    pub foreign_keys: Vec<SourceForeignKey>,
    /// The high-water mark of AUTOINCREMENT; `None` when nothing was ever inserted, or without it.
    pub sequence: Option<i64>,
    /// About so many rows, as far as that is known without counting.
    pub rows: Option<u64>,
    /// About so many bytes of values, from the first rows.
    pub bytes: Option<u64>,
    /// Whose history of migrations this is.
    pub bookkeeping: Option<&'static str>,
    /// A virtual table of a module that is not built in, and whose name begins this one's: the module may keep its
    /// data here. What the target has a table for is not the module's.
    pub perhaps_of: Option<String>,
}

impl SourceTable {
    /// The columns of the declared primary key, in its order.
    pub fn primary_key(&self) -> Vec<usize> {
        let mut columns: Vec<(u32, usize)> = (self.columns.iter().enumerate())
            .filter_map(|(at, column)| column.primary.map(|place| (place, at)))
            .collect();
        columns.sort_unstable();
        columns.into_iter().map(|(_, at)| at).collect()
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    pub name: String,
    /// The type as it was declared, or nothing.
    pub declared: String,
    pub not_null: bool,
    /// The default's expression.
    pub default: Option<String>,
    /// Place in the primary key, from 1.
    pub primary: Option<u32>,
    pub hidden: ColumnVisibility,
}

/// Whether `SELECT *` shows a column, and who makes its values (SQLite manual, "PRAGMA table_xinfo").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnVisibility {
    No,
    /// A hidden column of a virtual table.
    Column,
    GeneratedVirtual,
    GeneratedStored,
}

/// What tells the rows of a table apart, and their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// The rowid, under one of its names that no column has taken; the column that is another name for it, if there is one.
    Rowid { name: &'static str, column: Option<usize> },
    /// The primary key of a WITHOUT ROWID table: these columns, in the key's order.
    Columns(Vec<usize>),
    /// A rowid that cannot be asked for: columns have taken all its names.
    Unnamed,
}

/// A foreign key, with its parent's columns also where the declaration leaves them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceForeignKey {
    pub columns: Vec<String>,
    /// As the parent is named itself, when there is one.
    pub parent: String,
    /// Nothing when the parent is missing or has no such key.
    pub parent_columns: Vec<String>,
}

/// What is not read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedObject {
    pub name: String,
    pub reason: SkipReason,
}

/// Why something is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    View,
    Trigger {
        table: String,
    },
    /// Its rows are made by a module; SQLite's complaint when that is not built in.
    Virtual {
        complaint: Option<String>,
    },
    /// What a virtual table keeps its data in.
    Shadow,
    /// SQLite's own.
    Internal,
    /// Of an export: nobody has said what columns it has, and nobody has such a table.
    Empty,
    /// A name of it, or of a column, is not UTF-8: SQL cannot name it.
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
