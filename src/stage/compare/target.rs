//! Reads the target of a comparison, in one transaction.

use std::collections::HashMap;

use super::parts::{BlockRange, TablePart, target_parts};
use super::report::{CHARACTERS, RowDetail, describe_value};
use crate::database::DatabaseError;
use crate::database::postgres::bulk_load::{CopyRow, SharedSnapshot, Snapshot};
use crate::error::Cause;
use crate::progress::RowMeter;
use crate::sql::identifier;
use crate::transfer::bucketed::{Buckets, KeyDigests, KeyFinder, SuspectBuckets};
use crate::transfer::digest::Digest;
use crate::transfer::plan::{ColumnMapping, TableMapping, TransferPlan};
use crate::transfer::target::TargetTable;

/// The reader of the target.
pub(crate) struct TargetReader<'a>(Snapshot<'a>);

/// The location of a row, for as long as the transaction lasts: the OID of the table or partition, the block, and the
/// position in the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLocation {
    table: u32,
    block: u32,
    offset: u16,
}

impl RowLocation {
    /// The size of the fields `tableoid` and `ctid` with their lengths, in bytes.
    const BYTES: usize = 4 + 4 + 4 + 6;

    /// Splits the last two fields, `tableoid` and `ctid`, off a row. Returns the other fields and the location.
    fn split(row: &[u8]) -> Option<(&[u8], RowLocation)> {
        let (bytes, location) = row.split_last_chunk::<{ RowLocation::BYTES }>()?;
        let table = u32::from_be_bytes(location[4..8].try_into().ok()?);
        let block = u32::from_be_bytes(location[12..16].try_into().ok()?);
        let offset = u16::from_be_bytes(location[16..].try_into().ok()?);
        Some((bytes, RowLocation { table, block, offset }))
    }
}

/// The rows of the buckets that differ.
#[derive(Default)]
pub(crate) struct SuspectRows {
    /// The digests of the rows, by key.
    pub(crate) digests: KeyDigests,
    /// The location of the first row of each key.
    pub(crate) places: HashMap<u128, RowLocation>,
}

impl<'a> TargetReader<'a> {
    /// Creates a reader that reads this snapshot.
    pub(crate) fn new(snapshot: Snapshot<'a>) -> TargetReader<'a> {
        TargetReader(snapshot)
    }

    /// Divides the tables of a plan into parts; returns also the size of all tables in bytes.
    ///
    /// # Errors
    /// Fails, as the other methods do, when the session is lost or a privilege is missing.
    pub(crate) async fn parts(&mut self, plan: &TransferPlan) -> Result<(Vec<TablePart<BlockRange>>, u64), Cause> {
        let tables: Vec<&TargetTable> = plan.mappings.iter().map(|mapping| &mapping.target).collect();
        let extents = self.0.extents(&tables).await.map_err(Cause::Database)?;
        let bytes = extents.iter().map(|extent| extent.bytes).sum();
        Ok((extents.iter().enumerate().flat_map(|(table, extent)| target_parts(table, *extent)).collect(), bytes))
    }

    /// Exports the snapshot for further sessions.
    pub(crate) async fn share(&mut self) -> Result<SharedSnapshot, DatabaseError> {
        SharedSnapshot::export(&mut self.0).await
    }

    /// Returns the digest of the rows of a part of a table, as the server sends them.
    pub(crate) async fn digest(
        &mut self,
        mapping: &TableMapping,
        blocks: BlockRange,
        meter: &RowMeter,
    ) -> Result<Digest, Cause> {
        let columns = mapping.written().into_iter().map(identifier);
        let (mut digest, mut ticks) = (Digest::default(), meter.ticks());
        let each = |row: CopyRow<'_>| {
            ticks.row(row.bytes().len());
            digest.add(row.bytes());
        };
        self.rows(mapping, columns.collect(), &blocks.condition(), each).await?;
        Ok(digest)
    }

    /// Reads all rows of a table in their canonical form.
    pub(crate) async fn scan(&mut self, mapping: &TableMapping, meter: &RowMeter) -> Result<Buckets, Cause> {
        let (mut keys, mut buckets) = (KeyFinder::for_table(mapping), Buckets::default());
        let columns = mapping.written().into_iter().map(identifier);
        let mut ticks = meter.ticks();
        let each = |row: CopyRow<'_>| {
            ticks.row(row.bytes().len());
            buckets.add(&keys.row(row.bytes()));
        };
        self.rows(mapping, columns.collect(), "", each).await?;
        Ok(buckets)
    }

    /// Returns the digests of the rows in these buckets, by key, and where the rows are.
    pub(crate) async fn find(
        &mut self,
        mapping: &TableMapping,
        suspects: &SuspectBuckets,
    ) -> Result<SuspectRows, Cause> {
        let (mut keys, mut suspect_rows) = (KeyFinder::for_table(mapping), SuspectRows::default());
        let columns = mapping.written().into_iter().map(identifier);
        let columns = columns.chain(["tableoid".into(), "ctid".into()]).collect();
        let each = |row: CopyRow<'_>| {
            let Some((bytes, location)) = RowLocation::split(row.bytes()) else { return };
            let keyed_row = keys.row(bytes);
            if suspects.has(keyed_row.key) {
                suspect_rows.digests.entry(keyed_row.key).or_default().add(keyed_row.normal);
                suspect_rows.places.entry(keyed_row.key).or_insert(location);
            }
        };
        self.rows(mapping, columns, "", each).await?;
        Ok(suspect_rows)
    }

    /// Reads the row at a location; `None` if there is none.
    pub(crate) async fn detail(
        &mut self,
        mapping: &TableMapping,
        location: RowLocation,
    ) -> Result<Option<RowDetail>, Cause> {
        let RowLocation { table, block, offset } = location;
        let condition = format!(" WHERE tableoid = {table} AND ctid = '({block},{offset})'");
        let columns: Vec<String> = mapping.written().into_iter().map(identifier).collect();
        // Fetches no more than is shown, but for one character, which shows that the value is longer.
        let text = |(column_mapping, field): (&ColumnMapping, &String)| {
            let text = mapping.target.columns[column_mapping.target].text(field);
            format!("pg_catalog.left({text}, {})", CHARACTERS + 1)
        };
        let texts = mapping.columns.iter().zip(&columns).map(text);
        let query = select(mapping, texts.collect(), &condition);
        let (mut keys, mut fields) = (KeyFinder::for_table(mapping), None);
        self.rows(mapping, columns, &condition, |row| fields = Some(keys.row(row.bytes()).fields())).await?;
        let texts = self.0.texts(query, mapping.columns.len()).await.map_err(Cause::Database)?;
        let values = mapping
            .columns
            .iter()
            .zip(texts)
            .map(|(column_mapping, text)| describe_value(column_mapping.cast.ty(), text));
        let values = values.collect();
        Ok(fields.map(|fields| RowDetail { values, fields }))
    }

    /// Ends the transaction.
    pub(crate) async fn end(self) {
        self.0.end().await;
    }

    /// Gives every row of a table to `each`; `condition` is the end of the query and may be empty.
    async fn rows(
        &mut self,
        mapping: &TableMapping,
        columns: Vec<String>,
        condition: &str,
        each: impl FnMut(CopyRow<'_>),
    ) -> Result<(), Cause> {
        let read: Result<u64, DatabaseError> = self.0.copy_out(&select(mapping, columns, condition), each).await;
        read.map(drop).map_err(Cause::Database)
    }
}

fn select(mapping: &TableMapping, columns: Vec<String>, condition: &str) -> String {
    format!("SELECT {} FROM {}{condition}", columns.join(", "), mapping.target.rows())
}
