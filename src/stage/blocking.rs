//! Runs long work, such as work on the disk, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs long work on a thread of its own, so that signals are still noticed. When this future is dropped, the flag that
/// `work` gets is set to tell it to stop.
pub async fn run<T: Send + 'static>(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> T {
    let stop = SetOnDrop(Arc::default());
    let told = Arc::clone(&stop.0);
    match tokio::task::spawn_blocking(move || work(&told)).await {
        Ok(done) => done,
        // The task is never aborted: it can only have panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A flag that is set when this value is dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
