//! Reports that a long step is still running: by log lines at growing intervals, or by a progress bar on a terminal.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::duration::log_intervals;
use crate::report::{self, OccupiedLine, ProgressLine};

/// The interval between two updates of the progress bar.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Waits for work without measurable progress, and logs at intervals that it continues. `activity` follows the word
/// "still".
pub(crate) async fn with_progress<T>(activity: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let start = Instant::now();
    for interval in log_intervals() {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(interval) => {
                tracing::info!("still {activity} after {} s", start.elapsed().as_secs());
            }
        }
    }
    work.await
}

/// The progress of a step that processes the rows of a table.
pub(crate) struct RowMeter {
    activity: Mutex<String>,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// The approximate number of rows, if it is known.
    expected: Option<u64>,
    start: Instant,
    /// The line of the terminal on which the progress is shown.
    line: ProgressLine,
}

impl RowMeter {
    /// Starts to measure. `activity` describes the step in log lines after the word "still".
    pub(crate) fn new(line: &ProgressLine, activity: String, expected: Option<u64>) -> RowMeter {
        let (rows, bytes) = Default::default();
        RowMeter { activity: Mutex::new(activity), rows, bytes, expected, start: Instant::now(), line: line.clone() }
    }

    /// Returns the time since the start, in milliseconds.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Adds processed rows, and their size in bytes.
    pub(crate) fn add(&self, rows: u64, bytes: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns a counter of single rows, which passes them on in batches.
    pub(crate) fn ticks(&self) -> PendingRows<'_> {
        PendingRows { meter: self, rows: 0, bytes: 0 }
    }

    /// Changes the description of the step.
    pub(crate) fn becomes(&self, activity: String) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = activity;
    }

    fn activity(&self) -> String {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reading(&self) -> MeterReading {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        MeterReading { rows, bytes, expected: self.expected, elapsed: self.start.elapsed() }
    }
}

/// A counter of rows that are not yet added to a meter.
pub(crate) struct PendingRows<'m> {
    meter: &'m RowMeter,
    rows: u64,
    bytes: usize,
}

impl PendingRows<'_> {
    /// Counts one row of the given size in bytes.
    pub(crate) fn row(&mut self, bytes: usize) {
        const BATCH_ROWS: u64 = 1024;
        self.rows += 1;
        self.bytes += bytes;
        if self.rows == BATCH_ROWS {
            self.meter.add(std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for PendingRows<'_> {
    fn drop(&mut self) {
        self.meter.add(self.rows, self.bytes);
    }
}

/// The values of a meter at one moment.
struct MeterReading {
    rows: u64,
    bytes: u64,
    expected: Option<u64>,
    elapsed: Duration,
}

impl MeterReading {
    /// Returns the average per second.
    fn per_second(&self, number: u64) -> u64 {
        // In the first 100 ms the time is too short for an average.
        (number as f64 / self.elapsed.as_secs_f64().max(0.1)) as u64
    }

    /// Estimates the remaining time. It is `None` before the first row, and after more rows than expected.
    fn seconds_left(&self) -> Option<u64> {
        let remaining = self.expected?.checked_sub(self.rows).filter(|_| self.rows > 0)?;
        Some((self.elapsed.as_secs_f64() * remaining as f64 / self.rows as f64).ceil() as u64)
    }
}

impl fmt::Display for MeterReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A narrow terminal cuts off the end, so the most important values come first.
        let (rows, bytes) = (self.per_second(self.rows), self.per_second(self.bytes));
        write!(f, "{}", HumanCount(self.rows))?;
        self.expected.map_or(Ok(()), |expected| write!(f, " of ~{}", HumanCount(expected)))?;
        f.write_str(" rows")?;
        self.seconds_left().map_or(Ok(()), |seconds| write!(f, ", {seconds} s left"))?;
        write!(f, ", {} rows/s", HumanCount(rows))?;
        write!(f, ", {}, {}/s", HumanBytes(self.bytes), HumanBytes(bytes))
    }
}

/// Runs work and shows its meter: by a progress bar on a terminal, and by log lines elsewhere.
pub(crate) async fn metered<T>(meter: &RowMeter, work: impl Future<Output = T>) -> T {
    let bar = TerminalBar::for_meter(meter);
    tokio::select! {
        biased;
        result = work => result,
        never = bar.show() => match never {},
    }
}

/// The progress bar of a meter. It is removed when this is dropped.
struct TerminalBar<'m>(&'m RowMeter, BarOnLine);

impl TerminalBar<'_> {
    fn for_meter(meter: &RowMeter) -> TerminalBar<'_> {
        let bar = TerminalBar(meter, BarOnLine::new(&meter.line));
        let template = match meter.expected {
            Some(expected) => {
                bar.1.bar.set_length(expected);
                "{spinner} {bar:10} {wide_msg}"
            }
            None => "{spinner} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.1.bar.set_style(style);
        }
        bar.draw();
        bar
    }

    fn draw(&self) {
        let TerminalBar(meter, BarOnLine { bar, .. }) = self;
        if bar.is_hidden() || !report::is_ready() {
            return;
        }
        let reading = meter.reading();
        bar.set_position(reading.rows.min(meter.expected.unwrap_or(u64::MAX)));
        let activity = report::line(&meter.activity());
        bar.set_message(match reading.rows {
            0 => activity,
            _ => format!("{activity}: {reading}"),
        });
        bar.tick();
    }

    async fn show(&self) -> Infallible {
        if self.1.bar.is_hidden() {
            for interval in log_intervals() {
                tokio::time::sleep(interval).await;
                self.0.log();
            }
        }
        loop {
            tokio::time::sleep(REDRAW_INTERVAL).await;
            self.draw();
        }
    }
}

