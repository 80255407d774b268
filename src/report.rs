//! What a run says while it goes on: log lines on standard error that never block, with secrets masked.

mod escape;
mod log;
mod output;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::retry_on_intr;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::Cause;
use crate::masking::mask_known;
use crate::signal::Cancel;
pub use escape::escape;
use escape::{escape_json, escape_page};
use log::{LogLayer, NOTICE};
pub use output::{answer, bytes};

/// A log line waits so long for a reader, once; until the reader is back, lines are dropped.
const PATIENCE: Duration = Duration::from_millis(200);
/// The result on standard output waits longer: it is the only one.
const RESULT_PATIENCE: Duration = Duration::from_secs(2);
/// What is written at once.
const PAGE: usize = 4096;
/// Whether a line that moves stands where the next one begins: it is wiped away first.
pub static MOVES: AtomicBool = AtomicBool::new(false);

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// How the log looks; known before anything else, so that configuration errors look like it too.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// `None` is silence.
    pub level: Option<Level>,
    pub format: LogFormat,
    pub colour: Colour,
}

/// Starts the log; with a style that cannot be had, in the usual one, so that the refusal can be said.
///
/// # Errors
/// The refusal.
pub fn start(style: Option<Result<LogStyle, Cause>>) -> Result<(), Cause> {
    let usual = LogStyle { level: Some(Level::INFO), format: LogFormat::Json, colour: Colour::Plain };
    let (style, refused) = match style {
        Some(Ok(style)) => (style, Ok(())),
        Some(Err(cause)) => (usual, Err(cause)),
        None => (usual, Ok(())),
    };
    subscribe(style);
    refused
}

fn subscribe(LogStyle { level, format, colour }: LogStyle) {
    let filter = match level {
        Some(level) => Targets::new().with_target("lockkeeper", level).with_target(NOTICE, level),
        None => Targets::new(),
    };
    let started = tracing_subscriber::registry().with(filter).with(LogLayer { format, colour }).try_init();
    // A second start changes nothing.
    drop(started);
}

/// Whether text lines carry colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Ansi,
}

impl Colour {
    /// Colours are for terminals, and for nobody who sets NO_COLOR (no-color.org: whatever its value, if it has one).
    pub fn on(out: &impl IsTerminal) -> Colour {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !refused { Colour::Ansi } else { Colour::Plain }
    }
}

/// Standard error or output, never waited for: a reader that stops reading must not stop a migration.
struct BoundedOutput<W>(W);

impl<W: Write + AsFd> Write for BoundedOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // No lock: a panic in here is logged, too.
        static STALLED: AtomicBool = AtomicBool::new(false);
        let patience = if STALLED.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
        let wipe = if MOVES.load(Ordering::Relaxed) { "\r\x1b[2K" } else { "" };
        let written = patiently(&mut self.0, &[wipe.as_bytes(), bytes].concat(), patience);
        STALLED.store(written.is_err(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error takes something at once: a terminal that was stopped does not.
pub fn is_ready() -> bool {
    is_writable(&io::stderr(), Duration::ZERO).unwrap_or(false)
}

/// Whether a page can be written at once: a pipe that polls as writable takes one (pipe(7)).
fn is_writable(out: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&patience)))?;
    Ok(ready > 0)
}

/// Writes without ever blocking longer than `patience`.
fn patiently(out: &mut (impl Write + AsFd), bytes: &[u8], patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    for piece in bytes.chunks(PAGE) {
        if !is_writable(out, until.saturating_duration_since(Instant::now()))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        out.write_all(piece)?;
        out.flush()?;
    }
    Ok(())
}

/// Standard output for what must arrive whole and unmasked: it waits for its reader, until a signal comes.
pub struct DocumentOutput<'a>(pub &'a Cancel);

impl Write for DocumentOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const LOOK: Duration = Duration::from_millis(100);
        let mut out = io::stdout();
        while !is_writable(&out, LOOK)? {
            if self.0.signal().is_some() {
                return Err(io::Error::other("a signal came"));
            }
        }
        let piece = &bytes[..bytes.len().min(PAGE)];
        out.write_all(piece).and_then(|()| out.flush()).map(|()| piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints the result on standard output. A closed output changes nothing about what was done.
pub fn print(text: &str) {
    let _ = patiently(&mut io::stdout(), page(text).as_bytes(), RESULT_PATIENCE);
}

/// An answer as a JSON document.
pub fn document(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// A value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// A text on one line, masked and escaped: fit for a display.
pub fn line(text: &str) -> String {
    escape(&mask_known(text)).into_owned()
}

/// Lines of an answer, masked; their parts were escaped when they were put together.
fn page(text: &str) -> String {
    mask_known(&escape_page(text))
}

/// Asks a person, on standard error, whatever the log's level is.
pub fn ask(question: &str) {
    let _ = patiently(&mut io::stderr(), page(question).as_bytes(), PATIENCE);
}

/// Now, as RFC 3339 in UTC.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
