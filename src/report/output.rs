//! Writes whole answers to standard output.

use std::io::{self, Write};
use std::time::Duration;

use super::{MAX_WRITE_BYTES, is_writable, sanitize};
use crate::error::Cause;
use crate::signal::Cancel;

/// The pause between two checks of a slow reader.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);
/// The time for which a check waits for a reader that is about to continue.
const POLL_TIMEOUT: Duration = Duration::from_millis(1);

/// Prints the answer of a command completely, however slowly it is read (a pager may take minutes). A reader that has
/// closed the output has read enough, and is no error.
///
/// # Errors
/// Fails when standard output cannot be written or a signal arrives; the printed answer is incomplete then.
pub(crate) async fn answer(text: &str, cancel: &Cancel) -> Result<(), Cause> {
    match bytes(sanitize(text).as_bytes(), cancel).await {
        Err(Cause::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes bytes unchanged to standard output, in pages, each of which waits for the reader.
///
/// # Errors
/// Fails as [`answer`] does, and when the reader has closed the output.
pub(crate) async fn bytes(bytes: &[u8], cancel: &Cancel) -> Result<(), Cause> {
    let mut out = io::stdout();
    for chunk in bytes.chunks(MAX_WRITE_BYTES) {
        while !is_writable(&out, POLL_TIMEOUT).map_err(Cause::Output)? {
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
            }
        }
        out.write_all(chunk).and_then(|()| out.flush()).map_err(Cause::Output)?;
    }
    Ok(())
}
