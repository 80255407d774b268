//! Loads the rows of an export into a locked SQLite file.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::database::sqlite::bulk_load::{self as database, LoadError, LoadRequest, Loaded};
use crate::database::sqlite::source::SqliteSource;
use crate::database::sqlite::{Sqlite, staging::StagedRows};
use crate::database::{ApplyError, DatabaseErrorKind};
use crate::error::{Cause, TransferError};
use crate::progress::with_progress;
use crate::signal::Cancel;
use crate::stage::blocking;
use crate::transfer::import::ImportTable;
use crate::transfer::plan::TransferPlan;

/// The input of a load.
pub(crate) struct ImportRequest {
    /// The mapping from the export's tables to those of the file.
    pub(crate) plan: TransferPlan<ImportTable>,
    /// The longest wait for another writer.
    pub(crate) busy_timeout: Duration,
    /// The largest number of errors that are named.
    pub(crate) max_errors: usize,
}

/// Loads everything in one transaction. Returns the names of the export's tables and their numbers of rows.
///
/// # Errors
/// Fails when a table has rows already, or when rows or values do not fit; nothing is loaded then.
pub(crate) async fn load(
    locked: &Sqlite,
    staged: StagedRows,
    load: ImportRequest,
    cancel: &Cancel,
) -> Result<Vec<(String, u64)>, Cause> {
    let (path, timeout) = (locked.path().to_owned(), load.busy_timeout);
    let names: Vec<String> = load.plan.mappings.iter().map(|mapping| mapping.source.name.clone()).collect();
    // The lock is kept until everything is loaded or rolled back.
    let work = blocking::run_to_its_end(cancel, move |stop| run(staged.source, &load, &path, stop));
    let loaded = match with_progress("importing", work).await {
        (_, Some(reason)) => return Err(Cause::Stopped(reason)),
        (result, None) => result.map_err(load_cause)?,
    };
    if !locked.is_ours() {
        return Err(Cause::Transfer(TransferError::Uncommitted(ApplyError::LockLost)));
    }
    let rows = loaded.rows.clone();
    commit(loaded, timeout, cancel).await?;
    Ok(names.into_iter().zip(rows).collect())
}

/// Waits for readers to end, and commits. When a signal arrives, the commit is either done all the same or certainly
/// not done.
async fn commit(loaded: Loaded, timeout: Duration, cancel: &Cancel) -> Result<(), Cause> {
    let work = blocking::run_to_its_end(cancel, move |stop| loaded.commit(timeout, stop));
    match with_progress("waiting for readers to end", work).await {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(reason)) => Err(Cause::Stopped(reason)),
        (Err(fault), None) => Err(Cause::Transfer(TransferError::Uncommitted(ApplyError::Commit(fault)))),
    }
}

fn run(source: SqliteSource, load: &ImportRequest, path: &Path, stop: &AtomicBool) -> Result<Loaded, LoadError> {
    let job = LoadRequest {
        target: path,
        mappings: &load.plan.mappings,
        busy_timeout: load.busy_timeout,
        max_errors: load.max_errors,
        stop,
    };
    database::load(source, &job)
}

/// Returns the cause for an error of the load.
fn load_cause(error: LoadError) -> Cause {
    Cause::Transfer(match error {
        LoadError::Filled(tables) => TransferError::NotEmpty(tables),
        LoadError::Bad(messages) => TransferError::Unstorable(messages),
        LoadError::Violated(messages) => TransferError::Violated(messages),
        LoadError::Differs(messages) => TransferError::Differs(messages),
        // The definition of a foreign key fits no parent table.
        LoadError::Fault(fault) if fault.kind == DatabaseErrorKind::Statement => {
            TransferError::Refused { table: "the rows".into(), fault }
        }
        LoadError::Fault(fault) => return Cause::Database(fault),
    })
}
