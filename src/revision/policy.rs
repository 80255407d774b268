//! The rules by which the scripts of a layout run.

/// The rules by which the scripts of a layout run, where layouts differ.
#[derive(Debug)]
pub struct Policy {
    /// The settings of a session between two scripts.
    pub(crate) session: SessionPolicy,
    /// Revisions that come before an applied one and are not applied.
    pub(crate) late: LateRevisions,
    /// BEGIN and COMMIT in a script that runs in a transaction.
    pub(crate) brackets: BracketPolicy,
    /// The lines with which other tools divide a file.
    pub(crate) markers: MarkerPolicy,
    /// Foreign keys of SQLite while a script runs.
    pub(crate) foreign_keys: ForeignKeyPolicy,
    /// The advice for a statement that refuses to run in a transaction: how a file says that it has none.
    pub(crate) without_transaction: &'static str,
}

/// The settings of a session between two scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPolicy {
    /// Each script begins with the settings of a new session.
    Reset,
    /// The settings of a script hold for those behind it.
    Kept,
}

/// The treatment of revisions that come before an applied one and are not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LateRevisions {
    /// They are refused.
    #[default]
    Refused,
    /// They are applied.
    Applied,
}

/// The treatment of BEGIN and COMMIT in a script that runs in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BracketPolicy {
    /// They are refused.
    Refused,
    /// They are left out: the whole script is one transaction. On SQLite, so are the statements that switch foreign
    /// keys, which have no effect in a transaction.
    LeftOut,
}

/// The treatment of lines with which other tools divide a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerPolicy {
    /// They are refused.
    Refused,
    /// They are comments.
    Comments,
}

/// The state of foreign keys of SQLite while a script runs. They are checked before the script is committed in either
/// case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignKeyPolicy {
    /// They are off: a table can be rebuilt under the keys that refer to it.
    Off,
    /// They are on, as the driver of the tool has them: deletes are carried to the rows that refer to a row.
    On,
}

impl ForeignKeyPolicy {
    /// Returns the statement that switches foreign keys to this state.
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            ForeignKeyPolicy::Off => "PRAGMA foreign_keys = OFF",
            ForeignKeyPolicy::On => "PRAGMA foreign_keys = ON",
        }
    }
}
