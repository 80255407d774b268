//! The values that a run passes down to its stages.

use tracing::Span;

use crate::report::ProgressLine;
use crate::signal::Cancel;

/// The values of one run on one database. A process can have several runs at a time.
///
/// Passwords are not among them: every line of the process has to hide the passwords of all its databases, and so they
/// belong to the process (see [`crate::masking::hide`]).
#[derive(Clone)]
pub struct RunContext {
    /// The span in which the run logs: it names the database if the process works on several.
    pub(crate) span: Span,
    /// The cancellation of this run, which ends with that of the process.
    pub cancel: Cancel,
    /// The line of the terminal for progress, which the runs of a process share.
    pub(crate) progress: ProgressLine,
}

impl RunContext {
    /// Creates the context of the only run of a process.
    pub fn new(process: &Cancel, progress: &ProgressLine) -> RunContext {
        RunContext { span: Span::none(), cancel: process.child(), progress: progress.clone() }
    }

    /// Names the database in every log line of the run, because the process works on several.
    #[must_use]
    pub fn naming(self, database: &str) -> RunContext {
        // The level is that of errors, so that the span is there whatever the level of the log is.
        RunContext { span: tracing::error_span!("database", database), ..self }
    }
}
