//! The output of a run: log lines on standard error, which never block and have their secrets masked, and answers on
//! standard output.

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

/// The time for which a log line waits for a slow reader, once. Until the reader continues, further lines are dropped.
const PATIENCE: Duration = Duration::from_millis(200);
/// The time for which the result on standard output waits for its reader. It is longer, because there is only one
/// result.
const RESULT_PATIENCE: Duration = Duration::from_secs(2);
/// The number of bytes that are written at once.
const PAGE: usize = 4096;
/// True while a progress display occupies the current line of the terminal. The line is erased before a log line is
/// written.
pub static MOVES: AtomicBool = AtomicBool::new(false);

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// The style of the log. It is determined before everything else, so that configuration errors are logged in it too.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// The lowest level that is logged; `None` logs nothing.
    pub level: Option<Level>,
    /// The format of a line.
    pub format: LogFormat,
    /// The use of colours.
    pub colour: Colour,
}

/// Starts the log. If the style is an error, the log starts in the default style, so that the error can be logged.
///
/// # Errors
/// Returns the error that `style` contains.
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

/// Sets the global subscriber of log events.
fn subscribe(LogStyle { level, format, colour }: LogStyle) {
    let filter = match level {
        Some(level) => Targets::new().with_target("lockkeeper", level).with_target(NOTICE, level),
        None => Targets::new(),
    };
    let started = tracing_subscriber::registry().with(filter).with(LogLayer { format, colour }).try_init();
    // A second call has no effect.
    drop(started);
}

/// The use of colours in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No colours.
    Plain,
    /// ANSI escape sequences.
    Ansi,
}

impl Colour {
    /// Returns the colours for an output: ANSI for a terminal, unless NO_COLOR is set to a value that is not empty
    /// (no-color.org).
    pub fn on(out: &impl IsTerminal) -> Colour {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !refused { Colour::Ansi } else { Colour::Plain }
    }
}

/// Standard error or output with a bounded wait, because a reader that stops reading must not stop a migration.
struct BoundedOutput<W>(W);

impl<W: Write + AsFd> Write for BoundedOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // No mutex here: a panic in this function is logged, too.
        static STALLED: AtomicBool = AtomicBool::new(false);
        let patience = if STALLED.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
        let wipe = if MOVES.load(Ordering::Relaxed) { "\r\x1b[2K" } else { "" };
        let written = write_with_patience(&mut self.0, &[wipe.as_bytes(), bytes].concat(), patience);
        STALLED.store(written.is_err(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reports whether standard error accepts output at once. A terminal that was stopped does not.
pub fn is_ready() -> bool {
    is_writable(&io::stderr(), Duration::ZERO).unwrap_or(false)
}

/// Reports whether a page can be written within `patience`: a pipe that polls as writable accepts one (pipe(7)).
fn is_writable(out: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&patience)))?;
    Ok(ready > 0)
}

/// Writes all bytes, page by page. Fails if the output is not ready within `patience` in total.
fn write_with_patience(out: &mut (impl Write + AsFd), bytes: &[u8], patience: Duration) -> io::Result<()> {
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

/// Standard output for a document that must arrive complete and unmasked. A write waits for the reader until a signal
/// arrives.
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

/// Prints the result on standard output. An error is ignored, because it does not change the result of the run.
pub fn print(text: &str) {
    let _ = write_with_patience(&mut io::stdout(), page(text).as_bytes(), RESULT_PATIENCE);
}

/// Formats an answer as a JSON document of several lines.
pub fn document(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// Formats a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// Returns a text as one line, masked and escaped, for a display.
pub fn line(text: &str) -> String {
    escape(&mask_known(text)).into_owned()
}

/// Returns an answer of several lines, masked and escaped. Its parts have been escaped before.
fn page(text: &str) -> String {
    mask_known(&escape_page(text))
}

/// Prints a question for the user on standard error, whatever the log level is.
pub fn ask(question: &str) {
    let _ = write_with_patience(&mut io::stderr(), page(question).as_bytes(), PATIENCE);
}
