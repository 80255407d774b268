//! Turns SIGTERM, SIGINT and the overall deadline into one cancellation, which every wait and every step checks.

mod inherited;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level::pipe};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use inherited::is_ignored;
pub use inherited::keep_ignored;

/// The reason why a run has to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// SIGTERM has arrived.
    Terminate,
    /// SIGINT has arrived.
    Interrupt,
    /// The overall deadline has passed.
    Deadline,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelReason::Terminate => "stopped by SIGTERM",
            CancelReason::Interrupt => "stopped by SIGINT",
            CancelReason::Deadline => "the overall deadline has passed",
        })
    }
}

/// A handle to the cancellation of the run. All clones share its state.
#[derive(Clone)]
pub struct Cancel {
    /// The reason of the cancellation, when there is one.
    told: watch::Receiver<Option<CancelReason>>,
    /// The signals that have arrived, as the signal handlers record them.
    met: [(CancelReason, Arc<AtomicBool>); 2],
    /// The sender of the overall deadline, for the task that waits for it.
    deadline: Arc<watch::Sender<Option<Duration>>>,
    /// The grace period, when the work has begun.
    grace: Arc<OnceLock<Duration>>,
}

impl Cancel {
    /// Sets the overall deadline, counted from the start of the process.
    pub fn set_deadline(&self, deadline: Duration) {
        self.deadline.send_replace(Some(deadline));
    }

    /// Records that the settings are read and the work begins, and the longest time that the work may take to end after
    /// a cancellation.
    pub fn begin(&self, grace: Duration) {
        self.grace.get_or_init(|| grace);
    }

    /// Returns the longest time that the work may take to end after a cancellation; `None` before the work has begun.
    pub fn grace(&self) -> Option<Duration> {
        self.grace.get().copied()
    }

    /// Returns the reason of the cancellation; `None` if the run is not cancelled.
    pub fn reason(&self) -> Option<CancelReason> {
        *self.told.borrow()
    }

    /// Returns the signal that has arrived, even if the task that forwards signals does not run any more, as after the
    /// work.
    pub fn signal(&self) -> Option<CancelReason> {
        self.met.iter().find(|(_, met)| met.load(Ordering::SeqCst)).map(|(reason, _)| *reason)
    }

    /// Waits until the run is cancelled, and returns the reason.
    pub async fn cancelled(&self) -> CancelReason {
        let mut receiver = self.told.clone();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                // No sender is left, so no cancellation can come: wait for ever.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Installs the signal handlers and returns the cancellation. Without a handler, SIGTERM would not end a process with
/// PID 1 at all. A second signal ends the process at once. A signal that this process was started to ignore stays
/// ignored.
///
/// # Errors
/// Fails when the system has no file descriptors or handlers left.
pub fn listen() -> io::Result<Cancel> {
    let (sender, receiver) = watch::channel(None);
    let sender = Arc::new(sender);
    let again = Arc::new(AtomicBool::new(false));
    let met = [CancelReason::Terminate, CancelReason::Interrupt].map(|reason| (reason, Arc::default()));
    let signals = [(SIGTERM, CancelReason::Terminate, 143), (SIGINT, CancelReason::Interrupt, 130)];
    for (signal, reason, code) in signals.into_iter().filter(|(signal, ..)| !is_ignored(*signal)) {
        // The order matters: the flag that the first signal sets ends the process at the second one.
        flag::register_conditional_shutdown(signal, code, Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
        if let Some((_, met)) = met.iter().find(|(known, _)| *known == reason) {
            flag::register(signal, Arc::clone(met))?;
        }
        let (read, write) = UnixStream::pair()?;
        pipe::register(signal, write)?;
        read.set_nonblocking(true)?;
        let mut read = tokio::net::UnixStream::from_std(read)?;
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            if read.read_u8().await.is_ok() {
                sender.send_if_modified(|known| set_once(known, reason));
            }
        });
    }
    // A write beyond the file size limit then fails like one on a full disk, and does not end the process. The handler
    // does nothing; "ignore" would be inherited by child processes, and a handler is not.
    if !is_ignored(SIGXFSZ) {
        flag::register(SIGXFSZ, Arc::default())?;
    }
    let (deadline, mut known) = watch::channel(None);
    tokio::spawn(async move {
        let began = tokio::time::Instant::now();
        let deadline: Option<Duration> = known.wait_for(Option::is_some).await.ok().and_then(|known| *known);
        if let Some(deadline) = deadline {
            tokio::time::sleep_until(began + deadline).await;
            sender.send_if_modified(|known| set_once(known, CancelReason::Deadline));
        }
    });
    Ok(Cancel { told: receiver, met, deadline: Arc::new(deadline), grace: Arc::default() })
}

/// Records the reason if there is none yet. Returns true if it was recorded.
fn set_once(known: &mut Option<CancelReason>, reason: CancelReason) -> bool {
    let first = known.is_none();
    known.get_or_insert(reason);
    first
}
