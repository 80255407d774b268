//! Reads back a row that was just inserted, and compares its values: the type of a column may have changed them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement, params_from_iter};

use crate::database::sqlite::source::SourceRow;
use crate::sql::identifier;
use crate::transfer::digest::Digest;
use crate::transfer::import::ImportTable;
use crate::transfer::json_export::{is_worth, value as written};
use crate::transfer::plan::TableMapping;
use crate::transfer::source::RowKey;
use crate::transfer::value::{Value, shown};

/// A query for the last inserted row of a table.
pub(crate) struct LastRowQuery<'a> {
    connection: &'a Connection,
    mapping: &'a TableMapping<ImportTable>,
    /// `None` if no query finds exactly one row.
    statement: Option<Statement<'a>>,
    /// Positions of the key's columns among the values; empty for a rowid.
    key: Vec<usize>,
    bytes: Vec<u8>,
}

impl<'a> LastRowQuery<'a> {
    /// Prepares the query.
    ///
    /// # Errors
    /// SQLite cannot prepare the query.
    pub(crate) fn new(
        connection: &'a Connection,
        mapping: &'a TableMapping<ImportTable>,
    ) -> rusqlite::Result<LastRowQuery<'a>> {
        let (target, mut key, mut condition) = (&mapping.target, Vec::new(), None);
        match &target.key {
            RowKey::Rowid { name, .. } => condition = Some(format!("{name} = ?")),
            RowKey::Columns(parts) => {
                let position = |part: &usize| mapping.columns.iter().position(|column| column.target == *part);
                if let Some(positions) = parts.iter().map(position).collect() {
                    key = positions;
                    let parts = parts.iter().map(|&part| identifier(&target.columns[part].name) + " IS ?");
                    condition = Some(parts.collect::<Vec<_>>().join(" AND "));
                }
            }
            RowKey::Unnamed => {}
        }
        let sql = |condition: String| format!("{} WHERE {condition}", super::select(mapping));
        let statement = condition.map(|condition| connection.prepare(&sql(condition))).transpose()?;
        Ok(LastRowQuery { connection, mapping, statement, key, bytes: Vec::new() })
    }

    /// Adds the row as the table holds it now to the digest, and describes in `bad` every value that was changed.
    ///
    /// # Errors
    /// SQLite fails to read the row.
    pub(crate) fn check(
        &mut self,
        row: &SourceRow<'_>,
        values: &[Value<'_>],
        digest: &mut Digest,
        bad: &mut Vec<String>,
    ) -> rusqlite::Result<()> {
        self.bytes.clear();
        let Some(statement) = &mut self.statement else {
            values.iter().for_each(|value| append(*value, &mut self.bytes));
            digest.add(&self.bytes);
            return Ok(());
        };
        let mut rows = match self.key.is_empty() {
            true => statement.query([self.connection.last_insert_rowid()])?,
            false => statement.query(params_from_iter(self.key.iter().map(|&at| values[at])))?,
        };
        let Some(inserted) = rows.next()? else {
            bad.push(format!("{}, {}: it is not there", self.mapping.source.name, row.identity()));
            return Ok(());
        };
        for (at, &expected) in values.iter().enumerate() {
            let found = value(inserted, at)?;
            append(found, &mut self.bytes);
            if !is_worth(expected, found) {
                let (table, column) = (&self.mapping.source, self.mapping.columns[at].source);
                bad.push(format!(
                    "{}.{}, {}: {} would become {}",
                    table.name,
                    table.columns[column].name,
                    row.identity(),
                    shown(expected),
                    shown(found)
                ));
            }
        }
        digest.add(&self.bytes);
        Ok(())
    }
}

/// Returns the value of a row's column at the index `at`.
///
/// # Errors
/// There is no such column.
pub(crate) fn value<'a>(row: &'a rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Value<'a>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    })
}

/// Appends a value to `bytes` in a form that no other value has.
pub(crate) fn append(value: Value<'_>, bytes: &mut Vec<u8>) {
    written(value, bytes);
    bytes.push(b',');
}
