//! SIGTERM, SIGINT and the overall deadline as one cancellation that every wait and every step consults.

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

/// Why a run is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    Terminate,
    Interrupt,
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

/// The cancellation; clones see the same.
#[derive(Clone)]
pub struct Cancel {
    told: watch::Receiver<Option<CancelReason>>,
    /// Which signals have come, as the handlers leave it.
    met: [(CancelReason, Arc<AtomicBool>); 2],
    deadline: Arc<watch::Sender<Option<Duration>>>,
    grace: Arc<OnceLock<Duration>>,
}

impl Cancel {
    /// Sets the deadline, counted from the start.
    pub fn set_deadline(&self, deadline: Duration) {
        self.deadline.send_replace(Some(deadline));
    }

    /// Notes that the settings are read and the work begins, and how long it may take to end after a cancellation.
    pub fn begin(&self, grace: Duration) {
        self.grace.get_or_init(|| grace);
    }

    /// How long the work may take to end after a cancellation; `None` before it has begun.
    pub fn grace(&self) -> Option<Duration> {
        self.grace.get().copied()
    }

    pub fn reason(&self) -> Option<CancelReason> {
        *self.told.borrow()
    }

    /// The signal that has come, even if nobody runs any more who could tell: when the work is done.
    pub fn signal(&self) -> Option<CancelReason> {
        self.met.iter().find(|(_, met)| met.load(Ordering::SeqCst)).map(|(reason, _)| *reason)
    }

    /// Comes back when the run is to end.
    pub async fn cancelled(&self) -> CancelReason {
        let mut receiver = self.told.clone();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                // Nobody is left who could cancel: wait for ever.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Listens from now on: as PID 1 a process without a handler would not be ended by SIGTERM at all. A second signal
/// ends the process at once. A signal that this process was started to ignore stays ignored.
///
/// # Errors
/// The system's, when it has no file descriptors or handlers left.
pub fn listen() -> io::Result<Cancel> {
    let (sender, receiver) = watch::channel(None);
    let sender = Arc::new(sender);
    let again = Arc::new(AtomicBool::new(false));
    let met = [CancelReason::Terminate, CancelReason::Interrupt].map(|reason| (reason, Arc::default()));
    let signals = [(SIGTERM, CancelReason::Terminate, 143), (SIGINT, CancelReason::Interrupt, 130)];
    for (signal, reason, code) in signals.into_iter().filter(|(signal, ..)| !is_ignored(*signal)) {
        // In this order: the flag that the first signal sets is what the second one meets.
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
    // A file that meets the limit for its size is an error like a full disk, not our death. A handler that does nothing,
    // not "ignore": the children inherit only the latter.
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

fn set_once(known: &mut Option<CancelReason>, reason: CancelReason) -> bool {
    let first = known.is_none();
    known.get_or_insert(reason);
    first
}
