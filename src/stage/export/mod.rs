//! Writes the rows of a database as JSON: bytes come from one of the two databases and go into a file or to standard
//! output, in constant memory.

mod file;
mod here;
mod lines;
mod there;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::database::postgres::load::{Snapshot, TargetTable};
use crate::database::sqlite::source::{Source, SourceTable};
use crate::error::{Cause, DumpError};
use crate::progress::telling;
use crate::report;
use crate::signal::Cancel;
use file::Partial;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub tables: usize,
    pub rows: u64,
}

/// Where the bytes go. Dropping it leaves nothing of a file.
pub enum Sink<'a> {
    File(Box<Partial>),
    Output(&'a Cancel),
}

impl<'a> Sink<'a> {
    /// Standard output for `-`.
    ///
    /// # Errors
    /// A file that is there already; one that cannot be written.
    pub fn open(name: &Path, cancel: &'a Cancel) -> Result<Sink<'a>, DumpError> {
        match name.as_os_str() == "-" {
            true => Ok(Sink::Output(cancel)),
            false => Partial::create(name).map(|file| Sink::File(Box::new(file))),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        match self {
            Sink::File(file) => file.write(bytes).map_err(Cause::Dump),
            Sink::Output(cancel) => report::bytes(bytes, cancel).await,
        }
    }

    fn finish(self) -> Result<(), Cause> {
        match self {
            Sink::File(file) => file.publish().map_err(Cause::Dump),
            Sink::Output(_) => Ok(()),
        }
    }
}

/// Writes these tables of a SQLite file, in this order.
///
/// # Errors
/// A side that cannot be read or written.
pub async fn sqlite(
    source: Source,
    tables: Vec<SourceTable>,
    mut sink: Sink<'_>,
    cancel: &Cancel,
) -> Result<Written, Cause> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut reading = here::begin(source, tables, Arc::clone(&stop));
    let passing_on = telling("exporting", async {
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
    mut sink: Sink<'_>,
    cancel: &Cancel,
) -> Result<Written, Cause> {
    let ended = telling("exporting", there::write(&mut snapshot, tables, &mut sink));
    let written = tokio::select! {
        ended = ended => ended?,
        reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
    };
    snapshot.end().await;
    sink.finish()?;
    Ok(written)
}
