//! The reading side of a transfer: on a thread of its own, encodes rows as bytes of a binary COPY, and sums up their
//! hashes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::rejected_value::{describe, new_rejected_value};
use super::rejects::RejectFile;
use super::{BadValueLimits, OnBadRow};
use crate::database::sqlite::source::{SourceRow, SqliteSource};
use crate::error::TransferError;
use crate::stage::blocking::Running;
use crate::transfer::cast::CanonicalRow;
use crate::transfer::digest::Digest;
use crate::transfer::plan::{ColumnMapping, TableMapping, TransferPlan};
use crate::transfer::rejected_value::RejectedValue;
use crate::transfer::source::RowKey;
use crate::transfer::value::Value;

/// The number of bytes of rows that are collected before they are sent.
const CHUNK_BYTES: usize = 128 * 1024;
/// The largest number of chunks that wait for the writer.
const QUEUE_LENGTH: usize = 8;

/// The length of a field that is NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// A message of the reader; the tables come in the order of the plan.
pub(crate) enum ReaderMessage {
    /// Encoded rows and their number. A chunk of more than 256 KiB comes in pieces, and the first piece has the number.
    Rows { bytes: Vec<u8>, rows: u64 },
    /// A description of a value that does not fit, and the rule that would accept it, in the form that `--cast` takes.
    Bad { message: String, cast: Option<String> },
    /// The digest of the table's rows that fit, after the last row of the table.
    Table(Digest),
    /// An error; nothing follows.
    Failed(TransferError),
}

/// A running reader. Dropping the handle stops the reader.
pub(crate) struct ReaderHandle {
    pub(crate) messages: Receiver<ReaderMessage>,
    reader: Running<Option<ReadResult>>,
}

/// The result of a reader that has read everything.
pub(crate) struct ReadResult {
    /// The source, still in the same state.
    pub(crate) source: SqliteSource,
    /// The file of rejected rows, if there is to be one.
    pub(crate) rejects: Option<RejectFile>,
    /// The highest number in each table's column for the rowid, among the rows that do not fit.
    pub(crate) highest: Vec<Option<i64>>,
}

impl ReaderHandle {
    /// Stops the reader early.
    pub(crate) async fn stop(self) -> Option<ReadResult> {
        self.reader.stop();
        self.end().await
    }

    /// Waits for the end of the reader. Returns `None` if the reader was not at the end of the last table.
    pub(crate) async fn end(mut self) -> Option<ReadResult> {
        // The reader may be waiting for room in the queue.
        self.messages.close();
        while self.messages.recv().await.is_some() {}
        self.reader.ended().await
    }
}

/// Starts the reader. The reader stops when `stop` is set and, without a file of rejected rows, after the last bad
/// value that is named.
pub(crate) fn begin(
    source: SqliteSource,
    plan: Arc<TransferPlan>,
    limits: BadValueLimits,
    stop: Arc<AtomicBool>,
) -> ReaderHandle {
    let (sender, messages) = channel(QUEUE_LENGTH);
    let reader = Running::start(stop, move |stop| {
        let rejects = match limits.on_error {
            OnBadRow::Stop => None,
            OnBadRow::Report(rejects) | OnBadRow::Skip(rejects) => Some(rejects),
        };
        let mut reader = Reader {
            sender: &sender,
            stop,
            max_errors: limits.max_errors,
            rejects,
            error_count: 0,
            highest: Vec::new(),
        };
        match reader.read(&source, &plan) {
            Ok(()) => {
                let Reader { rejects, highest, .. } = reader;
                Some(ReadResult { source, rejects, highest })
            }
            Err(ReaderEnd::Failed(error)) => {
                let _ = sender.blocking_send(ReaderMessage::Failed(error));
                None
            }
            Err(ReaderEnd::Over) => None,
        }
    });
    ReaderHandle { messages, reader }
}

/// The reason why the reader ends early.
enum ReaderEnd {
    Failed(TransferError),
    /// Nobody receives the messages any more, or enough bad values were named.
    Over,
}

/// The state of the reader.
struct Reader<'a> {
    sender: &'a Sender<ReaderMessage>,
    stop: &'a AtomicBool,
    /// The largest number of bad values that are named.
    max_errors: usize,
    error_count: usize,
    /// The file of rejected rows; without it, the reader ends after the last bad value that is named.
    rejects: Option<RejectFile>,
    highest: Vec<Option<i64>>,
}

