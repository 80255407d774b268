//! The sizes of tables, by which the reading of a large table is divided among sessions.

use super::fetch;
use crate::database::DatabaseError;
use crate::database::postgres::{Postgres, column};
use crate::transfer::target::TargetTable;

/// The size of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableExtent {
    /// The number of blocks that hold rows; 0 if the blocks of the table cannot be read one range after the other.
    pub(crate) blocks: u64,
    /// The number of bytes, with long values outside of the rows.
    pub(crate) bytes: u64,
}

/// Reads the sizes of tables. A scan of a range of blocks (a TID range scan) exists since PostgreSQL 14, and needs an
/// ordinary table.
pub(super) async fn read(session: &mut Postgres, tables: &[&TargetTable]) -> Result<Vec<TableExtent>, DatabaseError> {
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    let has_ranges = session.major() >= 14;
    let sql = format!(
        "SELECT CASE WHEN {has_ranges} AND c.relkind = 'r' AND a.amname = 'heap' \
         THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint ELSE 0 END, \
         pg_catalog.pg_table_size(c.oid) FROM pg_catalog.unnest('{{{}}}'::pg_catalog.oid[]) WITH ORDINALITY t (id, position) \
         JOIN pg_catalog.pg_class c ON c.oid = t.id LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam ORDER BY t.position",
        oids.join(",")
    );
    let size = |row, index| column::<i64>(row, index).map(|size| u64::try_from(size).unwrap_or(0));
    let rows = fetch(session, sql).await?;
    rows.iter().map(|row| Ok(TableExtent { blocks: size(row, 0)?, bytes: size(row, 1)? })).collect()
}
