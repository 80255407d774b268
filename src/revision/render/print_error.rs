//! The errors of printing a script.

use std::io;

use crate::revision::batch::BatchError;

/// The reason why a script was not printed to its end.
#[derive(Debug)]
pub(crate) enum PrintError {
    /// The output cannot be written.
    Output(io::Error),
    /// The file cannot be read, or is no script.
    Text(BatchError),
    /// The file differs from the text that was read before.
    Changed,
    /// The statements that an earlier run has executed were edited.
    ResumeEdited {
        /// The number of those statements.
        done: usize,
    },
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        PrintError::Output(error)
    }
}

impl From<BatchError> for PrintError {
    fn from(error: BatchError) -> Self {
        PrintError::Text(error)
    }
}
