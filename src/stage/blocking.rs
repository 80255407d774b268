//! Runs long work, such as work on the disk, on a thread of its own, so that signals are still noticed.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::Span;

use crate::signal::{Cancel, CancelReason};

/// The pause between two interrupts of the same work.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(100);

/// Work that runs on a thread of its own. Dropping this value tells the work to stop, and does not wait for it.
pub(crate) struct Running<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Running<T> {
    /// Starts the work, in the current span: its log lines name the same database. `stop` is the flag that tells it to
    /// stop; others may share it.
    pub(crate) fn start(stop: Arc<AtomicBool>, work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Running<T> {
        let (flag, span) = (Arc::clone(&stop), Span::current());
        Running { stop, thread: spawn_blocking(move || span.in_scope(|| work(&flag))) }
    }

    /// Waits for the end of the work, and returns its result.
    pub(crate) async fn ended(mut self) -> T {
        self.join().await
    }

    /// Waits for the end of the work; must not be called again after it has returned.
    async fn join(&mut self) -> T {
        // The task is never aborted: it can only have panicked.
        (&mut self.thread).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }
}

impl<T> Running<T> {
    /// Tells the work to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        // The flag may be shared with other work that comes after this one.
        if !self.thread.is_finished() {
            self.stop();
        }
    }
}

/// Runs work. When this future is dropped, the flag that `work` gets is set to tell it to stop.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> T {
    Running::start(Arc::default(), work).ended().await
}

/// Runs work until it ends. A signal sets the flag that `work` gets, and its end is awaited: nothing of it goes on
/// behind the run. Returns the result of `work`, and the reason if there was a signal.
pub(crate) async fn run_to_its_end<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> (T, Option<CancelReason>) {
    run_interruptible(cancel, || (), work).await
}

/// Runs work as [`run_to_its_end`] does, and calls `interrupt` after a signal, again and again until the work ends: an
/// interrupt of SQLite has no effect between two statements.
pub(crate) async fn run_interruptible<T: Send + 'static>(
    cancel: &Cancel,
    interrupt: impl Fn(),
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> (T, Option<CancelReason>) {
    let mut running = Running::start(Arc::default(), work);
    let reason = tokio::select! {
        result = running.join() => return (result, None),
        reason = cancel.cancelled() => reason,
    };
    running.stop();
    loop {
        interrupt();
        if let Ok(result) = timeout(INTERRUPT_INTERVAL, running.join()).await {
            return (result, Some(reason));
        }
    }
}
