//! The target, read in one transaction.

use std::collections::HashMap;

use super::words::{CHARACTERS, Detail, told};
use crate::database::Fault;
use crate::database::postgres::load::{Row, Snapshot};
use crate::error::Cause;
use crate::progress::Meter;
use crate::revision::render::identifier;
use crate::transfer::keyed::{Buckets, Found, Keys, Suspects};
use crate::transfer::plan::{Mapped, Pair};

/// The target.
pub struct There<'a>(Snapshot<'a>);

/// Where a row is, for as long as the transaction lasts: the table or partition, the block and the place in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    table: u32,
    block: u32,
    offset: u16,
}

impl Place {
    /// So many bytes have the fields of `tableoid` and `ctid`, with their lengths.
    const BYTES: usize = 4 + 4 + 4 + 6;

    /// Cuts off the last two fields of a row.
    fn split(row: &[u8]) -> Option<(&[u8], Place)> {
        let (bytes, place) = row.split_last_chunk::<{ Place::BYTES }>()?;
        let table = u32::from_be_bytes(place[4..8].try_into().ok()?);
        let block = u32::from_be_bytes(place[12..16].try_into().ok()?);
        let offset = u16::from_be_bytes(place[16..].try_into().ok()?);
        Some((bytes, Place { table, block, offset }))
    }
}

/// Suspicious rows.
#[derive(Default)]
pub struct Suspicious {
    pub found: Found,
    /// The first row of each key.
    pub places: HashMap<u128, Place>,
}

impl<'a> There<'a> {
    pub fn new(snapshot: Snapshot<'a>) -> There<'a> {
        There(snapshot)
    }

    /// All rows of a table.
    ///
    /// # Errors
    /// As the others: a lost session, a missing privilege.
    pub async fn look(&mut self, pair: &Pair, meter: &Meter) -> Result<Buckets, Cause> {
        let (mut keys, mut buckets) = (Keys::of(pair), Buckets::default());
        let columns = pair.written().into_iter().map(identifier);
        let mut ticks = meter.ticks();
        let each = |row: Row<'_>| {
            ticks.row(row.bytes().len());
            buckets.add(&keys.row(row.bytes()));
        };
        self.rows(pair, columns.collect(), "", each).await?;
        Ok(buckets)
    }

    /// What the rows of these buckets come to, by their keys, and where they are.
    pub async fn find(&mut self, pair: &Pair, suspects: &Suspects) -> Result<Suspicious, Cause> {
        let (mut keys, mut suspicious) = (Keys::of(pair), Suspicious::default());
        let columns = pair.written().into_iter().map(identifier);
        let columns = columns.chain(["tableoid".into(), "ctid".into()]).collect();
        let each = |row: Row<'_>| {
            let Some((bytes, place)) = Place::split(row.bytes()) else { return };
            let keyed = keys.row(bytes);
            if suspects.has(keyed.key) {
                suspicious.found.entry(keyed.key).or_default().add(keyed.normal);
                suspicious.places.entry(keyed.key).or_insert(place);
            }
        };
        self.rows(pair, columns, "", each).await?;
        Ok(suspicious)
    }

    /// One row.
    pub async fn detail(&mut self, pair: &Pair, place: Place) -> Result<Option<Detail>, Cause> {
        let Place { table, block, offset } = place;
        let there = format!(" WHERE tableoid = {table} AND ctid = '({block},{offset})'");
        let columns: Vec<String> = pair.written().into_iter().map(identifier).collect();
        // More than is shown is not fetched.
        let text = |(mapped, field): (&Mapped, &String)| {
            let text = pair.target.columns[mapped.target].text(field);
            format!("pg_catalog.left({text}, {})", CHARACTERS + 1)
        };
        let texts = pair.columns.iter().zip(&columns).map(text);
        let query = select(pair, texts.collect(), &there);
        let (mut keys, mut fields) = (Keys::of(pair), None);
        self.rows(pair, columns, &there, |row| fields = Some(keys.row(row.bytes()).fields())).await?;
        let texts = self.0.texts(query, pair.columns.len()).await.map_err(Cause::Database)?;
        let values = pair.columns.iter().zip(texts).map(|(mapped, text)| told(mapped.cast.ty(), text));
        let values = values.collect();
        Ok(fields.map(|fields| Detail { values, fields }))
    }

    /// Ends the transaction.
    pub async fn end(self) {
        self.0.end().await;
    }

    async fn rows(
        &mut self,
        pair: &Pair,
        columns: Vec<String>,
        rest: &str,
        each: impl FnMut(Row<'_>),
    ) -> Result<(), Cause> {
        let read: Result<u64, Fault> = self.0.copy_out(&select(pair, columns, rest), each).await;
        read.map(drop).map_err(Cause::Database)
    }
}

fn select(pair: &Pair, columns: Vec<String>, rest: &str) -> String {
    format!("SELECT {} FROM {}{rest}", columns.join(", "), pair.target.rows())
}
