//! Estimates the size of a table without reading all of it, for a display of progress.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;

use super::SqliteSource;
use super::schema::text;
use crate::database::DatabaseError;
use crate::sql::identifier;
use crate::transfer::source::{ColumnVisibility, RowKey, SourceTable};

/// The number of rows from which the average length of a row is taken.
const SAMPLE_ROWS: u64 = 100;
/// The minimum size of a row in bytes: two bytes that point to it, its length, its rowid.
const MIN_ROW_BYTES: u64 = 4;

impl SqliteSource {
    /// Returns the row counts that ANALYZE has stored, by table.
    pub(super) fn counts(&self) -> Result<BTreeMap<String, u64>, DatabaseError> {
        if !self.has("sqlite_stat1")? {
            return Ok(BTreeMap::new());
        }
        let rows = self.all("SELECT tbl, stat FROM main.sqlite_stat1", [], |row| {
            Ok((text(row.get_ref(0)?), text(row.get_ref(1)?)))
        })?;
        let mut counts = BTreeMap::new();
        for (table, stat) in rows {
            // The first number counts the rows in the index: all rows of the table, unless the index is partial.
            let count: Option<u64> = stat.ok().and_then(|stat| stat.split(' ').next()?.parse().ok());
            if let (Ok(table), Some(count)) = (table, count) {
                let largest: &mut u64 = counts.entry(table).or_default();
                *largest = count.max(*largest);
            }
        }
        Ok(counts)
    }

    /// Estimates the number of rows and bytes of a table. An unreadable table causes an error only when its rows are
    /// read.
    pub(super) fn estimate(&self, table: &mut SourceTable, counts: &BTreeMap<String, u64>) {
        table.rows = counts.get(&table.name).copied().or_else(|| self.rowid_span(table));
        let sample = table.rows.and_then(|_| self.sample(table).ok());
        table.bytes = match (table.rows, sample) {
            (Some(rows), Some((sampled, bytes))) => {
                let average = bytes.checked_div(sampled).unwrap_or(0);
                Some(rows.saturating_mul(average).min(self.bytes()))
            }
            _ => None,
        };
    }

    /// Returns the distance from the first to the last rowid, which SQLite finds at once. `None` if the file is too
    /// small for so many rows, as with rowids that are hashes or times, and for a table without a rowid.
    fn rowid_span(&self, table: &SourceTable) -> Option<u64> {
        if !matches!(table.key, RowKey::Rowid { .. }) {
            return None;
        }
        match self.rowid_bounds(table).ok()? {
            Some((first, last)) => {
                let rows = i64::abs_diff(last, first).saturating_add(1);
                Some(rows).filter(|rows| rows.saturating_mul(MIN_ROW_BYTES) <= self.bytes())
            }
            None => Some(0),
        }
    }

    /// Returns the number of the first rows and their bytes. `octet_length` measures a value without reading it.
    fn sample(&self, table: &SourceTable) -> rusqlite::Result<(u64, u64)> {
        let lengths: Vec<String> = (table.columns.iter())
            .filter(|column| column.hidden == ColumnVisibility::No)
            .map(|column| format!("octet_length({})", identifier(&column.name)))
            .collect();
        let table_name = identifier(&table.name);
        let sql = format!("SELECT {} FROM main.{table_name} NOT INDEXED LIMIT {SAMPLE_ROWS}", lengths.join(", "));
        let mut statement = self.connection().prepare(&sql)?;
        let mut rows = statement.query([])?;
        let (mut sampled, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            sampled += 1;
            for at in 0..lengths.len() {
                if let ValueRef::Integer(length) = row.get_ref(at)? {
                    bytes += u64::try_from(length).unwrap_or(0);
                }
            }
        }
        Ok((sampled, bytes))
    }
}
