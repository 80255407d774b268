//! Two threads: one works, the other only listens. A thread that is blocked, by a file system that does not answer for
//! example, can hear no signal and see no deadline; the process has to end all the same.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::error::{Cause, Failure, Stage};
use crate::signal::{self, Cancel};

/// The time that the working thread has beyond the grace to end by itself: it may be ending a child.
const MARGIN: Duration = Duration::from_secs(1);
/// The size of the working thread's stack, as large as a main thread's usually is.
const STACK: usize = 8 << 20;

/// Runs `work` on a thread of its own and returns its result. After a signal or the deadline the work has the grace period
/// and a second to end by itself; then it is abandoned, and the process should be ended.
///
/// # Errors
/// The work's failure; it did not end in time; the system has no thread or descriptor left.
pub fn supervise<T: Send + 'static>(
    work: impl FnOnce(Cancel) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let internal = |error: io::Error| Failure::new(Stage::Configure, Cause::Internal(error.to_string()));
    runtime().map_err(internal)?.block_on(async {
        let cancel = signal::listen().map_err(internal)?;
        let (sender, ended) = oneshot::channel();
        let given = cancel.clone();
        let worker = move || {
            // Nobody waits for the result of a work that was abandoned.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(given))));
        };
        let spawned = thread::Builder::new().name("work".into()).stack_size(STACK).spawn(worker);
        let worker = spawned.map_err(internal)?;
        let ended = tokio::select! {
            // The line that says that a signal has come is not to be left out when the work ends at once.
            biased;
            failure = overdue(&cancel) => return Err(failure),
            ended = ended => ended,
        };
        // It only has to come to its end.
        let _ = worker.join();
        match ended {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(internal(io::Error::other("the working thread has left no result"))),
        }
    })
}

/// Returns a runtime for one thread.
///
/// # Errors
/// The system's, when it has no descriptors left.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Comes back when the work was to be ended and has not ended in time.
async fn overdue(cancel: &Cancel) -> Failure {
    let reason = cancel.cancelled().await;
    let Some(grace) = cancel.grace() else {
        // Only settings were read so far.
        tokio::time::sleep(MARGIN).await;
        return Failure::new(Stage::Configure, Cause::Stopped(reason));
    };
    tracing::warn!("{reason}: ending what runs, within {grace:?}; a second signal ends it at once");
    tokio::time::sleep(grace + MARGIN).await;
    Failure::new(Stage::Migrate, Cause::Overdue { reason, grace })
}
