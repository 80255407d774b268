//! The two directions in which revisions run.

/// The direction of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Revisions are applied.
    #[default]
    Up,
    /// Revisions are undone.
    Down,
}

impl Direction {
    /// Returns the command that runs in this direction.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Direction::Up => "upgrade",
            Direction::Down => "downgrade",
        }
    }

    /// Returns the participle for a revision that was run in this direction.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Direction::Up => "applied",
            Direction::Down => "undone",
        }
    }
}
