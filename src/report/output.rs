//! Answers on standard output, to their end.

use std::io::{self, Write};
use std::time::Duration;

use super::{PAGE, is_writable, page};
use crate::error::Cause;
use crate::signal::Cancel;

/// Between two looks whether a slow reader of an answer goes on.
const READER: Duration = Duration::from_millis(5);
/// So long is a reader looked at that is about to take more.
const GLANCE: Duration = Duration::from_millis(1);

/// Prints an answer that is what the command is for: to its end, however slowly it is read (a pager may take minutes).
/// A reader that has gone has read enough.
///
/// # Errors
/// An output that takes no more, a signal: what was printed is incomplete.
pub async fn answer(text: &str, cancel: &Cancel) -> Result<(), Cause> {
    match bytes(page(text).as_bytes(), cancel).await {
        Err(Cause::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes bytes as they are on standard output, in pieces that its reader takes.
///
/// # Errors
/// As [`answer`], and a reader that is gone.
pub async fn bytes(bytes: &[u8], cancel: &Cancel) -> Result<(), Cause> {
    let mut out = io::stdout();
    for piece in bytes.chunks(PAGE) {
        while !is_writable(&out, GLANCE).map_err(Cause::Output)? {
            tokio::select! {
                () = tokio::time::sleep(READER) => {}
                reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
            }
        }
        out.write_all(piece).and_then(|()| out.flush()).map_err(Cause::Output)?;
    }
    Ok(())
}
