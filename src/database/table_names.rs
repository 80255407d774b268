//! A short list of a database's tables for messages.

use std::fmt;

use super::DatabaseError;

/// The number of tables that a message names.
const MAX_NAMES: usize = 5;

/// The number of tables of a database, and the names of the first ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableNames {
    /// Number of all tables.
    pub(crate) count: usize,
    names: Vec<String>,
}

impl TableNames {
    /// Counts the names, and keeps the first of them.
    ///
    /// # Errors
    /// A name could not be read; the first such error is returned.
    pub(crate) fn from_names(
        names: impl Iterator<Item = Result<String, DatabaseError>>,
    ) -> Result<TableNames, DatabaseError> {
        let mut tables = TableNames::default();
        for name in names {
            let name = name?;
            tables.count += 1;
            if tables.names.len() < MAX_NAMES {
                tables.names.push(name);
            }
        }
        Ok(tables)
    }
}

impl fmt::Display for TableNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.count == 1 { "table" } else { "tables" };
        write!(f, "{} {noun} ({}", self.count, self.names.join(", "))?;
        match self.count - self.names.len() {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}
