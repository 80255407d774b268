//! Reads the definition of a table beyond the facts that reading its rows needs, for creating a similar table, and
//! answers queries about its rows.

use rusqlite::types::ValueRef;

use super::schema::text;
use super::{SqliteSource, scan};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;
use crate::transfer::schema_conversion::RowQueries;
use crate::transfer::source::{
    IndexOrigin, IndexPart, IndexedValue, ReferentialAction, RowKey, SourceIndex, SourceTable, TableDefinition,
};

impl SqliteSource {
    /// Reads the definition of a table.
    ///
    /// # Errors
    /// SQLite fails to read the schema.
    pub(crate) fn definition(&self, table: &SourceTable) -> Result<TableDefinition, DatabaseError> {
        const TABLE: &str = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        const KEYS: &str = "SELECT on_update, on_delete FROM pragma_foreign_key_list(?1, 'main') \
             WHERE seq = 0 ORDER BY id DESC";
        const INDEXES: &str = "SELECT l.name, l.\"unique\", l.origin, l.partial, s.sql \
             FROM pragma_index_list(?1, 'main') l \
             LEFT JOIN main.sqlite_schema s ON s.type = 'index' AND s.name = l.name ORDER BY l.seq DESC";
        let mut sql = self.all(TABLE, [&table.name], |row| Ok(shown(row.get_ref(0)?)))?;
        let actions = self.all(KEYS, [&table.name], |row| {
            Ok(ReferentialAction { on_update: shown(row.get_ref(0)?), on_delete: shown(row.get_ref(1)?) })
        })?;
        let mut indexes = self.all(INDEXES, [&table.name], |row| {
            let sql = row.get_ref(4)?;
            Ok(SourceIndex {
                name: shown(row.get_ref(0)?),
                unique: row.get(1)?,
                origin: match row.get_ref(2)?.as_str().unwrap_or_default() {
                    "pk" => IndexOrigin::Primary,
                    "u" => IndexOrigin::Unique,
                    _ => IndexOrigin::Create,
                },
                partial: row.get(3)?,
                sql: (sql != ValueRef::Null).then(|| shown(sql)),
                parts: Vec::new(),
            })
        })?;
        for index in &mut indexes {
            index.parts = self.parts(&index.name, table)?;
        }
        Ok(TableDefinition { sql: sql.pop().unwrap_or_default(), indexes, actions })
    }

    fn parts(&self, index: &str, table: &SourceTable) -> Result<Vec<IndexPart>, DatabaseError> {
        const PARTS: &str = "SELECT cid, name, desc, coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno";
        self.all(PARTS, [index], |row| {
            let name = shown(row.get_ref(1)?);
            let position = table.columns.iter().position(|column| column.name == name);
            let value = match (row.get::<_, i64>(0)?, position) {
                (-1, _) => IndexedValue::Rowid,
                (0.., Some(position)) => IndexedValue::Column(position),
                _ => IndexedValue::Expression,
            };
            Ok(IndexPart { value, descending: row.get(2)?, collation: shown(row.get_ref(3)?) })
        })
    }

    /// Returns the names and SQL texts of the views and triggers.
    ///
    /// # Errors
    /// SQLite fails to read the schema.
    pub(crate) fn texts(&self) -> Result<Vec<(String, String)>, DatabaseError> {
        const TEXTS: &str =
            "SELECT name, sql FROM main.sqlite_schema WHERE type IN ('view', 'trigger') AND sql IS NOT NULL";
        self.all(TEXTS, [], |row| Ok((shown(row.get_ref(0)?), shown(row.get_ref(1)?))))
    }
}

impl RowQueries for SqliteSource {
    type Error = DatabaseError;

    fn first_where(&self, table: &SourceTable, condition: &str) -> Result<Option<String>, DatabaseError> {
        let key = match &table.key {
            RowKey::Rowid { name, .. } => vec![format!("child.{name}")],
            RowKey::Columns(columns) => {
                let name = |&at: &usize| format!("child.{}", identifier(&table.columns[at].name));
                columns.iter().map(name).collect()
            }
            RowKey::Unnamed => vec!["NULL".to_owned()],
        };
        let sql = format!(
            "SELECT {} FROM main.{} AS child NOT INDEXED WHERE {condition} LIMIT 1",
            key.join(", "),
            identifier(&table.name)
        );
        let rows = self.all(&sql, [], |row| Ok(scan::describe_key(table, row)))?;
        Ok(rows.into_iter().next())
    }

    fn refusal(error: DatabaseError) -> Result<String, DatabaseError> {
        match error.kind {
            DatabaseErrorKind::Statement => Ok(error.message),
            _ => Err(error),
        }
    }
}

fn shown(value: ValueRef<'_>) -> String {
    text(value).unwrap_or_else(|lossy| lossy)
}
