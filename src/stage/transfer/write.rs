//! The writing side of a transfer: sends the encoded rows to the server.

use std::collections::BTreeSet;

use super::read::{ReaderHandle, ReaderMessage};
use crate::database::postgres::bulk_load::BulkLoad;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::error::{Cause, TransferError};
use crate::progress::{RowMeter, metered};
use crate::report::ProgressLine;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{TableMapping, TransferPlan};

/// The result for all tables.
pub(crate) struct SentRows {
    /// The digest of each table that was read to its end.
    pub(crate) digests: Vec<Digest>,
    /// Values that do not fit, described. Unless their rows are skipped, not all rows were sent.
    pub(crate) bad: Vec<String>,
    /// The rules that would accept some of these values, in the form that `--cast` takes.
    pub(crate) casts: BTreeSet<String>,
    /// The row that the server has refused. Nothing was sent after its table, but everything was read.
    pub(crate) refused: Option<TransferError>,
}

/// The treatment of the rest after a bad value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnBadValue {
    /// Nothing more is sent after the first bad value or refused row, but everything is read.
    Read,
    /// Everything else is sent.
    Send,
}

/// Sends the rows that the reader encodes.
///
/// # Errors
/// Fails when one of the two sides fails, or when the server refuses a row while rows with bad values are skipped.
pub(crate) async fn copy(
    load: &mut BulkLoad<'_>,
    plan: &TransferPlan,
    reader: &mut ReaderHandle,
    on_bad_value: OnBadValue,
    progress: &ProgressLine,
) -> Result<SentRows, Cause> {
    let mut sent = SentRows { digests: Vec::new(), bad: Vec::new(), casts: BTreeSet::new(), refused: None };
    for mapping in &plan.mappings {
        let meter = RowMeter::new(progress, format!("copying {}", mapping.source.name), mapping.source.rows);
        let mut writer = Writer { reader, meter: &meter, sent: &mut sent, on_bad_value };
        let continues = writer.continues();
        let digest = match continues {
            true => metered(&meter, writer.send(load, mapping)).await?,
            false => metered(&meter, writer.finish_table()).await?,
        };
        let Some(digest) = digest else { return Ok(sent) };
        if on_bad_value == OnBadValue::Send || sent.is_clean() {
            let (name, target, duration_ms) = (&mapping.source.name, mapping.target.quoted(), meter.duration_ms());
            tracing::info!(rows = digest.rows(), duration_ms, "copied {name} to {target}");
        }
        sent.digests.push(digest);
    }
    Ok(sent)
}

impl SentRows {
    /// Returns whether all rows so far may stay.
    fn is_clean(&self) -> bool {
        self.bad.is_empty() && self.refused.is_none()
    }
}

struct Writer<'a> {
    reader: &'a mut ReaderHandle,
    meter: &'a RowMeter,
    sent: &'a mut SentRows,
    on_bad_value: OnBadValue,
}

impl Writer<'_> {
    /// Returns whether further rows are sent.
    fn continues(&self) -> bool {
        self.on_bad_value == OnBadValue::Send || self.sent.is_clean()
    }

    /// Records a value that does not fit.
    fn record_bad_value(&mut self, message: String, cast: Option<String>) {
        self.sent.bad.push(message);
        self.sent.casts.extend(cast);
    }

    /// Sends one table and returns its digest; `None` when the reader has ended early.
    async fn send(&mut self, load: &mut BulkLoad<'_>, mapping: &TableMapping) -> Result<Option<Digest>, Cause> {
        let mut copy = load.copy_in(&mapping.target, &mapping.written()).await.map_err(Cause::Database)?;
        loop {
            match self.reader.messages.recv().await {
                Some(ReaderMessage::Rows { bytes, rows }) => {
                    copy.send(&bytes).await.map_err(Cause::Database)?;
                    self.meter.add(rows, bytes.len());
                }
                Some(ReaderMessage::Table(digest)) => {
                    match copy.finish().await.map_err(|fault| refused(mapping, fault)) {
                        Ok(rows) => debug_assert_eq!(rows, digest.rows()),
                        Err(Cause::Transfer(error)) if self.on_bad_value == OnBadValue::Read => {
                            self.sent.refused = Some(error);
                        }
                        Err(cause) => return Err(cause),
                    }
                    return Ok(Some(digest));
                }
                Some(ReaderMessage::Bad { message, cast }) => {
                    self.record_bad_value(message, cast);
                    if !self.continues() {
                        copy.abort().await.map_err(Cause::Database)?;
                        return self.finish_table().await;
                    }
                }
                Some(ReaderMessage::Failed(error)) => {
                    copy.abort().await.map_err(Cause::Database)?;
                    return Err(Cause::Transfer(error));
                }
                None => {
                    copy.abort().await.map_err(Cause::Database)?;
                    return Ok(None);
                }
            }
        }
    }

    /// Receives the rest of a table without sending it: only the bad values are needed. Returns as `send` does.
    async fn finish_table(&mut self) -> Result<Option<Digest>, Cause> {
        loop {
            match self.reader.messages.recv().await {
                Some(ReaderMessage::Rows { bytes, rows }) => self.meter.add(rows, bytes.len()),
                Some(ReaderMessage::Bad { message, cast }) => self.record_bad_value(message, cast),
                Some(ReaderMessage::Table(digest)) => return Ok(Some(digest)),
                Some(ReaderMessage::Failed(error)) => return Err(Cause::Transfer(error)),
                None => return Ok(None),
            }
        }
    }
}

/// Returns the cause for a row that the server refuses: by a check, a domain, or a missing partition.
fn refused(mapping: &TableMapping, fault: DatabaseError) -> Cause {
    match fault.kind {
        DatabaseErrorKind::Statement => {
            Cause::Transfer(TransferError::Refused { table: mapping.source.name.clone(), fault })
        }
        _ => Cause::Database(fault),
    }
}
