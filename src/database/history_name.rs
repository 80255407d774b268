//! The name of the history table.

use crate::revision::history::HistoryFormat;
use crate::sql::identifier;

/// The history table as configured: its name and its format.
#[derive(Clone, Debug)]
pub struct HistoryName {
    /// Schema; `None` leaves it to the search path of the session.
    pub schema: Option<String>,
    /// Table name, not quoted.
    pub table: String,
    /// Format of the table.
    pub format: &'static dyn HistoryFormat,
    /// Layouts that fit the directory as well: their history table decides if there is none of this name.
    pub other_tools: Vec<&'static str>,
}

impl HistoryName {
    /// Returns the quoted name, with the schema if there is one.
    pub(crate) fn quoted(&self) -> String {
        let table = identifier(&self.table);
        match &self.schema {
            Some(schema) => format!("{}.{table}", identifier(schema)),
            None => table,
        }
    }
}
