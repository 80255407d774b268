//! Runs the work on one thread and listens for signals and the deadline on another. A blocked thread, for example one
//! that waits for a file system that does not answer, notices neither, and the process has to end nevertheless.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::error::{Cause, Failure, Stage};
use crate::signal::{self, Cancel};

/// The time beyond the grace period that the working thread has to end: it may be waiting for a child process to end.
const GRACE_MARGIN: Duration = Duration::from_secs(1);
/// The stack size of the working thread in bytes, which is the usual size for a main thread.
const STACK_BYTES: usize = 8 << 20;

/// Runs `work` on a thread of its own and returns its result. After a signal or the deadline, the work has the grace
/// period and one second to end. Then it is abandoned, and the caller should end the process.
///
/// # Errors
/// Returns the failure of the work. Fails also when the work did not end in time, or the system has no thread or
/// descriptor left.
pub fn supervise<T: Send + 'static>(
    work: impl FnOnce(Cancel) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let internal = |error: io::Error| Failure::new(Stage::Configure, Cause::Internal(error.to_string()));
    runtime().map_err(internal)?.block_on(async {
        let cancel = signal::listen().map_err(internal)?;
        let (sender, worker_result) = oneshot::channel();
        let worker_cancel = cancel.clone();
        let worker = move || {
            // The receiver is gone if the work was abandoned.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(worker_cancel))));
        };
        let handle = thread::Builder::new().name("work".into()).stack_size(STACK_BYTES).spawn(worker);
        let worker = handle.map_err(internal)?;
        let worker_result = tokio::select! {
            // `overdue` is polled first, so that its log line about the signal appears even if the work ends at once.
            biased;
            failure = overdue(&cancel) => return Err(failure),
            worker_result = worker_result => worker_result,
        };
        // The thread has sent its result, and only has to end.
        let _ = worker.join();
        match worker_result {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(internal(io::Error::other("the working thread has left no result"))),
        }
    })
}

/// Returns a runtime for one thread.
///
/// # Errors
/// Fails when the system has no descriptors left.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Returns the failure of a work that was cancelled and has not ended in time. Waits until then.
async fn overdue(cancel: &Cancel) -> Failure {
    let reason = cancel.cancelled().await;
    let Some(grace) = cancel.grace() else {
        // Only settings have been read so far.
        tokio::time::sleep(GRACE_MARGIN).await;
        return Failure::new(Stage::Configure, Cause::Stopped(reason));
    };
    tracing::warn!("{reason}: ending what runs, within {grace:?}; a second signal ends it at once");
    tokio::time::sleep(grace + GRACE_MARGIN).await;
    Failure::new(Stage::Migrate, Cause::Overdue { reason, grace })
}
