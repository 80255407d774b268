//! The descriptions of the tables of a SQLite file into which the rows of an export are imported.

use crate::sql::identifier;
use crate::transfer::source::{ColumnVisibility, RowKey, SourceTable};

/// A table of a SQLite file into which rows are imported.
#[derive(Clone, Debug)]
pub(crate) struct ImportTable {
    /// The unquoted name.
    pub(crate) name: String,
    /// The columns in the order of the table, with hidden and generated ones.
    pub(crate) columns: Vec<ImportColumn>,
    /// The key by which a row is found again after it was inserted.
    pub(crate) key: RowKey,
}

/// A column of such a table.
#[derive(Clone, Debug)]
pub(crate) struct ImportColumn {
    /// The unquoted name.
    pub(crate) name: String,
    /// True if a row cannot be inserted without a value for the column.
    pub(crate) needs_value: bool,
    /// True if the column is generated or hidden, so that no value can be written into it.
    pub(crate) generated: bool,
}

impl ImportTable {
    /// Creates the description of a table from what SQLite says of it.
    pub(crate) fn from_source(table: &SourceTable) -> ImportTable {
        let columns = table.columns.iter().map(|column| {
            let generated = column.hidden != ColumnVisibility::No;
            let needs_value = column.not_null && column.default.is_none() && !generated;
            ImportColumn { name: column.name.clone(), needs_value, generated }
        });
        ImportTable { name: table.name.clone(), columns: columns.collect(), key: table.key.clone() }
    }

    /// Returns the name, qualified and quoted.
    pub(crate) fn quoted(&self) -> String {
        format!("\"main\".{}", identifier(&self.name))
    }
}