impl Reader<'_> {
    fn read(&mut self, source: &SqliteSource, plan: &TransferPlan) -> Result<(), ReaderEnd> {
        let failed = |fault| ReaderEnd::Failed(TransferError::Source(fault));
        for (index, mapping) in plan.mappings.iter().enumerate() {
            let stop = self.stop;
            let mut table = TableReader::new(self, mapping);
            let read = source.rows(&mapping.source, &mapping.read(), stop, |row| table.take(row));
            if let ControlFlow::Break(end) = read.map_err(failed)? {
                return Err(end);
            }
            if let ControlFlow::Break(end) = table.flush() {
                return Err(end);
            }
            let (digest, highest) = (table.digest, table.highest);
            self.highest.push(highest);
            if index + 1 == plan.mappings.len() {
                // Only now is it certain that all tables were read in one state of the file.
                source.confirm().map_err(failed)?;
            }
            if let ControlFlow::Break(end) = self.send(ReaderMessage::Table(digest)) {
                return Err(end);
            }
        }
        Ok(())
    }

    fn send(&self, message: ReaderMessage) -> ControlFlow<ReaderEnd> {
        match self.sender.blocking_send(message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(ReaderEnd::Over),
        }
    }

    /// Sends the description of a bad value, unless enough were sent.
    fn report_bad_value(&mut self, cast: Option<&String>, message: impl FnOnce() -> String) -> ControlFlow<ReaderEnd> {
        if self.error_count < self.max_errors {
            self.error_count += 1;
            self.send(ReaderMessage::Bad { message: message(), cast: cast.cloned() })?;
        }
        match self.rejects.is_none() && self.error_count == self.max_errors {
            true => ControlFlow::Break(ReaderEnd::Over),
            false => ControlFlow::Continue(()),
        }
    }

    /// Writes a row that does not fit to the file of rejected rows, if there is one.
    fn write_reject(
        &mut self,
        mapping: &TableMapping,
        row: &SourceRow<'_>,
        rejected_values: &[RejectedValue],
    ) -> ControlFlow<ReaderEnd> {
        let Some(rejects) = &mut self.rejects else { return ControlFlow::Continue(()) };
        match rejects.add(
            &mapping.source.name,
            &row.identity(),
            rejected_values,
            &mut mapping.names().zip(row.values()),
        ) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(ReaderEnd::Failed(error)),
        }
    }
}

/// The state of reading a table.
struct TableReader<'a, 'r> {
    reader: &'a mut Reader<'r>,
    mapping: &'a TableMapping,
    /// The position of the rowid among the columns.
    rowid: Option<usize>,
    highest: Option<i64>,
    canonical: CanonicalRow,
    digest: Digest,
    bytes: Vec<u8>,
    rows: u64,
}

impl<'a, 'r> TableReader<'a, 'r> {
    fn new(reader: &'a mut Reader<'r>, mapping: &'a TableMapping) -> Self {
        let rowid = match mapping.source.key {
            RowKey::Rowid { column: Some(rowid), .. } => {
                mapping.columns.iter().position(|column_mapping| column_mapping.source == rowid)
            }
            _ => None,
        };
        Self {
            reader,
            mapping,
            rowid,
            highest: None,
            canonical: CanonicalRow::default(),
            digest: Digest::default(),
            bytes: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8),
            rows: 0,
        }
    }

    /// Encodes a row, or rejects it if a value does not fit.
    fn take(&mut self, row: &SourceRow<'_>) -> ControlFlow<ReaderEnd> {
        let start = self.bytes.len();
        let fields = i16::try_from(self.mapping.columns.len()).expect("at most 1,600 columns");
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self.canonical.clear();
        let (mut rejected_values, mut number) = (Vec::new(), None);
        for (index, (column_mapping, value)) in self.mapping.columns.iter().zip(row.values()).enumerate() {
            match self.encode(column_mapping, value) {
                Ok(()) if self.rowid == Some(index) => number = Some(value),
                Ok(()) => {}
                Err(rejected_value) => {
                    let mapping = self.mapping;
                    self.reader.report_bad_value(rejected_value.cast.as_ref(), || {
                        describe(mapping, column_mapping, row, value, &rejected_value)
                    })?;
                    rejected_values.push(rejected_value);
                }
            }
        }
        if !rejected_values.is_empty() {
            self.bytes.truncate(start);
            // No other row may get the number of a rejected row, which may still be added later.
            if let Some(Value::Integer(number)) = number {
                self.highest = self.highest.max(Some(number));
            }
            return self.reader.write_reject(self.mapping, row, &rejected_values);
        }
        self.digest.add(self.canonical.row());
        self.rows += 1;
        if self.bytes.len() >= CHUNK_BYTES { self.flush() } else { ControlFlow::Continue(()) }
    }

    /// Encodes one field. Returns the problem if the value does not fit.
    fn encode(&mut self, column_mapping: &ColumnMapping, value: Value<'_>) -> Result<(), RejectedValue> {
        let start = self.bytes.len();
        match column_mapping.cast.encode_with(value, &mut self.bytes, &mut self.canonical) {
            Err(error) => Err(new_rejected_value(self.mapping, column_mapping, &error)),
            // In SQLite, primary keys may be NULL, too.
            Ok(()) if self.bytes[start..] == NULL && self.mapping.target.columns[column_mapping.target].not_null => {
                let is_null = if value == Value::Null { "is not allowed" } else { "becomes NULL" };
                let reason = format!("{is_null}: the target's column is NOT NULL");
                let column = self.mapping.source.columns[column_mapping.source].name.clone();
                Err(RejectedValue { column, reason, hint: None, cast: None })
            }
            Ok(()) => Ok(()),
        }
    }

    fn flush(&mut self) -> ControlFlow<ReaderEnd> {
        if self.bytes.is_empty() {
            return ControlFlow::Continue(());
        }
        if self.bytes.len() > 2 * CHUNK_BYTES {
            // A value may have 1 GiB, and the queue must not hold several of those: COPY accepts its bytes in any
            // pieces.
            let (bytes, mut rows) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.rows));
            return bytes.chunks(CHUNK_BYTES).try_for_each(|piece| {
                self.reader.send(ReaderMessage::Rows { bytes: piece.to_vec(), rows: std::mem::take(&mut rows) })
            });
        }
        let next = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        let bytes = std::mem::replace(&mut self.bytes, next);
        self.reader.send(ReaderMessage::Rows { bytes, rows: std::mem::take(&mut self.rows) })
    }
}
