//! Every reason why a target cannot be resolved, and its message.

use std::fmt;

use super::{Direction, list};
use crate::revision::Version;

/// The reason why a target cannot be resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// No revision begins with these digits.
    Unknown {
        /// The text that was written.
        name: String,
    },
    /// Several revisions begin with these digits.
    Ambiguous {
        /// The text that was written.
        name: String,
        /// The revisions that it may mean.
        candidates: Vec<Version>,
    },
    /// The graph forks there, so that several revisions come next.
    Fork {
        /// The revision at which the graph forks.
        target: String,
        /// The revisions that come next.
        candidates: Vec<Version>,
    },
    /// The target has more steps than there are.
    TooFar {
        /// The target as it was written.
        target: String,
        /// The number of possible steps.
        steps: usize,
        /// The direction of the run.
        direction: Direction,
    },
    /// The target is a step beyond the first or last revision of the directory.
    Beyond {
        /// The target as it was written.
        target: String,
    },
    /// `stamp +1`: the target of a stamp counts from the revision that the database is at.
    Unanchored {
        /// The target as it was written.
        target: String,
    },
    /// `upgrade -1`, `downgrade +1`, `upgrade base`: the target is in the other direction.
    WrongWay {
        /// The target as it was written.
        target: String,
        /// The direction of the run.
        direction: Direction,
    },
    /// The target of a downgrade is a revision that the database does not have.
    NotApplied {
        /// The revision.
        id: Version,
    },
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Unknown { name } => write!(f, "no revision in the directory begins with {name}"),
            TargetError::Ambiguous { name, candidates } => {
                write!(f, "{name} fits several revisions: {}; write more digits", list(candidates))
            }
            TargetError::Fork { target, candidates } => {
                write!(f, "{target} can be reached by several ways ({}); name a revision", list(candidates))
            }
            TargetError::TooFar { target, steps: 0, direction: Direction::Up } => {
                write!(f, "{target} goes too far: nothing is pending")
            }
            TargetError::TooFar { target, steps: 0, direction: Direction::Down } => {
                write!(f, "{target} goes too far: the database is at base")
            }
            TargetError::TooFar { target, steps, direction: Direction::Up } => {
                write!(f, "{target} goes too far: revisions pending: {steps}")
            }
            TargetError::TooFar { target, steps, direction: Direction::Down } => {
                write!(f, "{target} goes past base: revisions that can be undone: {steps}")
            }
            TargetError::Beyond { target } => write!(f, "{target} lies beyond the directory's revisions"),
            TargetError::Unanchored { target } => write!(
                f,
                "stamp says where the schema is, and {target} counts from where the history says that it is; name a revision, or count from one (REV{target})"
            ),
            TargetError::WrongWay { target, direction: Direction::Up } => {
                write!(f, "upgrade goes up: {target} is for lockkeeper downgrade {target}")
            }
            TargetError::WrongWay { target, direction: Direction::Down } => {
                write!(f, "downgrade goes back: {target} is for lockkeeper upgrade {target}")
            }
            TargetError::NotApplied { id } => {
                write!(f, "revision {id} is not applied, so a downgrade cannot end at it")
            }
        }
    }
}
