//! Keeping runs of Lockkeeper away from the file: between two of their revisions its tables are of neither.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::database::sqlite::{lock_path, resolved};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::safe_file;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The runs' lock, shared with other readers, for as long as it is kept; a run that holds it is waited for. Without the file
/// of the lock there was no run yet, and none is made.
///
/// # Errors
/// A run holds it for longer than `patience`; `stop`.
pub fn turn(database: &Path, patience: Duration, stop: &AtomicBool) -> Result<Option<File>, DatabaseError> {
    let path = lock_path(&resolved(database));
    let Ok(file) = safe_file::open_ours(&path) else { return Ok(None) };
    let until = Instant::now() + patience;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(Some(file)),
            // A file system without locks: no run can have one there, either.
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => {
                return Err(DatabaseError::new(
                    DatabaseErrorKind::Cancelled,
                    "interrupted while another run was waited for",
                ));
            }
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                let message = format!("{}: another run of lockkeeper works on it", database.display());
                return Err(
                    DatabaseError::new(DatabaseErrorKind::Busy, message).with_hint("run again when it has ended")
                );
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
}
