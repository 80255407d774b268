//! Looks at the cancellation of the run while a statement of SQLite runs, and logs that it still does. The statement
//! keeps the thread on which the run would do so otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::duration::log_intervals;
use crate::signal::Cancel;

/// The number of SQLite's virtual machine instructions between two looks: some ten microseconds.
const INSTRUCTIONS: std::ffi::c_int = 1000;

/// The state that SQLite's progress handler looks at. All clones share it.
#[derive(Clone, Default)]
pub struct StatementMonitor(Arc<MonitorState>);

#[derive(Default)]
struct MonitorState {
    /// Set when the run is cancelled while nothing of SQLite runs.
    cancelled: AtomicBool,
    work: Mutex<Option<WatchedWork>>,
}

struct WatchedWork {
    cancel: Cancel,
    /// The number of scripts before it that are not committed.
    uncommitted: usize,
    start: Instant,
    /// The time after the start at which the next line is logged.
    next_line: Duration,
    intervals: Box<dyn Iterator<Item = Duration> + Send>,
}

impl StatementMonitor {
    /// Watches a connection, whatever work it does.
    ///
    /// # Errors
    /// Fails when the connection is not ours.
    pub(super) fn watch(&self, connection: &Connection) -> rusqlite::Result<()> {
        let monitor = self.clone();
        connection.progress_handler(INSTRUCTIONS, Some(move || monitor.ends_statement()))
    }

    /// Ends what the connection does. The flag stays set, so that a later long statement ends, too.
    pub(crate) fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
    }

    /// Begins a work, which ends with `cancel`, behind a number of scripts that are not committed.
    pub(super) fn begin(&self, cancel: &Cancel, uncommitted: usize) {
        let mut intervals = Box::new(log_intervals());
        let next_line = intervals.next().unwrap_or(Duration::MAX);
        self.set(Some(WatchedWork {
            cancel: cancel.clone(),
            uncommitted,
            start: Instant::now(),
            next_line,
            intervals,
        }));
    }

    /// Ends the work that was begun: what follows does not look at its cancellation.
    pub(super) fn end(&self) {
        self.set(None);
    }

    /// Reports whether the work was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled_or(|work| work.cancel.reason().is_some())
    }

    /// Reports whether the running statement has to end. Logs a line from time to time.
    fn ends_statement(&self) -> bool {
        self.is_cancelled_or(|work| {
            let elapsed = work.start.elapsed();
            if elapsed >= work.next_line {
                work.next_line += work.intervals.next().unwrap_or(Duration::MAX);
                let before = match work.uncommitted {
                    0 => String::new(),
                    1 => ", in one transaction with the revision before it, which is not committed yet".into(),
                    many => {
                        format!(", in one transaction with the {many} revisions before it, which are not committed yet")
                    }
                };
                tracing::info!("still running after {} s{before}", elapsed.as_secs());
            }
            work.cancel.reason().is_some()
        })
    }

    fn set(&self, work: Option<WatchedWork>) {
        *self.0.work.lock().unwrap_or_else(PoisonError::into_inner) = work;
    }

    fn is_cancelled_or(&self, look: impl FnOnce(&mut WatchedWork) -> bool) -> bool {
        let is_cancelled = self.0.cancelled.load(Ordering::SeqCst);
        is_cancelled || self.0.work.lock().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(look)
    }
}
