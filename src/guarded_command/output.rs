//! Passes the output of a guarded command on, line by line.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::masking::mask_message;

/// The length in bytes of the longest line that is passed on; the rest of a longer one is left out.
const MAX_SHOWN: usize = 8 << 10;
/// The number of bytes of a line that are kept until its end: more than are shown, so that a secret across the cut is
/// found whole.
const MAX_KEPT: usize = 8 * MAX_SHOWN;
/// The number of lines that are returned to the caller, the last ones.
const MAX_RETURNED: usize = 1000;

/// The use of the output of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputUse {
    /// Each line is logged.
    Logged,
    /// Each line is logged at the level of debugging: the command only answers a question.
    Answer,
    /// Standard output is one document, which is returned and not logged; each line of standard error is logged.
    Document,
}

/// The size of the largest document, in bytes. One more byte of a larger one is returned, and the rest is left out.
pub(crate) const MAX_DOCUMENT: usize = 1 << 16;

/// Reads the document of a program to its end. Returns it as one line, with U+FFFD where it is not UTF-8.
pub(super) async fn keep(mut pipe: impl AsyncRead + Unpin) -> Vec<String> {
    let mut document = Vec::new();
    let mut bytes = vec![0; 16 << 10];
    loop {
        // A pipe that cannot be read any more has ended.
        let read = pipe.read(&mut bytes).await.unwrap_or(0);
        if read == 0 {
            return vec![String::from_utf8_lossy(&document).into_owned()];
        }
        let room = MAX_DOCUMENT + 1 - document.len();
        document.extend_from_slice(&bytes[..read.min(room)]);
    }
}

/// The length in bytes of the longest output that is a part of an error.
const MAX_EXCERPT: usize = 300;

/// Returns the beginning of an output, for an error: on one line, and without its secrets. They are masked before the
/// output is cut.
pub(crate) fn excerpt(output: &str) -> String {
    let masked = mask_message(output.trim()).split_whitespace().collect::<Vec<_>>().join(" ");
    match masked.len() > MAX_EXCERPT {
        true => masked[..masked.floor_char_boundary(MAX_EXCERPT)].to_owned() + " ...",
        false => masked,
    }
}

/// Reads the output of a program to its end and logs every line, with secrets masked. Returns the last lines as they
/// are.
///
/// Each line is an event of the log and is not written as it is, so that a log of JSON lines stays one, no control
/// character moves a terminal or forges a line, the result of `--json` has standard output for itself, and a reader of
/// the log that has stopped reading does not stop a migration.
pub(super) async fn pass_on(mut pipe: impl AsyncRead + Unpin, tool: String, output_use: OutputUse) -> Vec<String> {
    let mut lines = LineBuffer::default();
    let mut returned = VecDeque::new();
    let mut bytes = vec![0; 16 << 10];
    let mut deliver = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line).into_owned();
        let shown = show(&line);
        match output_use {
            OutputUse::Logged | OutputUse::Document => tracing::info!(tool, "{shown}"),
            OutputUse::Answer => tracing::debug!(tool, "{shown}"),
        }
        returned.push_back(line);
        if returned.len() > MAX_RETURNED {
            returned.pop_front();
        }
    };
    loop {
        // A pipe that cannot be read any more has ended.
        let read = pipe.read(&mut bytes).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        bytes[..read].iter().for_each(|&byte| lines.push(byte).into_iter().for_each(&mut deliver));
    }
    lines.take().into_iter().for_each(&mut deliver);
    returned.into()
}

/// The number of lines of an answer that are logged when it turns out to be none.
const MAX_QUOTED: usize = 20;

/// Logs the last lines of a command whose output was taken for an answer.
pub(crate) fn log_lines(tool: &str, lines: &[String]) {
    let skipped = lines.len().saturating_sub(MAX_QUOTED);
    lines.iter().skip(skipped).for_each(|line| tracing::error!(tool, "{}", show(line)));
}

/// The beginning of a line whose end was not read yet, of at most [`MAX_KEPT`] bytes.
#[derive(Default)]
struct LineBuffer {
    bytes: Vec<u8>,
}

impl LineBuffer {
    /// Adds a byte. Returns the line that it ends, unless that is empty: a progress display ends lines with a carriage
    /// return.
    fn push(&mut self, byte: u8) -> Option<Vec<u8>> {
        match byte {
            b'\n' | b'\r' => return self.take(),
            _ if self.bytes.len() < MAX_KEPT => self.bytes.push(byte),
            _ => {}
        }
        None
    }

    /// Returns what was read of the current line, unless that is nothing.
    fn take(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.bytes)).filter(|line| !line.trim_ascii().is_empty())
    }
}

/// Returns a line as it is logged: without its secrets, and cut after [`MAX_SHOWN`] bytes.
fn show(line: &str) -> String {
    let masked = mask_message(line.trim_end());
    match masked.len() > MAX_SHOWN {
        true => masked[..masked.floor_char_boundary(MAX_SHOWN)].to_owned() + " ...",
        false => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        pass_on(bytes, "tool".into(), OutputUse::Logged).await
    }

    #[test]
    fn lines_end_with_line_feeds_or_carriage_returns_and_are_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            assert_eq!(lines(b"one\r\ntwo\r50%\r100%\n\n \nlast").await, ["one", "two", "50%", "100%", "last"]);
            let long = "x".repeat(3 * MAX_KEPT);
            assert_eq!(lines(format!("{long}\nnext").as_bytes()).await, [&long[..MAX_KEPT], "next"]);
            assert_eq!(lines("n\n".repeat(3 * MAX_RETURNED).as_bytes()).await.len(), MAX_RETURNED);
        });
        assert_eq!(show(&"é".repeat(MAX_SHOWN)).len(), MAX_SHOWN + " ...".len());
    }

    #[test]
    fn a_secret_across_the_cut_is_not_shown() {
        crate::masking::hide("canary-across-the-cut", &[]);
        for padding in MAX_SHOWN - 30..MAX_SHOWN + 5 {
            let shown = show(&format!("{}canary-across-the-cut", "x".repeat(padding)));
            assert!(!shown.contains("can") && !shown.contains("cut"), "{padding}");
        }
    }
}
