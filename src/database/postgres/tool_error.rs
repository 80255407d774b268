//! The reasons why a tool such as `pg_dump` fails.

use rustix::process::Signal;

/// The reason why a tool such as `pg_dump` was not found, could not run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The tool was not found.
    #[error("{tool} was not found ({detail})")]
    Missing {
        /// The name of the tool.
        tool: String,
        /// The places where it was looked for.
        detail: String,
    },
    /// The major version of the tool is older than the one that is needed.
    #[error("{tool} is version {version}, older than {than}")]
    TooOld {
        /// The name of the tool.
        tool: String,
        /// Its major version.
        version: u32,
        /// The description of what has the newer version.
        than: String,
    },
    /// The process of the tool could not be started or waited for.
    #[error("{tool} could not be run: {error}")]
    NotRun {
        /// The name of the tool.
        tool: String,
        /// The error of the system.
        error: std::io::Error,
    },
    /// A signal ended the tool.
    #[error("{tool} was killed by signal {signal}{output}", output = last_line(output))]
    Killed {
        /// The name of the tool.
        tool: String,
        /// The number of the signal.
        signal: i32,
        /// The last lines that it wrote.
        output: String,
    },
    /// The tool ended with an exit code other than 0.
    #[error("{tool} failed with code {code}{output}", output = last_line(output))]
    Failed {
        /// The name of the tool.
        tool: String,
        /// Its exit code.
        code: i32,
        /// Its lines from the first error on.
        output: String,
        /// The reason according to all of its lines.
        reason: FailureReason,
    },
}

/// The reason of a tool's failure, according to its messages. Most of these come from libpq and the server, and are in
/// English here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The disk was full, or a quota or the limit for a file's size was used up.
    NoRoom,
    /// A table stayed locked for longer than the tool waits, or somebody waits for a lock that keeps the further sessions
    /// of a parallel dump from theirs (manual, pg_dump, `--jobs`).
    Contended,
    /// The tool lost its session or the snapshot that it was given, or got no session from a server that may have room
    /// for it later.
    Lost,
    /// None of the other reasons.
    Other,
}

impl FailureReason {
    /// Searches all lines that a tool has written for the reason, because many lines may follow the one that names it.
    pub(super) fn find(lines: &[String]) -> FailureReason {
        const REASONS: [(FailureReason, &[&str]); 3] = [
            (FailureReason::NoRoom, &["No space left", "Disk quota exceeded", "File too large"]),
            (FailureReason::Contended, &["due to lock timeout", "could not obtain lock on relation"]),
            (
                FailureReason::Lost,
                &[
                    "server closed the connection",
                    "terminating connection",
                    "SSL connection has been closed",
                    "SSL SYSCALL error",
                    "no connection to the server",
                    "could not receive data from server",
                    "could not send data to server",
                    "could not translate host name",
                    "Connection refused",
                    "Connection reset by peer",
                    "Connection timed out",
                    "timeout expired",
                    "No route to host",
                    "Network is unreachable",
                    "Is the server running",
                    "the database system is ",
                    "too many clients already",
                    "too many connections for",
                    "remaining connection slots",
                    // The session that had exported the snapshot was ended.
                    "invalid snapshot identifier",
                    "could not import the requested snapshot",
                ],
            ),
        ];
        let has = |text: &&str| lines.iter().any(|line| line.contains(text));
        let found = REASONS.iter().find(|(_, texts)| texts.iter().any(&has));
        found.map_or(FailureReason::Other, |(reason, _)| *reason)
    }
}

impl ToolError {
    /// Returns the reason of the tool's failure.
    pub(crate) fn reason(&self) -> FailureReason {
        match self {
            ToolError::Failed { reason, .. } => *reason,
            ToolError::Killed { signal, .. } if *signal == Signal::XFSZ.as_raw() => FailureReason::NoRoom,
            _ => FailureReason::Other,
        }
    }

    /// Reports whether a table stayed locked for longer than the tool waits.
    pub(crate) fn is_contended(&self) -> bool {
        self.reason() == FailureReason::Contended
    }

    /// Reports whether the tool lost its session, or got none from a server that may have room for it later.
    pub(crate) fn is_lost(&self) -> bool {
        self.reason() == FailureReason::Lost
    }

    /// Reports whether the disk was full, or a quota or the limit for a file's size was used up.
    pub(crate) fn is_no_room(&self) -> bool {
        self.reason() == FailureReason::NoRoom
    }
}

/// Returns the output of a tool as the end of a sentence.
fn last_line(output: &str) -> String {
    if output.is_empty() { " and said nothing".into() } else { format!(": {output}") }
}
