//! The name of the history table.

use crate::sql::identifier;
/// The name of the history table as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryName {
    /// Schema; `None` leaves it to the search path of the session.
    pub schema: Option<String>,
    /// Table name, not quoted.
    pub table: String,
}

impl HistoryName {
    /// Returns the quoted name, with the schema if there is one.
    pub fn quoted(&self) -> String {
        let table = identifier(&self.table);
        match &self.schema {
            Some(schema) => format!("{}.{table}", identifier(schema)),
            None => table,
        }
    }
}
