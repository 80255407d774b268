//! Where a script without a transaction goes on.

use super::{Applied, Direction, RecordedState};
use crate::revision::Checksum;

/// What is known of the statement behind those that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatementOutcome {
    /// It has not begun, or has failed.
    #[default]
    Known,
    /// It has begun, and the run ended before it could say how that came out.
    Open,
}

/// How far an earlier run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Statements that are done.
    pub done: usize,
    /// Of the text up to the last of them.
    pub checksum: Checksum,
    /// Of the one behind them.
    pub outcome: StatementOutcome,
}

impl Resume {
    /// Where an unfinished script goes on, when it is run the same way again.
    pub fn from_row(row: &Applied, direction: Direction) -> Option<Resume> {
        match (row.state, direction) {
            (RecordedState::Partial { done }, Direction::Up) | (RecordedState::Undoing { done }, Direction::Down) => {
                row.checksum.map(|checksum| Resume { done, checksum, outcome: row.outcome })
            }
            _ => None,
        }
    }
}
