//! The name of the history table.

use crate::revision::render::identifier;

/// The history table's name as configured; without a schema the session's search path decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryName {
    pub schema: Option<String>,
    pub table: String,
}

impl HistoryName {
    /// As SQL names it.
    pub fn quoted(&self) -> String {
        let table = identifier(&self.table);
        match &self.schema {
            Some(schema) => format!("{}.{table}", identifier(schema)),
            None => table,
        }
    }
}
