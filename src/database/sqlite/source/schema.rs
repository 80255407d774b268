//! Reads the tables of a source from SQLite's pragmas, because SQLite parses its own schema best.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;

use super::super::error::code_and_message;
use super::{SqliteSource, tool_tables};
use crate::database::DatabaseError;
use crate::sql::identifier;
use crate::transfer::source::{
    ColumnVisibility, RowKey, SkipReason, SkippedObject, SourceColumn, SourceContents, SourceForeignKey, SourceTable,
};

/// A table as `PRAGMA table_list` lists it.
struct ListedTable {
    /// Name; bytes that are not UTF-8 are replaced.
    name: String,
    is_text: bool,
    kind: String,
    without_rowid: bool,
}

impl SqliteSource {
    /// Lists all tables, and separately the objects that are not read.
    ///
    /// # Errors
    /// The schema does not parse, or the file is damaged.
    pub fn tables(&self) -> Result<SourceContents, DatabaseError> {
        let listed_tables = self.list_tables()?;
        let missing = self.missing_modules(&listed_tables)?;
        let sequences = self.sequences()?;
        let counts = self.counts()?;
        let mut contents = SourceContents { others: self.triggers()?, ..SourceContents::default() };
        for listed in listed_tables {
            // Only tables are asked: the columns of a view or of a module's table may be unknown.
            let columns = match listed.is_text && listed.kind == "table" {
                true => self.columns(&listed.name)?,
                false => None,
            };
            let reason = match (listed.kind.as_str(), columns) {
                (_, _) if is_internal(&listed.name) => SkipReason::Internal,
                ("view", _) => SkipReason::View,
                ("shadow", _) => SkipReason::Shadow,
                ("virtual", _) => SkipReason::Virtual { complaint: missing.get(&listed.name).cloned() },
                (_, None) => SkipReason::Unnameable,
                (_, Some(columns)) => {
                    let perhaps_of =
                        missing.keys().find(|module| is_name_of_module_table(&listed.name, module)).cloned();
                    let mut table = SourceTable {
                        key: self.key(&listed, &columns)?,
                        foreign_keys: self.foreign_keys(&listed.name)?,
                        sequence: sequences.get(&listed.name).copied(),
                        rows: None,
                        bytes: None,
                        bookkeeping: tool_tables::owning_tool(&listed.name, columns.iter().map(|column| &*column.name)),
                        possible_owner: perhaps_of,
                        name: listed.name,
                        columns,
                    };
                    self.estimate(&mut table, &counts);
                    contents.tables.push(table);
                    continue;
                }
            };
            contents.others.push(SkippedObject { name: listed.name, reason });
        }
        name_parents(&mut contents.tables);
        contents.others.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contents)
    }

    fn list_tables(&self) -> Result<Vec<ListedTable>, DatabaseError> {
        const LIST: &str =
            "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name COLLATE BINARY";
        self.all(LIST, [], |row| {
            let name = text(row.get_ref(0)?);
            Ok(ListedTable {
                is_text: name.is_ok(),
                name: name.unwrap_or_else(|lossy| lossy),
                kind: row.get(1)?,
                without_rowid: row.get(2)?,
            })
        })
    }

    /// Returns the virtual tables that cannot be queried, with SQLite's complaint.
    fn missing_modules(&self, listed_tables: &[ListedTable]) -> Result<BTreeMap<String, String>, DatabaseError> {
        let mut missing = BTreeMap::new();
        for listed in listed_tables.iter().filter(|listed| listed.kind == "virtual") {
            let sql = format!("SELECT 1 FROM main.{}", identifier(&listed.name));
            if let Err(error) = self.connection().prepare(&sql) {
                let (_, message) = code_and_message(&error).ok_or_else(|| self.error_in(&error))?;
                missing.insert(listed.name.clone(), message);
            }
        }
        Ok(missing)
    }

    fn triggers(&self) -> Result<Vec<SkippedObject>, DatabaseError> {
        const TRIGGERS: &str = "SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'trigger'";
        self.all(TRIGGERS, [], |row| {
            let [name, table] = [text(row.get_ref(0)?), text(row.get_ref(1)?)].map(lossy_text);
            Ok(SkippedObject { name, reason: SkipReason::Trigger { table } })
        })
    }

    /// Returns the columns of a table, or `None` if a name is not UTF-8.
    fn columns(&self, table: &str) -> Result<Option<Vec<SourceColumn>>, DatabaseError> {
        const COLUMNS: &str = "SELECT name, type, \"notnull\", dflt_value, pk, hidden \
             FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
        let columns = self.all(COLUMNS, [table], |row| {
            let Ok(name) = text(row.get_ref(0)?) else { return Ok(None) };
            let default = row.get_ref(3)?;
            Ok(Some(SourceColumn {
                name,
                declared: lossy_text(text(row.get_ref(1)?)),
                not_null: row.get(2)?,
                default: (default != ValueRef::Null).then(|| lossy_text(text(default))),
                primary: Some(row.get(4)?).filter(|&position| position > 0),
                hidden: match row.get(5)? {
                    0 => ColumnVisibility::No,
                    2 => ColumnVisibility::GeneratedVirtual,
                    3 => ColumnVisibility::GeneratedStored,
                    _ => ColumnVisibility::Column,
                },
            }))
        })?;
        Ok(columns.into_iter().collect())
    }

    fn key(&self, table: &ListedTable, columns: &[SourceColumn]) -> Result<RowKey, DatabaseError> {
        let mut primary: Vec<usize> = (0..columns.len()).filter(|&at| columns[at].primary.is_some()).collect();
        primary.sort_by_key(|&at| columns[at].primary);
        if table.without_rowid {
            return Ok(RowKey::Columns(primary));
        }
        // A primary key that needs no index is the rowid itself; `INTEGER PRIMARY KEY DESC` needs one (SQLite manual,
        // "CREATE TABLE", ROWIDs).
        const INDEXES: &str = "SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";
        let indexes: i64 = self
            .connection()
            .query_row(INDEXES, [&table.name], |row| row.get(0))
            .map_err(|error| self.error_in(&error))?;
        let column = primary.first().copied().filter(|_| indexes == 0);
        let is_used = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let name = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_used(name));
        Ok(match (name, column) {
            (Some(name), column) => RowKey::Rowid { name, column },
            (None, Some(column)) => RowKey::Columns(vec![column]),
            (None, None) => RowKey::Unnamed,
        })
    }

    /// Reads the foreign keys as declared: the parent's columns are empty where the declaration omits them.
    fn foreign_keys(&self, table: &str) -> Result<Vec<SourceForeignKey>, DatabaseError> {
        // SQLite numbers foreign keys from the last one.
        const KEYS: &str = "SELECT id, \"from\", \"table\", \"to\" \
             FROM pragma_foreign_key_list(?1, 'main') ORDER BY id DESC, seq";
        let rows: Vec<(i64, [String; 2], Option<String>)> = self.all(KEYS, [table], |row| {
            let [from, parent] = [text(row.get_ref(1)?), text(row.get_ref(2)?)].map(lossy_text);
            let to = row.get_ref(3)?;
            Ok((row.get(0)?, [from, parent], (to != ValueRef::Null).then(|| lossy_text(text(to)))))
        })?;
        let mut keys: Vec<(i64, SourceForeignKey)> = Vec::new();
        for (id, [from, parent], to) in rows {
            if keys.last().is_none_or(|(last, _)| *last != id) {
                keys.push((id, SourceForeignKey { columns: Vec::new(), parent, parent_columns: Vec::new() }));
            }
            if let Some((_, key)) = keys.last_mut() {
                key.columns.push(from);
                key.parent_columns.extend(to);
            }
        }
        Ok(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// Returns the high-water marks of AUTOINCREMENT by table. Applications can write to that table, so other values
    /// are skipped.
    fn sequences(&self) -> Result<BTreeMap<String, i64>, DatabaseError> {
        if !self.has("sqlite_sequence")? {
            return Ok(BTreeMap::new());
        }
        const SEQUENCES: &str = "SELECT name, max(seq) FROM main.sqlite_sequence \
             WHERE typeof(seq) = 'integer' AND name IS NOT NULL GROUP BY 1";
        let sequences = self.all(SEQUENCES, [], |row| Ok((text(row.get_ref(0)?), row.get(1)?)))?;
        Ok(sequences.into_iter().filter_map(|(name, value)| Some((name.ok()?, value))).collect())
    }

    pub(super) fn has(&self, internal: &str) -> Result<bool, DatabaseError> {
        const HAS: &str = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        self.connection().query_row(HAS, [internal], |row| row.get(0)).map_err(|error| self.error_in(&error))
    }
}

/// Sets the parents' names to their own spelling, and adds the columns that a declaration omits: those of the parent's
/// primary key (SQLite manual, "Foreign Keys").
fn name_parents(tables: &mut [SourceTable]) {
    let parents: BTreeMap<String, (String, Vec<String>)> = (tables.iter())
        .map(|table| {
            let key = table.primary_key().into_iter().map(|at| table.columns[at].name.clone());
            (table.name.to_ascii_lowercase(), (table.name.clone(), key.collect()))
        })
        .collect();
    for key in tables.iter_mut().flat_map(|table| &mut table.foreign_keys) {
        if let Some((name, columns)) = parents.get(&key.parent.to_ascii_lowercase()) {
            key.parent.clone_from(name);
            if key.parent_columns.is_empty() {
                key.parent_columns.clone_from(columns);
            }
        }
    }
}

/// Reports whether a name begins with `sqlite_`, which SQLite reserves for itself in any case of letters.
pub(crate) fn is_internal(name: &str) -> bool {
    name.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("sqlite_"))
}

/// Reports whether `name` consists of the name of a virtual table, an underscore and more, as the names of shadow
/// tables do (SQLite manual, "The Virtual Table Mechanism", xShadowName).
fn is_name_of_module_table(name: &str, table: &str) -> bool {
    let prefix = name.get(..table.len()).filter(|head| head.eq_ignore_ascii_case(table));
    prefix.is_some_and(|_| name[table.len()..].starts_with('_'))
}

/// Returns a text as UTF-8; the error is the text with its invalid bytes replaced.
pub(super) fn text(value: ValueRef<'_>) -> Result<String, String> {
    let bytes = value.as_bytes_or_null().ok().flatten().unwrap_or_default();
    String::from_utf8(bytes.to_vec()).map_err(|_| String::from_utf8_lossy(bytes).into_owned())
}

fn lossy_text(text: Result<String, String>) -> String {
    text.unwrap_or_else(|lossy| lossy)
}
