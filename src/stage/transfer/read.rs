//! The reading side: on a thread of its own, rows become bytes of a binary COPY, and what they come to is summed up.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::database::Fault;
use crate::database::sqlite::source::{Row, Source};
use crate::transfer::cast::{Back, Bad};
use crate::transfer::digest::Digest;
use crate::transfer::plan::{Mapped, Pair, Plan};
use crate::transfer::value::{Value, shown};

/// Rows are sent when there are so many bytes of them.
const CHUNK: usize = 128 * 1024;
/// So many chunks wait for the writer at most.
const QUEUE: usize = 8;

/// The length of a field that is NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What the reader says, table by table in the plan's order.
pub enum Message {
    /// Whole rows.
    Rows(Vec<u8>),
    /// A value that does not fit, in words.
    Bad(String),
    /// The table's last row has come; what its rows come to.
    Table(Digest),
    /// Nothing follows.
    Failed(Fault),
}

/// Tells the reader to stop when it is dropped.
pub struct Reading {
    pub messages: Receiver<Message>,
    stop: Arc<AtomicBool>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Begins to read. After so many bad values it stops, and when it is told to.
pub fn begin(source: Source, plan: Arc<Plan>, most: usize, stop: Arc<AtomicBool>) -> Reading {
    let (sender, messages) = channel(QUEUE);
    let told = Arc::clone(&stop);
    // It ends with its last message, or when nobody listens any more: nobody has to wait for it.
    drop(tokio::task::spawn_blocking(move || {
        let reader = Reader { source: &source, sender: &sender, stop: &told };
        if let Err(End::Failed(fault)) = reader.read(&plan, most) {
            let _ = sender.blocking_send(Message::Failed(fault));
        }
    }));
    Reading { messages, stop }
}

/// Why there is nothing more to read.
enum End {
    Failed(Fault),
    /// Nobody listens, or enough was bad.
    Over,
}

struct Reader<'a> {
    source: &'a Source,
    sender: &'a Sender<Message>,
    stop: &'a AtomicBool,
}

impl Reader<'_> {
    fn read(&self, plan: &Plan, most: usize) -> Result<(), End> {
        let mut bad = 0;
        for (at, pair) in plan.pairs.iter().enumerate() {
            let mut table = Table::new(self, pair, most - bad);
            let read = self.source.rows(&pair.source, &pair.read(), self.stop, |row| table.take(row));
            if let ControlFlow::Break(()) = read.map_err(End::Failed)? {
                return Err(End::Over);
            }
            table.flush().map_err(|Gone| End::Over)?;
            bad += table.bad;
            if at + 1 == plan.pairs.len() {
                // Only now is it certain that all tables were of one moment.
                self.source.confirm().map_err(End::Failed)?;
            }
            let digest = table.digest;
            self.say(Message::Table(digest)).map_err(|Gone| End::Over)?;
        }
        Ok(())
    }

    fn say(&self, message: Message) -> Result<(), Gone> {
        self.sender.blocking_send(message).map_err(|_| Gone)
    }
}

/// As `--cast` takes it.
fn place(pair: &Pair, mapped: &Mapped) -> String {
    format!("{}.{}", pair.source.name, pair.source.columns[mapped.source].name)
}

/// Nobody listens any more.
struct Gone;

/// One table while it is read.
struct Table<'a> {
    reader: &'a Reader<'a>,
    pair: &'a Pair,
    back: Back,
    digest: Digest,
    bytes: Vec<u8>,
    bad: usize,
    most: usize,
}

impl<'a> Table<'a> {
    fn new(reader: &'a Reader<'a>, pair: &'a Pair, most: usize) -> Self {
        let bytes = Vec::with_capacity(CHUNK + CHUNK / 8);
        Self { reader, pair, back: Back::default(), digest: Digest::default(), bytes, bad: 0, most }
    }

    fn take(&mut self, row: &Row<'_>) -> ControlFlow<()> {
        let start = self.bytes.len();
        let fields = i16::try_from(self.pair.columns.len()).expect("at most 1,600 columns");
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self.back.clear();
        let mut fits = true;
        for (mapped, value) in self.pair.columns.iter().zip(row.values()) {
            let Err(bad) = self.encode(mapped, value) else { continue };
            fits = false;
            self.bad += 1;
            let message = told(self.pair, mapped, row, value, &bad);
            if self.reader.say(Message::Bad(message)).is_err() || self.bad >= self.most {
                return ControlFlow::Break(());
            }
        }
        if !fits {
            self.bytes.truncate(start);
            return ControlFlow::Continue(());
        }
        self.digest.add(self.back.row());
        match self.bytes.len() >= CHUNK && self.flush().is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// One field; or what is wrong with the value, in words.
    fn encode(&mut self, mapped: &Mapped, value: Value<'_>) -> Result<(), String> {
        let start = self.bytes.len();
        match mapped.cast.encode_with(value, &mut self.bytes, &mut self.back) {
            Err(bad) => Err(why(self.pair, mapped, &bad)),
            // Primary keys of SQLite, too, may be NULL.
            Ok(()) if self.bytes[start..] == NULL && self.pair.target.columns[mapped.target].not_null => {
                let is_null = if value == Value::Null { "is not allowed" } else { "becomes NULL" };
                Err(format!("{is_null}: the target's column is NOT NULL"))
            }
            Ok(()) => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        if self.bytes.len() > 2 * CHUNK {
            // A value may have a GiB, and the queue must not hold several: COPY takes its bytes in any pieces.
            let rows = std::mem::take(&mut self.bytes);
            return rows.chunks(CHUNK).try_for_each(|piece| self.reader.say(Message::Rows(piece.to_vec())));
        }
        let next = Vec::with_capacity(CHUNK + CHUNK / 8);
        self.reader.say(Message::Rows(std::mem::replace(&mut self.bytes, next)))
    }
}

/// A value that does not fit, with where it is, why, and what may help.
pub fn unfit(pair: &Pair, mapped: &Mapped, row: &Row<'_>, value: Value<'_>, bad: &Bad) -> String {
    told(pair, mapped, row, value, &why(pair, mapped, bad))
}

fn told(pair: &Pair, mapped: &Mapped, row: &Row<'_>, value: Value<'_>, why: &str) -> String {
    format!("{}, {}: {} {why}", place(pair, mapped), row.identity(), shown(value))
}

fn why(pair: &Pair, mapped: &Mapped, bad: &Bad) -> String {
    let hint = bad.hint(&place(pair, mapped)).map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}{hint}", bad.reason())
}
