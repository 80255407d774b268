//! What keeps a script from being printed.

use std::io;

use crate::revision::batch::BatchError;

/// Why a script was not printed to its end.
#[derive(Debug)]
pub enum Unprinted {
    Output(io::Error),
    Text(BatchError),
    /// The file differs from what was read before.
    Changed,
    /// The statements that an earlier run has done were edited.
    ResumeEdited {
        done: usize,
    },
}

impl From<io::Error> for Unprinted {
    fn from(error: io::Error) -> Self {
        Unprinted::Output(error)
    }
}

impl From<BatchError> for Unprinted {
    fn from(error: BatchError) -> Self {
        Unprinted::Text(error)
    }
}
