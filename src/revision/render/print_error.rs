//! What keeps a script from being printed.

use std::io;

use crate::revision::batch::BatchError;

/// Why a script was not printed to its end.
#[derive(Debug)]
pub enum PrintError {
    Output(io::Error),
    Text(BatchError),
    /// The file differs from what was read before.
    Changed,
    /// The statements that an earlier run has done were edited.
    ResumeEdited {
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
