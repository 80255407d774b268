//! Puts a backup in the place of what is there: beside it first, compared with its manifest, then exchanged.

mod archive;
pub mod postgres;
pub mod sqlite;

pub use archive::Archive;

use crate::database::rows::{Rows, differences};
use crate::error::{Cause, Failure, RestoreError, Stage};
use crate::revision::Applied;
use crate::stage::backup::Manifest;

fn failed(error: RestoreError) -> Failure {
    Failure::new(Stage::Restore, Cause::Restore(error))
}

/// The newest revision of a history.
fn newest(applied: &[Applied]) -> Option<String> {
    applied.iter().map(|row| &row.id).max().map(ToString::to_string)
}

/// What is not as the manifest says.
fn compare(manifest: &Manifest, applied: &[Applied], rows: &Rows) -> Vec<String> {
    let at = |revision: Option<&str>| revision.unwrap_or("no revision").to_owned();
    let (expected, found) = (at(manifest.from_revision.as_deref()), at(newest(applied).as_deref()));
    let mut wrong: Vec<String> =
        (expected != found).then(|| format!("it is at {found} instead of {expected}")).into_iter().collect();
    match &manifest.rows {
        Some(expected) => wrong.extend(differences(expected, rows)),
        None => tracing::warn!("the manifest is of an earlier version: it has no numbers of rows to compare"),
    }
    wrong
}
