//! The output of a run: log lines on standard error, which never block and have their secrets masked, and answers on
//! standard output.

mod log;
mod output;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
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
use crate::escape::{escape, escape_json, escape_page};
use crate::masking::mask_known;
use crate::signal::Cancel;
use log::{LogLayer, NOTICE};
pub(crate) use output::{answer, bytes};

/// The time for which a log line waits for a slow reader, once. Until the reader continues, further lines are dropped.
const LOG_WRITE_TIMEOUT: Duration = Duration::from_millis(200);
/// The time for which the result on standard output waits for its reader. It is longer, because there is only one
/// result.
const RESULT_WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of bytes that are written at once.
const MAX_WRITE_BYTES: usize = 4096;

/// The line of the terminal on which progress is shown. It belongs to one progress bar at a time, and the log erases it
/// before a log line is written. All clones are the same line.
#[derive(Clone, Debug, Default)]
pub struct ProgressLine(Arc<AtomicBool>);

impl ProgressLine {
    /// Gives the line to a progress bar; `None` if it belongs to another one.
    pub(crate) fn occupy(&self) -> Option<OccupiedLine> {
        let was_occupied = self.0.swap(true, Ordering::Relaxed);
        (!was_occupied).then(|| OccupiedLine(self.clone()))
    }

    /// Returns whether a progress bar may be on the line.
    fn is_occupied(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The line of the terminal while it belongs to a progress bar. Dropping this value gives the line back.
#[derive(Debug)]
pub(crate) struct OccupiedLine(ProgressLine);

impl Drop for OccupiedLine {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

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

/// Starts the log of the process; `progress` is the line that it has to erase. If the style is an error, the log starts
/// in the default style, so that the error can be logged.
///
/// # Errors
/// Returns the error that `style` contains.
pub fn start(style: Option<Result<LogStyle, Cause>>, progress: &ProgressLine) -> Result<(), Cause> {
    let default_style = LogStyle { level: Some(Level::INFO), format: LogFormat::Json, colour: Colour::Plain };
    let (style, result) = match style {
        Some(Ok(style)) => (style, Ok(())),
        Some(Err(cause)) => (default_style, Err(cause)),
        None => (default_style, Ok(())),
    };
    subscribe(style, progress);
    result
}

/// Sets the global subscriber of log events.
fn subscribe(LogStyle { level, format, colour }: LogStyle, progress: &ProgressLine) {
    let filter = match level {
        Some(level) => Targets::new().with_target("lockkeeper", level).with_target(NOTICE, level),
        None => Targets::new(),
    };
    let output = LogOutput { progress: progress.clone(), is_stalled: AtomicBool::new(false) };
    let result = tracing_subscriber::registry().with(filter).with(LogLayer { format, colour, output }).try_init();
    // A second call has no effect.
    drop(result);
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
    pub(crate) fn on(out: &impl IsTerminal) -> Colour {
        let is_disabled = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !is_disabled { Colour::Ansi } else { Colour::Plain }
    }
}

/// The log's side of standard error, with a bounded wait: a reader that stops reading must not stop a migration.
struct LogOutput {
    /// The line that is erased before a log line is written.
    progress: ProgressLine,
    /// True if the reader has not taken the last line in time. It is no mutex: a panic of [`LogOutput::write`] is
    /// logged, too.
    is_stalled: AtomicBool,
}

impl LogOutput {
    /// Writes a line. A line that cannot be written is lost, and does not stop the run.
    fn write(&self, line: &str) {
        let timeout = if self.is_stalled.load(Ordering::Relaxed) { Duration::ZERO } else { LOG_WRITE_TIMEOUT };
        let clear_line = if self.progress.is_occupied() { "\r\x1b[2K" } else { "" };
        let result = write_with_timeout(&mut io::stderr().lock(), [clear_line, line].concat().as_bytes(), timeout);
        self.is_stalled.store(result.is_err(), Ordering::Relaxed);
    }
}

/// Reports whether standard error accepts output at once. A terminal that was stopped does not.
pub(crate) fn is_ready() -> bool {
    is_writable(&io::stderr(), Duration::ZERO).unwrap_or(false)
}

/// Reports whether a page can be written within `timeout`: a pipe that polls as writable accepts one (pipe(7)).
fn is_writable(out: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&timeout)))?;
    Ok(ready > 0)
}

/// Writes all bytes, page by page. Fails if the output is not ready within `timeout` in total.
fn write_with_timeout(out: &mut (impl Write + AsFd), bytes: &[u8], timeout: Duration) -> io::Result<()> {
    let deadline = Instant::now() + timeout;
    for chunk in bytes.chunks(MAX_WRITE_BYTES) {
        if !is_writable(out, deadline.saturating_duration_since(Instant::now()))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        out.write_all(chunk)?;
        out.flush()?;
    }
    Ok(())
}

/// Standard output for a document that must arrive complete and unmasked. A write waits for the reader until a signal
/// arrives.
pub(crate) struct DocumentOutput<'a>(pub(crate) &'a Cancel);

impl Write for DocumentOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const POLL_TIMEOUT: Duration = Duration::from_millis(100);
        let mut out = io::stdout();
        while !is_writable(&out, POLL_TIMEOUT)? {
            if self.0.signal().is_some() {
                return Err(io::Error::other("a signal came"));
            }
        }
        let chunk = &bytes[..bytes.len().min(MAX_WRITE_BYTES)];
        out.write_all(chunk).and_then(|()| out.flush()).map(|()| chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints the result on standard output. An error is ignored, because it does not change the result of the run.
pub fn print(text: &str) {
    let _ = write_with_timeout(&mut io::stdout(), sanitize(text).as_bytes(), RESULT_WRITE_TIMEOUT);
}

/// Formats an answer as a JSON document of several lines.
pub(crate) fn document(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// Formats a value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("strings and numbers are JSON");
    escape_json(&text).into_owned() + "\n"
}

/// Returns a text as one line, masked and escaped, for a display.
pub(crate) fn line(text: &str) -> String {
    escape(&mask_known(text)).into_owned()
}

/// Returns an answer of several lines, masked and escaped. Its parts have been escaped before.
fn sanitize(text: &str) -> String {
    mask_known(&escape_page(text))
}

/// Prints a question for the user on standard error, whatever the log level is.
pub(crate) fn ask(question: &str) {
    let _ = write_with_timeout(&mut io::stderr(), sanitize(question).as_bytes(), LOG_WRITE_TIMEOUT);
}
