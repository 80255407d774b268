//! Compares every row of a SQLite file with the PostgreSQL tables that the rows belong into. One scan of both sides
//! finds the tables that differ; for those, further scans find the rows that differ.

mod report;
mod source;
mod target;

use std::collections::HashMap;
use std::sync::Arc;

use crate::database::postgres::bulk_load::Snapshot;
use crate::database::sqlite::source::SqliteSource;
use crate::error::{Cause, TransferError};
use crate::progress::{RowMeter, metered};
use crate::report::ProgressLine;
use crate::stage::transfer::difference;
use crate::transfer::bucketed::{SuspectBuckets, differing};
use crate::transfer::plan::{TableMapping, TransferPlan};
use report::{DifferingRows, RowDetail};
use source::SourceReader;
use target::TargetReader;

/// The largest number of rows that are named for a table.
const MOST: usize = 10;

/// The amount of data that was compared and found equal.
#[derive(Debug)]
pub struct ComparisonSummary {
    /// The number of tables.
    pub tables: usize,
    /// The number of rows in all tables.
    pub rows: u64,
}

/// Compares table by table.
///
/// # Errors
/// Fails with every table that differs and its rows, or when a side cannot be read.
pub async fn compare(
    snapshot: Snapshot<'_>,
    source: SqliteSource,
    plan: Arc<TransferPlan>,
    progress: &ProgressLine,
) -> Result<ComparisonSummary, Cause> {
    let source = SourceReader::new(source, Arc::clone(&plan));
    let mut target = TargetReader::new(snapshot);
    let mut equal = ComparisonSummary { tables: 0, rows: 0 };
    let mut found = Vec::new();
    for (at, pair) in plan.pairs.iter().enumerate() {
        let meter = RowMeter::new(progress, format!("comparing {}", pair.source.name), pair.source.rows);
        match metered(&meter, table(&source, &mut target, at, pair, &meter)).await? {
            ComparedTable::Equal(rows) => {
                tracing::info!(rows, "{} and {} are equal", pair.source.name, pair.target.quoted());
                equal.tables += 1;
                equal.rows += rows;
            }
            ComparedTable::Differs(lines) => found.extend(lines),
        }
    }
    target.end().await;
    // Only now is it certain that all tables were read in one state of the file.
    source.confirm().await?;
    match found.is_empty() {
        true => Ok(equal),
        false => Err(Cause::Transfer(TransferError::Differs(found))),
    }
}

/// The result of comparing a table.
enum ComparedTable {
    /// The number of rows.
    Equal(u64),
    /// The differences, a line each.
    Differs(Vec<String>),
}

/// Compares the table at position `at` of the plan.
async fn table(
    source: &SourceReader,
    target: &mut TargetReader<'_>,
    at: usize,
    pair: &TableMapping,
    meter: &RowMeter,
) -> Result<ComparedTable, Cause> {
    let (read, buckets) = tokio::try_join!(source.scan(at, MOST), target.scan(pair, meter))?;
    let suspects = read.buckets.differing(&buckets, MOST);
    if suspects.is_empty() {
        return Ok(ComparedTable::Equal(buckets.total().rows()));
    }
    meter.becomes(format!("looking for the rows of {} that differ", pair.source.name));
    let mut lines = vec![difference(pair, &read.buckets.total(), &buckets.total())];
    lines.extend(read.unfit);
    lines.extend(rows(source, target, at, pair, suspects).await?);
    Ok(ComparedTable::Differs(lines))
}

/// Returns a line for each row that differs, for the first [`MOST`] of them.
async fn rows(
    source: &SourceReader,
    target: &mut TargetReader<'_>,
    at: usize,
    pair: &TableMapping,
    suspects: SuspectBuckets,
) -> Result<Vec<String>, Cause> {
    let (ours, theirs) = tokio::try_join!(source.find(at, suspects.clone()), target.find(pair, &suspects))?;
    let keys = differing(&ours, &theirs.found, MOST);
    let wanted = keys.iter().filter(|(_, in_source, _)| in_source.rows() > 0).map(|(key, ..)| *key);
    let ours: HashMap<u128, RowDetail> = source.details(at, wanted.collect()).await?;
    let mut lines = Vec::new();
    for (key, in_source, in_target) in &keys {
        let row = match theirs.places.get(key) {
            Some(place) => target.detail(pair, *place).await?,
            None => None,
        };
        let counts = (in_source.rows(), in_target.rows());
        lines.push(DifferingRows { pair, counts, source: ours.get(key), target: row.as_ref() }.to_string());
    }
    lines.sort();
    if lines.len() == MOST {
        lines.push(format!("{}: no more than {MOST} rows are named", pair.source.name));
    }
    Ok(lines)
}
