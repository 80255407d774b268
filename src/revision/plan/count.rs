//! The number of scripts that a run applies.

use std::fmt;

/// A number of revisions and of repeatable scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptCount {
    /// The number of revisions.
    pub(crate) revisions: usize,
    /// The number of repeatable scripts.
    pub(crate) repeatables: usize,
}

impl ScriptCount {
    /// Returns the number of all scripts.
    pub(crate) fn total(self) -> usize {
        self.revisions + self.repeatables
    }

    /// Returns the count with the verb that goes with it: `2 revisions are`.
    pub(crate) fn with_verb(self) -> String {
        format!("{self} {}", if self.total() == 1 { "is" } else { "are" })
    }
}

impl fmt::Display for ScriptCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        match (self.revisions, self.repeatables) {
            (revisions, 0) => f.write_str(&some(revisions, "revision")),
            (0, repeatables) => f.write_str(&some(repeatables, "repeatable script")),
            (revisions, repeatables) => {
                write!(f, "{} and {}", some(revisions, "revision"), some(repeatables, "repeatable script"))
            }
        }
    }
}