impl RowMeter {
    fn log(&self) {
        let (activity, reading) = (self.activity(), self.reading());
        let elapsed = reading.elapsed.as_secs();
        match reading.rows {
            0 => tracing::info!("still {activity} after {elapsed} s"),
            rows => tracing::info!(
                rows,
                bytes = reading.bytes,
                rows_per_second = reading.per_second(rows),
                seconds_left = reading.seconds_left(),
                "still {activity} after {elapsed} s"
            ),
        }
    }
}

/// A progress bar on the terminal. It is removed when this is dropped.
struct BarOnLine {
    bar: ProgressBar,
    /// The line that the bar occupies; `None` if the bar is hidden.
    line: Option<OccupiedLine>,
}

impl BarOnLine {
    /// Makes a progress bar, which is hidden unless standard error is a terminal whose line is free.
    fn new(line: &ProgressLine) -> BarOnLine {
        let is_terminal = std::io::stderr().is_terminal();
        match is_terminal.then(|| line.occupy()).flatten() {
            Some(line) => {
                let bar = ProgressBar::new_spinner();
                let line = Some(line).filter(|_| !bar.is_hidden());
                BarOnLine { bar, line }
            }
            None => BarOnLine { bar: ProgressBar::hidden(), line: None },
        }
    }
}

impl Drop for BarOnLine {
    fn drop(&mut self) {
        drop(self.line.take());
        // A terminal that was stopped must not block the run.
        if !self.bar.is_hidden() && !report::is_ready() {
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        self.bar.finish_and_clear();
    }
}

/// A display of the growth of a file or a directory, until it is dropped.
pub(crate) struct FileProgress {
    task: JoinHandle<()>,
    /// The bar is removed after the task has been asked to end.
    _bar: BarOnLine,
}

impl FileProgress {
    /// Starts the display. `expected` is a guess in bytes, which is logged; the bar shows the bytes, and no percentage.
    pub(crate) fn start(line: &ProgressLine, activity: String, file: &Path, expected: u64) -> FileProgress {
        let on_line = BarOnLine::new(line);
        let bar = &on_line.bar;
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {bytes} in {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(report::line(&activity));
        let task = match bar.is_hidden() {
            true => tokio::spawn(log_lines(activity, file.to_owned(), expected).in_current_span()),
            false => tokio::spawn(redraw_bar(bar.clone(), file.to_owned()).in_current_span()),
        };
        FileProgress { task, _bar: on_line }
    }
}

impl Drop for FileProgress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the size of a file in bytes, or the sum of the files in a directory.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

async fn log_lines(activity: String, file: PathBuf, expected: u64) {
    for interval in log_intervals() {
        tokio::time::sleep(interval).await;
        tracing::info!(bytes = size(&file), database_bytes = expected, "still {activity}");
    }
}

async fn redraw_bar(bar: ProgressBar, file: PathBuf) {
    loop {
        bar.set_position(size(&file));
        tokio::time::sleep(REDRAW_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_told_with_its_speed_and_the_time_that_is_left() {
        let describe = |rows, bytes, expected, seconds| {
            MeterReading { rows, bytes, expected, elapsed: Duration::from_secs(seconds) }.to_string()
        };
        assert_eq!(
            describe(12_000, 3 << 20, Some(30_000), 6),
            "12,000 of ~30,000 rows, 9 s left, 2,000 rows/s, 3.00 MiB, 512.00 KiB/s"
        );
        assert_eq!(describe(5, 100, None, 1), "5 rows, 5 rows/s, 100 B, 100 B/s");
        // There are more rows than expected, so the number of rows left is not known.
        assert_eq!(describe(40, 80, Some(30), 2), "40 of ~30 rows, 20 rows/s, 80 B, 40 B/s");
        assert_eq!(describe(0, 0, Some(30), 0), "0 of ~30 rows, 0 rows/s, 0 B, 0 B/s");
    }

    #[test]
    fn the_line_of_the_terminal_shows_one_bar_at_a_time() {
        let line = ProgressLine::default();
        let first = line.clone().occupy();
        assert!(first.is_some() && line.occupy().is_none());
        drop(first);
        assert!(line.occupy().is_some());
    }

    #[test]
    fn rows_are_counted_in_batches_and_not_lost_at_the_end() {
        let meter = RowMeter::new(&ProgressLine::default(), "counting".into(), None);
        let mut ticks = meter.ticks();
        (0..1500).for_each(|_| ticks.row(2));
        assert_eq!((meter.reading().rows, meter.reading().bytes), (1024, 2048));
        drop(ticks);
        assert_eq!((meter.reading().rows, meter.reading().bytes), (1500, 3000));
    }
}
