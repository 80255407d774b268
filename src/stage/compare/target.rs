//! Reads the target of a comparison, in one transaction.

use std::collections::HashMap;

use super::report::{CHARACTERS, RowDetail, describe_value};
use crate::database::DatabaseError;
use crate::database::postgres::bulk_load::{CopyRow, Snapshot};
use crate::error::Cause;
use crate::progress::RowMeter;
use crate::sql::identifier;
use crate::transfer::bucketed::{Buckets, KeyDigests, KeyFinder, SuspectBuckets};
use crate::transfer::plan::{ColumnMapping, TableMapping};

/// The reader of the target.
pub struct TargetReader<'a>(Snapshot<'a>);

/// The location of a row, for as long as the transaction lasts: the OID of the table or partition, the block, and the
/// position in the block.
#[derive(Clone, Copy, Debug)]
pub struct RowLocation {
    table: u32,
    block: u32,
    offset: u16,
}

impl RowLocation {
    /// The size of the fields `tableoid` and `ctid` with their lengths, in bytes.
    const BYTES: usize = 4 + 4 + 4 + 6;

    /// Splits the last two fields, `tableoid` and `ctid`, off a row. Returns the other fields and the location.
    fn split(row: &[u8]) -> Option<(&[u8], RowLocation)> {
        let (bytes, place) = row.split_last_chunk::<{ RowLocation::BYTES }>()?;
        let table = u32::from_be_bytes(place[4..8].try_into().ok()?);
        let block = u32::from_be_bytes(place[12..16].try_into().ok()?);
        let offset = u16::from_be_bytes(place[16..].try_into().ok()?);
        Some((bytes, RowLocation { table, block, offset }))
    }
}

/// The rows of the buckets that differ.
#[derive(Default)]
pub struct SuspectRows {
    /// The digests of the rows, by key.
    pub found: KeyDigests,
    /// The location of the first row of each key.
    pub places: HashMap<u128, RowLocation>,
}

impl<'a> TargetReader<'a> {
    /// Creates a reader that reads this snapshot.
    pub fn new(snapshot: Snapshot<'a>) -> TargetReader<'a> {
        TargetReader(snapshot)
    }

    /// Reads all rows of a table.
    ///
    /// # Errors
    /// Fails, as the other methods do, when the session is lost or a privilege is missing.
    pub async fn scan(&mut self, pair: &TableMapping, meter: &RowMeter) -> Result<Buckets, Cause> {
        let (mut keys, mut buckets) = (KeyFinder::for_table(pair), Buckets::default());
        let columns = pair.written().into_iter().map(identifier);
        let mut ticks = meter.ticks();
        let each = |row: CopyRow<'_>| {
            ticks.row(row.bytes().len());
            buckets.add(&keys.row(row.bytes()));
        };
        self.rows(pair, columns.collect(), "", each).await?;
        Ok(buckets)
    }

    /// Returns the digests of the rows in these buckets, by key, and where the rows are.
    pub async fn find(&mut self, pair: &TableMapping, suspects: &SuspectBuckets) -> Result<SuspectRows, Cause> {
        let (mut keys, mut suspicious) = (KeyFinder::for_table(pair), SuspectRows::default());
        let columns = pair.written().into_iter().map(identifier);
        let columns = columns.chain(["tableoid".into(), "ctid".into()]).collect();
        let each = |row: CopyRow<'_>| {
            let Some((bytes, place)) = RowLocation::split(row.bytes()) else { return };
            let keyed = keys.row(bytes);
            if suspects.has(keyed.key) {
                suspicious.found.entry(keyed.key).or_default().add(keyed.normal);
                suspicious.places.entry(keyed.key).or_insert(place);
            }
        };
        self.rows(pair, columns, "", each).await?;
        Ok(suspicious)
    }

    /// Reads the row at a location; `None` if there is none.
    pub async fn detail(&mut self, pair: &TableMapping, place: RowLocation) -> Result<Option<RowDetail>, Cause> {
        let RowLocation { table, block, offset } = place;
        let condition = format!(" WHERE tableoid = {table} AND ctid = '({block},{offset})'");
        let columns: Vec<String> = pair.written().into_iter().map(identifier).collect();
        // Fetches no more than is shown, but for one character, which shows that the value is longer.
        let text = |(mapped, field): (&ColumnMapping, &String)| {
            let text = pair.target.columns[mapped.target].text(field);
            format!("pg_catalog.left({text}, {})", CHARACTERS + 1)
        };
        let texts = pair.columns.iter().zip(&columns).map(text);
        let query = select(pair, texts.collect(), &condition);
        let (mut keys, mut fields) = (KeyFinder::for_table(pair), None);
        self.rows(pair, columns, &condition, |row| fields = Some(keys.row(row.bytes()).fields())).await?;
        let texts = self.0.texts(query, pair.columns.len()).await.map_err(Cause::Database)?;
        let values = pair.columns.iter().zip(texts).map(|(mapped, text)| describe_value(mapped.cast.ty(), text));
        let values = values.collect();
        Ok(fields.map(|fields| RowDetail { values, fields }))
    }

    /// Ends the transaction.
    pub async fn end(self) {
        self.0.end().await;
    }

    /// Gives every row of a table to `each`; `rest` is the end of the query, such as a condition.
    async fn rows(
        &mut self,
        pair: &TableMapping,
        columns: Vec<String>,
        rest: &str,
        each: impl FnMut(CopyRow<'_>),
    ) -> Result<(), Cause> {
        let read: Result<u64, DatabaseError> = self.0.copy_out(&select(pair, columns, rest), each).await;
        read.map(drop).map_err(Cause::Database)
    }
}

fn select(pair: &TableMapping, columns: Vec<String>, rest: &str) -> String {
    format!("SELECT {} FROM {}{rest}", columns.join(", "), pair.target.rows())
}
