//! The names of a database's tables, for people.

use std::fmt;

use super::DatabaseError;

/// How many tables are named.
const NAMED: usize = 5;

/// The tables of a database, of which a few are named.
#[derive(Clone, Debug, Default)]
pub struct TableNames {
    pub count: usize,
    named: Vec<String>,
}

impl TableNames {
    /// Counts the names, and keeps the first of them.
    ///
    /// # Errors
    /// The first name that could not be read.
    pub fn from_names(names: impl Iterator<Item = Result<String, DatabaseError>>) -> Result<TableNames, DatabaseError> {
        let mut tables = TableNames::default();
        for name in names {
            let name = name?;
            tables.count += 1;
            if tables.named.len() < NAMED {
                tables.named.push(name);
            }
        }
        Ok(tables)
    }
}

impl fmt::Display for TableNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.count == 1 { "table" } else { "tables" };
        write!(f, "{} {noun} ({}", self.count, self.named.join(", "))?;
        match self.count - self.named.len() {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}
