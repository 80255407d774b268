//! The point at which a script without a transaction continues.

use super::{Applied, Direction, RecordedState};
use crate::revision::Fingerprint;

/// The outcome of the statement behind the finished ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatementOutcome {
    /// The statement has not begun, or has failed.
    #[default]
    Known,
    /// The statement has begun, and the run ended before the outcome was recorded.
    Open,
}

/// The progress of an earlier run of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The number of finished statements.
    pub(crate) done: usize,
    /// The fingerprint of the text up to the end of the last finished statement.
    pub(crate) executed: Fingerprint,
    /// The outcome of the next statement.
    pub(crate) outcome: StatementOutcome,
}

impl Resume {
    /// Returns the point at which an unfinished script continues. Returns `None` for a revision that is not unfinished
    /// in this direction, and for a row without a fingerprint.
    pub(crate) fn from_row(row: &Applied, direction: Direction) -> Option<Resume> {
        match (row.state, direction) {
            (RecordedState::Partial { done }, Direction::Up) | (RecordedState::Undoing { done }, Direction::Down) => {
                row.executed.map(|executed| Resume { done, executed, outcome: row.outcome })
            }
            _ => None,
        }
    }
}
