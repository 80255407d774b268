//! The time at which what a script has written is safe from a crash. A commit that waits for the disk costs more than a
//! small script, so that several scripts share one, and a script is reported after that commit.

use super::{ApplyError, DatabaseError};

/// The commit that a script needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitMode {
    /// The script may share its commit with those before and after it.
    Shared,
    /// The script has a commit of its own, because no script follows, or because one that was shared has failed.
    Own,
}

/// The state of a script that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApplyOutcome {
    /// The script has run, and all that it and those before it have written survives a crash.
    Durable,
    /// The script has run, and all that it has written survives a crash after [`super::Locked::settle`].
    Pending,
    /// The script has not run: it cannot share a commit, and [`super::Locked::settle`] has to be called before it runs.
    SettleFirst,
}

/// The reason why scripts that were pending are not known to be durable.
#[derive(Debug)]
pub(crate) enum SettleError {
    /// All of them were rolled back.
    RolledBack(ApplyError),
    /// They were committed, and may be lost if the server crashes, or has crashed.
    Unproven(DatabaseError),
}
