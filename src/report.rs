//! What a run says while it goes on: log lines on standard error that never block, with secrets masked.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::retry_on_intr;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::database::url::Secret;
use crate::error::Cause;
use crate::signal::Cancel;

/// A log line waits so long for a reader, once; until the reader is back, lines are dropped.
const PATIENCE: Duration = Duration::from_millis(200);
/// The result on standard output waits longer: it is the only one.
const RESULT_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether a slow reader of an answer goes on.
const READER: Duration = Duration::from_millis(5);
/// What is written at once.
const PAGE: usize = 4096;
/// Shorter secrets would mask ordinary words.
const SHORTEST_SECRET: usize = 4;

static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Whether a line that moves stands where the next one begins: it is wiped away first.
pub static MOVES: AtomicBool = AtomicBool::new(false);
static NOTICE: &str = "sqlx::postgres::notice";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// How the log looks; known before anything else, so that configuration errors look like it too.
#[derive(Clone, Copy, Debug)]
pub struct LogStyle {
    /// `None` is silence.
    pub level: Option<Level>,
    pub format: Format,
    pub colour: Colour,
}

/// Starts the log; with a style that cannot be had, in the usual one, so that the refusal can be said.
///
/// # Errors
/// The refusal.
pub fn start(style: Option<Result<LogStyle, Cause>>) -> Result<(), Cause> {
    let usual = LogStyle { level: Some(Level::INFO), format: Format::Json, colour: Colour::Plain };
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
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Outlet(io::stderr()));
    let started = match format {
        Format::Json => registry
            .with(layer.json().flatten_event(true).with_target(false).with_span_list(false))
            .try_init(),
        Format::Text => {
            let ansi = colour == Colour::Ansi;
            registry.with(layer.with_ansi(ansi).event_format(Text)).try_init()
        }
    };
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

/// Masks a secret in everything that is said from now on, unless it is also a name that everybody sees.
pub fn hide(secret: &Secret, names: &[&str]) {
    let value = secret.expose();
    if value.len() < SHORTEST_SECRET || names.contains(&value) {
        return;
    }
    let quoted = serde_json::to_string(value).unwrap_or_default();
    let mut secrets = SECRETS.lock().expect("nothing panics while it holds the list");
    for form in [value, quoted.trim_matches('"')] {
        if !secrets.iter().any(|known| known == form) {
            secrets.push(form.to_owned());
        }
    }
}

/// A text with every known secret masked.
pub fn masked(text: &str) -> String {
    let secrets = SECRETS.lock().expect("nothing panics while it holds the list");
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// A line of text: time, level, file, message, fields.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = OffsetDateTime::now_utc();
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", "\x1b[31m"),
            Level::WARN => ("warn ", "\x1b[33m"),
            Level::INFO => ("info ", "\x1b[32m"),
            _ => ("debug", "\x1b[2m"),
        };
        write!(out, "{:02}:{:02}:{:02}Z ", now.hour(), now.minute(), now.second())?;
        match out.has_ansi_escapes() {
            true => write!(out, "{colour}{name}\x1b[0m ")?,
            false => write!(out, "{name} ")?,
        }
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(out, "[{fields}] ")?;
            }
        }
        if event.metadata().target() == NOTICE {
            out.write_str("server: ")?;
        }
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// Standard error or output, never waited for: a reader that stops reading must not stop a migration.
struct Outlet<W>(W);

impl<W: Write + AsFd> Write for Outlet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static STALLED: Mutex<bool> = Mutex::new(false);
        let mut stalled = STALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let patience = if *stalled { Duration::ZERO } else { PATIENCE };
        let wipe = if MOVES.load(Ordering::Relaxed) { "\r\x1b[2K" } else { "" };
        let text = wipe.to_owned() + &masked(&String::from_utf8_lossy(bytes));
        *stalled = patiently(&mut self.0, text.as_bytes(), patience).is_err();
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
pub struct Page<'a>(pub &'a Cancel);

impl Write for Page<'_> {
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
    let _ = patiently(&mut io::stdout(), masked(text).as_bytes(), RESULT_PATIENCE);
}

/// Prints an answer that is what the command is for: to its end, however slowly it is read (a pager may take minutes).
/// A reader that has gone has read enough.
///
/// # Errors
/// An output that takes no more, a signal: what was printed is incomplete.
pub async fn answer(text: &str, cancel: &Cancel) -> Result<(), Cause> {
    let mut out = io::stdout();
    for piece in masked(text).as_bytes().chunks(PAGE) {
        while !is_writable(&out, Duration::ZERO).map_err(Cause::Output)? {
            tokio::select! {
                () = tokio::time::sleep(READER) => {}
                reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
            }
        }
        match out.write_all(piece).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(Cause::Output)?,
        }
    }
    Ok(())
}

/// An answer as a JSON document. Control characters beyond those that JSON itself escapes are escaped, too.
pub fn document(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("strings and numbers are JSON");
    let mut safe = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match is_unfit(character) && character != '\n' {
            true => drop(write!(safe, "\\u{:04x}", u32::from(character))),
            false => safe.push(character),
        }
    }
    safe + "\n"
}

/// A text on one line that no terminal takes for orders.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.contains(is_unfit) {
        true => text.replace(is_unfit, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Asks a person, on standard error, whatever the log's level is.
pub fn ask(question: &str) {
    let _ = patiently(&mut io::stderr(), masked(question).as_bytes(), PATIENCE);
}

/// Now, as RFC 3339 in UTC.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
