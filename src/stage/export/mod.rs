//! Writes the rows of a SQLite or PostgreSQL database as JSON to a file or to standard output, in constant memory.

mod file;
mod lines;
mod source;
mod target;

use std::path::Path;

use crate::database::postgres::bulk_load::Snapshot;
use crate::database::sqlite::source::SqliteSource;
use crate::error::{Cause, ExportError};
use crate::progress::with_progress;
use crate::report;
use crate::signal::Cancel;
use crate::transfer::source::SourceTable;
use crate::transfer::target::TargetTable;
use file::ExportFile;

/// The amount of data that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportSummary {
    /// The number of tables.
    pub(crate) tables: usize,
    /// The number of rows in all tables.
    pub(crate) rows: u64,
}

/// The destination of an export. Dropping it removes an unfinished file.
pub(crate) enum ExportSink<'a> {
    /// A file, which gets its name at the end.
    File(Box<ExportFile>),
    /// Standard output; the cancellation ends a wait for its reader.
    Output(&'a Cancel),
}

impl<'a> ExportSink<'a> {
    /// Opens the file of this name, or standard output for `-`.
    ///
    /// # Errors
    /// Fails when the file exists already or cannot be written.
    pub(crate) fn open(name: &Path, cancel: &'a Cancel) -> Result<ExportSink<'a>, ExportError> {
        match name.as_os_str() == "-" {
            true => Ok(ExportSink::Output(cancel)),
            false => ExportFile::create(name).map(|file| ExportSink::File(Box::new(file))),
        }
    }

    /// Writes bytes.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        match self {
            ExportSink::File(file) => file.write(bytes).map_err(Cause::Export),
            ExportSink::Output(cancel) => report::bytes(bytes, cancel).await,
        }
    }

    /// Gives a file its name.
    fn finish(self) -> Result<(), Cause> {
        match self {
            ExportSink::File(file) => file.publish().map_err(Cause::Export),
            ExportSink::Output(_) => Ok(()),
        }
    }
}

/// Writes these tables of a SQLite file, in this order.
///
/// # Errors
/// Fails when one of the two sides cannot be read or written, or when a signal arrives.
pub(crate) async fn sqlite(
    source: SqliteSource,
    tables: Vec<SourceTable>,
    mut sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Cause> {
    let mut reader = source::begin(source, tables);
    let writing = with_progress("exporting", async {
        while let Some(bytes) = reader.chunks.recv().await {
            sink.write(&bytes).await?;
        }
        Ok(())
    });
    let write_result = tokio::select! {
        write_result = writing => write_result,
        reason = cancel.cancelled() => Err(Cause::Stopped(reason)),
    };
    if write_result.is_err() {
        reader.stop();
    }
    // Waits for the reader in every case, so that it logs nothing after the end.
    let read_result = reader.ended().await;
    write_result?;
    let summary = read_result?;
    sink.finish()?;
    Ok(summary)
}

/// Writes these tables of PostgreSQL, in this order.
///
/// # Errors
/// Fails as [`sqlite`] does.
pub(crate) async fn postgres(
    mut snapshot: Snapshot<'_>,
    tables: &[TargetTable],
    mut sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Cause> {
    let result = with_progress("exporting", target::write(&mut snapshot, tables, &mut sink));
    let summary = tokio::select! {
        result = result => result?,
        reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
    };
    snapshot.end().await;
    sink.finish()?;
    Ok(summary)
}
