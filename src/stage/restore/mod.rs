//! Replaces the current database by a backup: restores the backup beside it, compares the result with the manifest, and
//! exchanges both. PostgreSQL can also restore into the current database (`in_place`).

mod archive;
mod in_place;
pub(crate) mod postgres;
pub(crate) mod sqlite;

pub(crate) use archive::BackupArchive;

use crate::clock;
use crate::database::row_counts::{RowCounts, differences};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::revision::{Applied, Version, plan};
use crate::stage::backup::Manifest;

fn failed(error: RestoreError) -> Failure {
    Failure::new(Stage::Restore, Cause::Restore(error))
}

/// Returns the time for a name: `20260112T093000Z`.
fn timestamp() -> String {
    clock::now_for_names()
}

/// Returns the differences between the restored content and the manifest, a line each.
fn compare(manifest: &Manifest, applied: &[Applied], rows: &RowCounts) -> Vec<String> {
    let mut mismatches: Vec<String> = revision_mismatch(manifest, applied).into_iter().collect();
    match &manifest.rows {
        Some(expected) => mismatches.extend(differences(expected, rows)),
        None => tracing::warn!("the manifest is of an earlier version: it has no numbers of rows to compare"),
    }
    mismatches
}

/// Returns a line if the history does not contain the revision of the manifest. The manifest names the newest revision
/// in the order of the graph. That need not be the greatest id of the history, and the history may have more rows: of
/// revisions that are half done, or of another image.
fn revision_mismatch(manifest: &Manifest, applied: &[Applied]) -> Option<String> {
    let expected = manifest.from_revision.as_deref()?;
    let found = plan::newest(applied).map_or("no revision", Version::as_str);
    let is_there = applied.iter().any(|row| row.id.as_str() == expected);
    (!is_there).then(|| format!("it is at {found} instead of {expected}"))
}
