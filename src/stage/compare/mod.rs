//! Compares every row of a SQLite file with the PostgreSQL tables that the rows belong into.
//!
//! One scan of both sides, by several sessions and connections, finds most tables that are equal: the server sends what
//! it would send after a transfer. Values that are equal in another form (1.5 and 1.50, JSON text) need a second scan,
//! of their canonical form; it finds the tables that differ, and for those, further scans find the rows that differ.

mod digests;
mod parts;
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
pub(crate) use parts::PART_BYTES;
use report::{DifferingRows, RowDetail};
use source::SourceReader;
use target::TargetReader;

/// The largest number of rows that are named for a table.
const MAX_ROWS: usize = 10;

/// The amount of data that was compared and found equal.
#[derive(Debug)]
pub(crate) struct ComparisonSummary {
    /// The number of tables.
    pub(crate) tables: usize,
    /// The number of rows in all tables.
    pub(crate) rows: u64,
}

/// Compares all tables. `sources` read the same state of the file, and at most this number of sessions the snapshot.
///
/// # Errors
/// Fails with every table that differs and its rows, or when a side cannot be read.
pub(crate) async fn compare(
    snapshot: Snapshot<'_>,
    sources: Vec<SqliteSource>,
    sessions: usize,
    plan: Arc<TransferPlan>,
    progress: &ProgressLine,
) -> Result<ComparisonSummary, Cause> {
    let sources: Vec<SourceReader> =
        sources.into_iter().map(|source| SourceReader::new(source, Arc::clone(&plan))).collect();
    let mut target = TargetReader::new(snapshot);
    let (equal_rows, reported) = digests::compare(&sources, &mut target, sessions, &plan, progress).await?;
    let source = sources.into_iter().next().expect("one source at least");
    let mut equal = ComparisonSummary { tables: 0, rows: 0 };
    let mut differences = Vec::new();
    for (index, (mapping, equal_rows)) in plan.mappings.iter().zip(equal_rows).enumerate() {
        let compared = match equal_rows {
            Some(rows) => ComparedTable::Equal(rows),
            None => {
                let activity = format!("looking for the rows of {} that differ", mapping.source.name);
                let meter = RowMeter::new(progress, activity, mapping.source.rows);
                metered(&meter, compare_table(&source, &mut target, index, mapping, &meter)).await?
            }
        };
        match compared {
            ComparedTable::Equal(rows) => {
                if index >= reported {
                    tracing::info!(rows, "{} and {} are equal", mapping.source.name, mapping.target.quoted());
                }
                equal.tables += 1;
                equal.rows += rows;
            }
            ComparedTable::Differs(lines) => differences.extend(lines),
        }
    }
    target.end().await;
    // Only now is it certain that all tables were read in one state of the file.
    source.confirm().await?;
    match differences.is_empty() {
        true => Ok(equal),
        false => Err(Cause::Transfer(TransferError::Differs(differences))),
    }
}

/// The result of comparing a table.
enum ComparedTable {
    /// The number of rows.
    Equal(u64),
    /// The differences, a line each.
    Differs(Vec<String>),
}

/// Compares the canonical form of the rows of the table at position `index` of the plan.
async fn compare_table(
    source: &SourceReader,
    target: &mut TargetReader<'_>,
    index: usize,
    mapping: &TableMapping,
    meter: &RowMeter,
) -> Result<ComparedTable, Cause> {
    let (scan, buckets) = tokio::try_join!(source.scan(index, MAX_ROWS), target.scan(mapping, meter))?;
    let suspects = scan.buckets.differing(&buckets, MAX_ROWS);
    if suspects.is_empty() {
        return Ok(ComparedTable::Equal(buckets.total().rows()));
    }
    let mut lines = vec![difference(mapping, &scan.buckets.total(), &buckets.total())];
    lines.extend(scan.unfit);
    lines.extend(describe_rows(source, target, index, mapping, suspects).await?);
    Ok(ComparedTable::Differs(lines))
}

/// Returns a line for each row that differs, for the first [`MAX_ROWS`] of them.
async fn describe_rows(
    source: &SourceReader,
    target: &mut TargetReader<'_>,
    index: usize,
    mapping: &TableMapping,
    suspects: SuspectBuckets,
) -> Result<Vec<String>, Cause> {
    let (source_rows, target_rows) =
        tokio::try_join!(source.find(index, suspects.clone()), target.find(mapping, &suspects))?;
    let keys = differing(&source_rows, &target_rows.digests, MAX_ROWS);
    let wanted = keys.iter().filter(|(_, in_source, _)| in_source.rows() > 0).map(|(key, ..)| *key);
    let source_details: HashMap<u128, RowDetail> = source.details(index, wanted.collect()).await?;
    let mut lines = Vec::new();
    for (key, in_source, in_target) in &keys {
        let row = match target_rows.places.get(key) {
            Some(location) => target.detail(mapping, *location).await?,
            None => None,
        };
        let counts = (in_source.rows(), in_target.rows());
        lines
            .push(DifferingRows { mapping, counts, source: source_details.get(key), target: row.as_ref() }.to_string());
    }
    lines.sort();
    if lines.len() == MAX_ROWS {
        lines.push(format!("{}: no more than {MAX_ROWS} rows are named", mapping.source.name));
    }
    Ok(lines)
}
