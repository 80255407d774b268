//! Keeps runs of Lockkeeper away from the source: in the middle of a run the tables belong neither to the revision
//! before the run nor to the one after it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::database::sqlite::{lock_path, resolved};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::safe_file;

/// The pause between two attempts to take the lock.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock of the runs, shared with other readers, and waits for a run that holds it. `None` if the lock file
/// does not exist, because then no run was ever made (the file is not created), or if the file system has no locks.
///
/// # Errors
/// A run holds the lock for longer than `timeout`, or `stop` is set.
pub(crate) fn wait_for_runs(
    database: &Path,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<Option<File>, DatabaseError> {
    let path = lock_path(&resolved(database));
    let Ok(file) = safe_file::open_ours(&path) else { return Ok(None) };
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(Some(file)),
            // On a file system without locks a run cannot hold one, either.
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => {
                return Err(DatabaseError::new(
                    DatabaseErrorKind::Cancelled,
                    "interrupted while another run was waited for",
                ));
            }
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let message = format!("{}: another run of lockkeeper works on it", database.display());
                return Err(
                    DatabaseError::new(DatabaseErrorKind::Busy, message).with_hint("run again when it has ended")
                );
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY_PAUSE),
        }
    }
}
