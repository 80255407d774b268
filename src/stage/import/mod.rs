//! Reads the rows of an export into a temporary database, from which they are loaded like those of a SQLite file.

mod sqlite;

use std::path::Path;

use crate::database::sqlite::staging::{self, StagedRows, StagingError};
use crate::error::{Cause, ExportError};
use crate::progress::with_progress;
use crate::safe_file;
use crate::signal::Cancel;
use crate::stage::blocking;
use crate::transfer::json_export::ReadError;
use crate::transfer::plan::{PlanColumn, PlanTarget, matching};
use crate::transfer::source::{ColumnVisibility, SkipReason, SkippedObject, SourceContents};
pub(crate) use sqlite::{ImportRequest, load};

/// Reads the whole file.
///
/// # Errors
/// Fails when the file is not an export or cannot be read, when there is no room for the temporary database, or when a
/// signal arrives.
pub(crate) async fn read(path: &Path, cancel: &Cancel) -> Result<StagedRows, Cause> {
    let name = path.to_owned();
    // A signal does not wait for the file, which may be a pipe to which nobody writes.
    let reading =
        blocking::run(move |stop| staging::stage(safe_file::open_stream(&name).map_err(ReadError::Io)?, stop));
    let activity = format!("reading {}", path.display());
    let staged = tokio::select! {
        read = with_progress(&activity, reading) => read,
        reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
    };
    staged.map_err(|error| match error {
        StagingError::Unread(ReadError::Io(error)) => {
            Cause::Export(ExportError::Unread { path: path.to_owned(), error })
        }
        StagingError::Unread(ReadError::Malformed { place, what: message }) => {
            Cause::Export(ExportError::Malformed(format!("{}:{place}: {message}", path.display())))
        }
        StagingError::Fault(fault) => Cause::Export(ExportError::Staging(fault)),
        StagingError::Stopped => Cause::Internal("the reader was stopped by nobody".into()),
    })
}

/// Returns the tables and columns that are to be loaded into these targets. A table without rows gets the columns of
/// its target; columns that the target generates are left to it.
///
/// # Errors
/// Fails with the error of the temporary database.
pub(crate) fn contents<T: PlanTarget>(staged: &StagedRows, targets: &[T]) -> Result<SourceContents, ExportError> {
    let find = |table: &str| matching(table, targets.iter().map(T::name)).ok();
    for name in &staged.internal {
        tracing::info!("left alone: {name}, {}", SkipReason::Internal);
    }
    let mut others = Vec::new();
    for table in &staged.empty {
        let Some(target) = find(table) else {
            others.push(SkippedObject { name: table.clone(), reason: SkipReason::Empty });
            continue;
        };
        let own_columns = targets[target].columns().iter().filter(|column| !column.is_generated());
        let columns: Vec<String> = own_columns.map(|column| column.name().to_owned()).collect();
        if !columns.is_empty() {
            staged.add(table, &columns).map_err(ExportError::Staging)?;
        }
    }
    let mut contents = staged.contents().map_err(ExportError::Staging)?;
    contents.others.extend(others);
    for table in &mut contents.tables {
        let Some(target) = find(&table.name) else { continue };
        let target_columns = targets[target].columns();
        for column in &mut table.columns {
            let match_result = matching(&column.name, target_columns.iter().map(T::Column::name));
            if match_result.is_ok_and(|index| target_columns[index].is_generated()) {
                tracing::info!("left alone: {}.{}, the target generates it", table.name, column.name);
                column.hidden = ColumnVisibility::GeneratedStored;
            }
        }
    }
    Ok(contents)
}
