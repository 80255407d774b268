//! Runs long work, such as work on the disk, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tracing::Span;

use crate::signal::{Cancel, CancelReason};

/// Runs long work on a thread of its own, so that signals are still noticed. When this future is dropped, the flag that
/// `work` gets is set to tell it to stop.
pub async fn run<T: Send + 'static>(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> T {
    let stop = SetOnDrop(Arc::default());
    let told = Arc::clone(&stop.0);
    match spawn(move || work(&told)).await {
        Ok(done) => done,
        // The task is never aborted: it can only have panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Runs long work on a thread of its own until it ends. A signal sets the flag that `work` gets, and its end is awaited:
/// nothing of it goes on behind the run. Returns the result of `work`, and the reason if there was a signal.
pub async fn run_to_its_end<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> (T, Option<CancelReason>) {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut running = spawn(move || work(&flag));
    let (joined, reason) = tokio::select! {
        joined = &mut running => (joined, None),
        reason = cancel.cancelled() => {
            stop.store(true, Ordering::SeqCst);
            (running.await, Some(reason))
        }
    };
    // The task is never aborted: it can only have panicked.
    (joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())), reason)
}

/// Starts work on a thread of its own, in the present span: its log lines name the same database.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

/// A flag that is set when this value is dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
