//! The cancellation of a process and of each run in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

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

/// A handle to the cancellation of the process or of one run. All clones share its state. A child is cancelled with its
/// parent, and can be cancelled alone.
#[derive(Clone, Default)]
pub struct Cancel {
    node: Arc<CancelNode>,
    process: Arc<ProcessCancel>,
}

/// The state of one handle and its clones.
#[derive(Default)]
struct CancelNode {
    /// The reason of the cancellation, when there is one.
    reason: watch::Sender<Option<CancelReason>>,
    /// The children that exist still.
    children: Mutex<Vec<Weak<CancelNode>>>,
}

/// The state that all handles of a process share.
#[derive(Default)]
pub(super) struct ProcessCancel {
    /// Set when SIGTERM has arrived.
    pub(super) terminate: Arc<AtomicBool>,
    /// Set when SIGINT has arrived.
    pub(super) interrupt: Arc<AtomicBool>,
    /// The overall deadline, for the task that waits for it.
    pub(super) deadline: watch::Sender<Option<Duration>>,
    /// The grace period, when the work has begun.
    grace: OnceLock<Duration>,
}

impl Cancel {
    /// Returns the state that all handles of the process share.
    pub(super) fn process(&self) -> &ProcessCancel {
        &self.process
    }

    /// Creates a handle that is cancelled with this one, and can be cancelled alone.
    pub(crate) fn child(&self) -> Cancel {
        let node = Arc::new(CancelNode::default());
        let mut children = self.node.children();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&node));
        // The lock on the children is kept: a cancellation either finds this child or is found here.
        if let Some(reason) = self.reason() {
            node.cancel(reason);
        }
        drop(children);
        Cancel { node, process: Arc::clone(&self.process) }
    }

    /// Cancels this handle and its children. A handle that is cancelled already keeps its first reason.
    pub fn cancel(&self, reason: CancelReason) {
        self.node.cancel(reason);
    }

    /// Sets the overall deadline, counted from the start of the process.
    pub fn set_deadline(&self, deadline: Duration) {
        self.process.deadline.send_replace(Some(deadline));
    }

    /// Records that the settings are read and the work begins, and the longest time that the work may take to end after
    /// a cancellation.
    pub fn begin(&self, grace: Duration) {
        self.process.grace.get_or_init(|| grace);
    }

    /// Returns the longest time that the work may take to end after a cancellation; `None` before the work has begun.
    pub(crate) fn grace(&self) -> Option<Duration> {
        self.process.grace.get().copied()
    }

    /// Returns the reason of the cancellation; `None` if the run is not cancelled.
    pub fn reason(&self) -> Option<CancelReason> {
        *self.node.reason.borrow()
    }

    /// Returns the signal that has arrived, even if the task that forwards signals does not run any more, as after the
    /// work.
    pub fn signal(&self) -> Option<CancelReason> {
        let ProcessCancel { terminate, interrupt, .. } = &*self.process;
        let signals = [(terminate, CancelReason::Terminate), (interrupt, CancelReason::Interrupt)];
        signals.into_iter().find(|(is_received, _)| is_received.load(Ordering::SeqCst)).map(|(_, reason)| reason)
    }

    /// Waits until the run is cancelled, and returns the reason.
    pub async fn cancelled(&self) -> CancelReason {
        let mut receiver = self.node.reason.subscribe();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            // The sender belongs to this handle, so that this cannot fail.
            let _ = receiver.changed().await;
        }
    }
}

impl CancelNode {
    /// Locks the children. A poisoned mutex is accepted: a panic leaves nothing half done in it.
    fn children(&self) -> MutexGuard<'_, Vec<Weak<CancelNode>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self, reason: CancelReason) {
        let children = self.children();
        self.reason.send_if_modified(|current| set_once(current, reason));
        children.iter().filter_map(Weak::upgrade).for_each(|child| child.cancel(reason));
    }
}

/// Records the reason if there is none yet. Returns true if it was recorded.
fn set_once(current: &mut Option<CancelReason>, reason: CancelReason) -> bool {
    let is_first = current.is_none();
    current.get_or_insert(reason);
    is_first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_cancelled_alone_or_with_its_parent() {
        let process = Cancel::default();
        let (one, other) = (process.child(), process.child());
        one.cancel(CancelReason::Deadline);
        assert_eq!((process.reason(), other.reason()), (None, None));
        process.cancel(CancelReason::Terminate);
        let late = process.child().child();
        let reasons = [&one, &other, &late].map(Cancel::reason);
        let expected = [CancelReason::Deadline, CancelReason::Terminate, CancelReason::Terminate];
        assert_eq!(reasons, expected.map(Some));
    }
}
