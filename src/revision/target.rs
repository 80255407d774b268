//! Where a run is to end: `head`, `heads`, a revision or an unambiguous prefix.

use std::fmt;

use super::Id;

/// A target as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one head of the folder.
    Head,
    /// All heads of the folder.
    Heads,
    /// A revision, or the beginning of one.
    Revision(String),
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// Says which forms are accepted.
    pub fn parse(text: &str) -> Result<Target, String> {
        match text {
            "head" => Ok(Target::Head),
            "heads" => Ok(Target::Heads),
            _ if Id::parse(text).is_some() => Ok(Target::Revision(text.into())),
            _ => Err(format!("\"{text}\" is not a target; write head, heads or a revision number")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Head => f.write_str("head"),
            Target::Heads => f.write_str("heads"),
            Target::Revision(text) => f.write_str(text),
        }
    }
}
