//! Writes the rows of a database as JSON: bytes come from one of the two databases and go into a file or to standard
//! output, in constant memory.

mod file;
mod lines;
mod source;
mod target;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::database::postgres::bulk_load::{Snapshot, TargetTable};
use crate::database::sqlite::source::{SourceTable, SqliteSource};
use crate::error::{Cause, ExportError};
use crate::progress::with_progress;
use crate::report;
use crate::signal::Cancel;
use file::PartialFile;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    pub tables: usize,
    pub rows: u64,
}

/// Where the bytes go. Dropping it leaves nothing of a file.
pub enum ExportSink<'a> {
    File(Box<PartialFile>),
    Output(&'a Cancel),
}

impl<'a> ExportSink<'a> {
    /// Standard output for `-`.
    ///
    /// # Errors
    /// A file that is there already; one that cannot be written.
    pub fn open(name: &Path, cancel: &'a Cancel) -> Result<ExportSink<'a>, ExportError> {
        match name.as_os_str() == "-" {
            true => Ok(ExportSink::Output(cancel)),
            false => PartialFile::create(name).map(|file| ExportSink::File(Box::new(file))),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        match self {
            ExportSink::File(file) => file.write(bytes).map_err(Cause::Dump),
            ExportSink::Output(cancel) => report::bytes(bytes, cancel).await,
        }
    }

    fn finish(self) -> Result<(), Cause> {
        match self {
            ExportSink::File(file) => file.publish().map_err(Cause::Dump),
            ExportSink::Output(_) => Ok(()),
        }
    }
}

/// Writes these tables of a SQLite file, in this order.
///
/// # Errors
/// A side that cannot be read or written.
pub async fn sqlite(
    source: SqliteSource,
    tables: Vec<SourceTable>,
    mut sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Cause> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut reading = source::begin(source, tables, Arc::clone(&stop));
    let passing_on = with_progress("exporting", async {
        while let Some(bytes) = reading.chunks.recv().await {
            sink.write(&bytes).await?;
        }
        Ok(())
    });
    let passed_on = tokio::select! {
        passed_on = passing_on => passed_on,
        reason = cancel.cancelled() => Err(Cause::Stopped(reason)),
    };
    if passed_on.is_err() {
        stop.store(true, Ordering::Relaxed);
    }
    // Whatever came of it, the reader says nothing more behind its end.
    let ended = reading.ended().await;
    passed_on?;
    let written = ended?;
    sink.finish()?;
    Ok(written)
}

/// Writes these tables of PostgreSQL, in this order.
///
/// # Errors
/// As [`sqlite`].
pub async fn postgres(
    mut snapshot: Snapshot<'_>,
    tables: &[TargetTable],
    mut sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Cause> {
    let ended = with_progress("exporting", target::write(&mut snapshot, tables, &mut sink));
    let written = tokio::select! {
        ended = ended => ended?,
        reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
    };
    snapshot.end().await;
    sink.finish()?;
    Ok(written)
}
