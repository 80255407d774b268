//! Waits for other connections to a database file on a thread that may block.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::database::{DatabaseError, DatabaseErrorKind};

/// Repeats an attempt for up to `timeout` while other connections keep the database file busy. Each attempt waits as
/// long as the connection's busy timeout says, so that there is no pause between two of them.
///
/// # Errors
/// Fails with the error of the last attempt, or when `stop` is set.
pub(crate) fn retry_while_busy<T, E>(
    timeout: Duration,
    stop: &AtomicBool,
    mut operation: impl FnMut() -> Result<T, E>,
) -> Result<T, E>
where
    E: From<DatabaseError> + AsRef<DatabaseError>,
{
    let deadline = Instant::now() + timeout;
    loop {
        match operation() {
            Err(error) if error.as_ref().kind == DatabaseErrorKind::Busy && Instant::now() < deadline => {
                if stop.load(Ordering::Relaxed) {
                    let message = "interrupted while waiting for another connection to the database file";
                    return Err(DatabaseError::new(DatabaseErrorKind::Cancelled, message).into());
                }
            }
            result => return result,
        }
    }
}
