//! Reading back a row that was just inserted: what a column's type makes of a value shows there.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement, params_from_iter};

use crate::database::sqlite::source::{RowKey, SourceRow, SourceTable};
use crate::revision::render::identifier;
use crate::transfer::digest::Digest;
use crate::transfer::json_export::{is_worth, value as written};
use crate::transfer::plan::TableMapping;
use crate::transfer::value::{Value, shown};

/// Asks for the last row of a table.
pub struct LastRowQuery<'a> {
    connection: &'a Connection,
    pair: &'a TableMapping,
    /// Nothing when no question finds exactly one row.
    statement: Option<Statement<'a>>,
    /// The places of the key's columns among the values; empty for a rowid.
    key: Vec<usize>,
    bytes: Vec<u8>,
}

impl<'a> LastRowQuery<'a> {
    pub fn new(
        connection: &'a Connection,
        pair: &'a TableMapping,
        target: &SourceTable,
    ) -> rusqlite::Result<LastRowQuery<'a>> {
        let (mut key, mut wanted) = (Vec::new(), None);
        match &target.key {
            RowKey::Rowid { name, .. } => wanted = Some(format!("{name} = ?")),
            RowKey::Columns(parts) => {
                let place = |part: &usize| pair.columns.iter().position(|column| column.target == *part);
                if let Some(places) = parts.iter().map(place).collect() {
                    key = places;
                    let parts = parts.iter().map(|&part| identifier(&target.columns[part].name) + " IS ?");
                    wanted = Some(parts.collect::<Vec<_>>().join(" AND "));
                }
            }
            RowKey::Unnamed => {}
        }
        let sql = |wanted: String| format!("{} WHERE {wanted}", super::select(pair));
        let statement = wanted.map(|wanted| connection.prepare(&sql(wanted))).transpose()?;
        Ok(LastRowQuery { connection, pair, statement, key, bytes: Vec::new() })
    }

    /// Adds the row as it is there now; names every value that is not worth what it was.
    pub fn check(
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
        let Some(back) = rows.next()? else {
            bad.push(format!("{}, {}: it is not there", self.pair.source.name, row.identity()));
            return Ok(());
        };
        for (at, &given) in values.iter().enumerate() {
            let found = value(back, at)?;
            append(found, &mut self.bytes);
            if !is_worth(given, found) {
                let (table, column) = (&self.pair.source, self.pair.columns[at].source);
                bad.push(format!(
                    "{}.{}, {}: {} would become {}",
                    table.name,
                    table.columns[column].name,
                    row.identity(),
                    shown(given),
                    shown(found)
                ));
            }
        }
        digest.add(&self.bytes);
        Ok(())
    }
}

pub fn value<'a>(row: &'a rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Value<'a>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    })
}

/// A value as bytes that no other one has.
pub fn append(value: Value<'_>, bytes: &mut Vec<u8>) {
    written(value, bytes);
    bytes.push(b',');
}
