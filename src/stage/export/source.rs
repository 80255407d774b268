//! Reads the rows of a SQLite file for an export, on a thread of its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::ExportSummary;
use super::lines::LineFormat;
use crate::database::DatabaseError;
use crate::database::sqlite::source::SqliteSource;
use crate::error::{Cause, TransferError};
use crate::stage::blocking::Running;
use crate::transfer::json_export::{text, value};
use crate::transfer::source::{ColumnVisibility, SourceTable};

/// The number of bytes that are collected before they are handed over.
const CHUNK_BYTES: usize = 128 * 1024;
/// The largest number of chunks that wait to be written.
const QUEUE_LENGTH: usize = 8;

/// A running reader.
pub(crate) struct ExportReader {
    /// The bytes of the file, in order.
    pub(crate) chunks: Receiver<Vec<u8>>,
    thread: Running<Result<ExportSummary, Option<DatabaseError>>>,
}

impl ExportReader {
    /// Tells the reader to stop.
    pub(crate) fn stop(&self) {
        self.thread.stop();
    }

    /// Waits for the end of the reader, and returns its result. Chunks that were not received are dropped.
    pub(crate) async fn ended(mut self) -> Result<ExportSummary, Cause> {
        self.chunks.close();
        match self.thread.ended().await {
            Ok(summary) => Ok(summary),
            Err(Some(fault)) => Err(Cause::Transfer(TransferError::Source(fault))),
            Err(None) => Err(Cause::Internal("the reader ended early".into())),
        }
    }
}

/// Starts the reader.
pub(crate) fn begin(source: SqliteSource, tables: Vec<SourceTable>) -> ExportReader {
    let (sender, chunks) = channel(QUEUE_LENGTH);
    let thread = Running::start(Arc::default(), move |stop| read(&source, &tables, &sender, stop));
    ExportReader { chunks, thread }
}

/// Reads the tables and sends their bytes. The error is `None` when nobody receives them any more.
fn read(
    source: &SqliteSource,
    tables: &[SourceTable],
    sender: &Sender<Vec<u8>>,
    stop: &AtomicBool,
) -> Result<ExportSummary, Option<DatabaseError>> {
    let mut out = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
    let mut lines = LineFormat::new(&mut out);
    let mut summary = ExportSummary::default();
    for table in tables {
        // Generated columns are left out: an import generates them again.
        let columns: Vec<usize> =
            (0..table.columns.len()).filter(|&index| table.columns[index].hidden == ColumnVisibility::No).collect();
        lines.begin(&table.name, columns.iter().map(|&index| &*table.columns[index].name), &mut out);
        let read = source.rows(table, &columns, stop, |row| {
            lines.row(&mut out, |index, out| value(row.value(index), out));
            if out.len() < CHUNK_BYTES {
                return ControlFlow::Continue(());
            }
            let next = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
            match sender.blocking_send(std::mem::replace(&mut out, next)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        if let ControlFlow::Break(()) = read.map_err(Some)? {
            return Err(None);
        }
        let rows = lines.end(&mut out);
        tracing::info!(rows, "exported {}", table.name);
        summary.tables += 1;
        summary.rows += rows;
    }
    sequences(tables, &mut lines, &mut out);
    LineFormat::finish(&mut out);
    // Only now is it certain that all tables were read in one state of the file.
    source.confirm().map_err(Some)?;
    sender.blocking_send(out).map_err(|_| None)?;
    Ok(summary)
}

/// Writes the high-water marks of AUTOINCREMENT, under the name and with the columns that SQLite has for them.
fn sequences(tables: &[SourceTable], lines: &mut LineFormat, out: &mut Vec<u8>) {
    let sequence_values: Vec<(&str, i64)> =
        tables.iter().filter_map(|table| Some((&*table.name, table.sequence?))).collect();
    if sequence_values.is_empty() {
        return;
    }
    lines.begin("sqlite_sequence", ["name", "seq"].into_iter(), out);
    for (name, value) in sequence_values {
        lines.row(out, |index, out| match index {
            0 => text(name, out),
            _ => out.extend_from_slice(value.to_string().as_bytes()),
        });
    }
    lines.end(out);
}
