//! The values that statements write into the history table.

use std::time::Duration;

use crate::revision::{Checksum, Direction, TransactionMode, Version};

/// The values of the row of a revision.
#[derive(Clone, Debug)]
pub struct HistoryRow<'a> {
    /// The direction of the script: an upgrade writes the row, a downgrade removes it.
    pub direction: Direction,
    /// The revision.
    pub id: &'a Version,
    /// The description in the file's name.
    pub description: &'a str,
    /// The checksum of the up script, or of the part of it that was executed.
    pub checksum: Checksum,
    /// For an upgrade: the checksum of the down script.
    pub down: Option<Checksum>,
    /// The part of the script that was executed.
    pub progress: RecordedProgress,
    /// A script without a transaction writes its row after each statement; any other inserts it once.
    pub mode: TransactionMode,
    /// The file name of the backup that was taken before.
    pub backup: Option<&'a str>,
    /// The duration of the step.
    pub took: Elapsed,
}

/// The part of a script that the row records as executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedProgress {
    /// The whole script.
    Whole {
        /// The number of its statements.
        statements: usize,
    },
    /// The first statements.
    Part {
        /// The number of statements that were executed.
        done: usize,
        /// The number of statements in the script.
        total: usize,
    },
    /// Like `Part`, and the next statement begins now. If the run ends before it does, a rerun must not just repeat it.
    Begun {
        /// The number of statements that were executed.
        done: usize,
        /// The number of statements in the script.
        total: usize,
    },
}

impl RecordedProgress {
    /// Returns the value of `statements_done`. A begun statement is counted, and the sign is turned: a release that
    /// does not know this state refuses such a row and stops.
    pub(super) fn done(self) -> String {
        match self {
            RecordedProgress::Whole { statements } => statements.to_string(),
            RecordedProgress::Part { done, .. } => done.to_string(),
            RecordedProgress::Begun { done, .. } => format!("-{}", done + 1),
        }
    }
}

/// A change of the history without a script that runs. The row has the number `id`, spelled as the history spells it.
#[derive(Clone, Debug)]
pub enum HistoryChange<'a> {
    /// Writes this row.
    Record(HistoryRow<'a>),
    /// Removes the row with this number.
    Remove(&'a Version),
    /// Records statements of a script without a transaction as executed, and the next one as not begun.
    Decide {
        /// The revision.
        id: &'a Version,
        /// The number of statements that were executed.
        done: usize,
        /// The checksum of the text of these statements.
        checksum: Checksum,
    },
    /// Records the checksum of an edited file as that of the applied one.
    Accept {
        /// The revision.
        id: &'a Version,
        /// The direction of the edited script.
        direction: Direction,
        /// The checksum in the history; `None` if the history has none that can be read.
        recorded: Option<Checksum>,
        /// The checksum of the file.
        now: Checksum,
    },
}

/// The duration of a step in the row.
#[derive(Clone, Copy, Debug)]
pub enum Elapsed {
    /// A duration that was measured.
    Known(Duration),
    /// The time since the transaction began, which PostgreSQL computes: this saves a message.
    SinceBegin,
}
