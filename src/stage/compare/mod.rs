//! Compares every row of a SQLite file with the tables that they belong into. One look at both sides tells which tables
//! differ; for those, more looks tell which rows do.

mod here;
mod there;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use crate::database::postgres::load::Snapshot;
use crate::database::sqlite::source::Source;
use crate::error::{Cause, TransferError};
use crate::progress::{Meter, metered};
use crate::stage::transfer::difference;
use crate::transfer::keyed::{Suspects, differing};
use crate::transfer::plan::{Pair, Plan};
use here::Here;
use there::There;
use words::{Detail, Differing};

/// So many rows of a table are named at most.
const MOST: usize = 10;

/// What was compared, and was equal.
#[derive(Debug)]
pub struct Equal {
    pub tables: usize,
    pub rows: u64,
}

/// Compares table by table.
///
/// # Errors
/// Every table that differs, with its rows; a side that cannot be read.
pub async fn compare(snapshot: Snapshot<'_>, source: Source, plan: Arc<Plan>) -> Result<Equal, Cause> {
    let here = Here::new(source, Arc::clone(&plan));
    let mut there = There::new(snapshot);
    let mut equal = Equal { tables: 0, rows: 0 };
    let mut found = Vec::new();
    for (at, pair) in plan.pairs.iter().enumerate() {
        let meter = Meter::new(format!("comparing {}", pair.source.name), pair.source.rows);
        match metered(&meter, table(&here, &mut there, at, pair, &meter)).await? {
            Table::Equal(rows) => {
                tracing::info!(rows, "{} and {} are equal", pair.source.name, pair.target.quoted());
                equal.tables += 1;
                equal.rows += rows;
            }
            Table::Differs(lines) => found.extend(lines),
        }
    }
    there.end().await;
    // Only now is it certain that all tables were of one moment.
    here.confirm().await?;
    match found.is_empty() {
        true => Ok(equal),
        false => Err(Cause::Transfer(TransferError::Differs(found))),
    }
}

enum Table {
    /// So many rows.
    Equal(u64),
    /// What differs, a line each.
    Differs(Vec<String>),
}

async fn table(
    here: &Here,
    there: &mut There<'_>,
    at: usize,
    pair: &Pair,
    meter: &Meter,
) -> Result<Table, Cause> {
    let (read, buckets) = tokio::try_join!(here.look(at, MOST), there.look(pair, meter))?;
    let suspects = read.buckets.differing(&buckets, MOST);
    if suspects.is_empty() {
        return Ok(Table::Equal(buckets.total().rows()));
    }
    meter.becomes(format!("looking for the rows of {} that differ", pair.source.name));
    let mut lines = vec![difference(pair, &read.buckets.total(), &buckets.total())];
    lines.extend(read.unfit);
    lines.extend(rows(here, there, at, pair, suspects).await?);
    Ok(Table::Differs(lines))
}

/// A line for each of the rows that differ, the first of them.
async fn rows(
    here: &Here,
    there: &mut There<'_>,
    at: usize,
    pair: &Pair,
    suspects: Suspects,
) -> Result<Vec<String>, Cause> {
    let (ours, theirs) = tokio::try_join!(here.find(at, suspects.clone()), there.find(pair, &suspects))?;
    let keys = differing(&ours, &theirs.found, MOST);
    let wanted = keys.iter().filter(|(_, here, _)| here.rows() > 0).map(|(key, ..)| *key);
    let ours: HashMap<u128, Detail> = here.details(at, wanted.collect()).await?;
    let mut lines = Vec::new();
    for (key, here, in_target) in &keys {
        let row = match theirs.places.get(key) {
            Some(place) => there.detail(pair, *place).await?,
            None => None,
        };
        let counts = (here.rows(), in_target.rows());
        lines.push(Differing { pair, counts, here: ours.get(key), there: row.as_ref() }.to_string());
    }
    lines.sort();
    if lines.len() == MOST {
        lines.push(format!("{}: no more than {MOST} rows are named", pair.source.name));
    }
    Ok(lines)
}
