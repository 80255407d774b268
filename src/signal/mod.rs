//! Turns SIGTERM, SIGINT and the overall deadline into one cancellation, which every wait and every step checks.

mod cancel;
mod inherited;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level::pipe};
use tokio::io::AsyncReadExt;

pub use cancel::{Cancel, CancelReason};
use inherited::is_ignored;
pub use inherited::keep_ignored;

/// Installs the signal handlers and returns the cancellation of the process. Without a handler, SIGTERM would not end a
/// process with PID 1 at all. A second signal ends the process at once. A signal that this process was started to
/// ignore stays ignored.
///
/// # Errors
/// Fails when the system has no file descriptors or handlers left.
pub(crate) fn listen() -> io::Result<Cancel> {
    let cancel = Cancel::default();
    let second_signal = Arc::new(AtomicBool::new(false));
    let process = cancel.process();
    let signals = [
        (SIGTERM, CancelReason::Terminate, &process.terminate, 143),
        (SIGINT, CancelReason::Interrupt, &process.interrupt, 130),
    ];
    for (signal, reason, is_received, code) in signals.into_iter().filter(|(signal, ..)| !is_ignored(*signal)) {
        // The order matters: the flag that the first signal sets ends the process at the second one.
        flag::register_conditional_shutdown(signal, code, Arc::clone(&second_signal))?;
        flag::register(signal, Arc::clone(&second_signal))?;
        flag::register(signal, Arc::clone(is_received))?;
        let (read, write) = UnixStream::pair()?;
        pipe::register(signal, write)?;
        read.set_nonblocking(true)?;
        let mut read = tokio::net::UnixStream::from_std(read)?;
        let cancel = cancel.clone();
        tokio::spawn(async move {
            if read.read_u8().await.is_ok() {
                cancel.cancel(reason);
            }
        });
    }
    // A write beyond the file size limit then fails like one on a full disk, and does not end the process. The handler
    // does nothing; "ignore" would be inherited by child processes, and a handler is not.
    if !is_ignored(SIGXFSZ) {
        flag::register(SIGXFSZ, Arc::default())?;
    }
    tokio::spawn(await_deadline(cancel.clone()));
    Ok(cancel)
}

/// Cancels the process when the overall deadline has passed, if one is set.
async fn await_deadline(cancel: Cancel) {
    let start = tokio::time::Instant::now();
    let mut receiver = cancel.process().deadline.subscribe();
    let deadline: Option<Duration> = receiver.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(start + deadline).await;
        cancel.cancel(CancelReason::Deadline);
    }
}
