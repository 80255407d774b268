//! Every reason why a plan must not run, and its message.

use std::fmt;

use super::{TargetError, list};
use crate::revision::{Checksum, Version};

/// The reason why nothing may run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// The script differs from the one that was applied.
    Edited {
        /// The name of the file.
        file: Box<str>,
        /// The revision.
        id: Version,
        /// The checksum in the history.
        recorded: Option<Checksum>,
        /// The checksum of the file.
        now: Checksum,
    },
    /// The revision is unfinished and has no file in the directory.
    Fileless {
        /// The revision.
        id: Version,
        /// The number of statements that are done.
        progress: String,
        /// The target of the stamp that gives the revision up.
        target: Option<String>,
    },
    /// The revision is applied and has no file in the directory, though newer revisions have one.
    Missing {
        /// The revision.
        id: Version,
    },
    /// The revision is not applied, though its descendant or a newer revision is.
    OutOfOrder {
        /// The name of the file.
        file: Box<str>,
        /// The revision.
        id: Version,
        /// The revision that is applied.
        after: Version,
    },
    /// The script was begun without a transaction and now asks for one.
    ModeChanged {
        /// The name of the file.
        file: Box<str>,
    },
    /// The script was begun without a transaction, and its row has no checksum of the text that was executed.
    NoChecksum {
        /// The name of the file.
        file: Box<str>,
        /// The revision.
        id: Version,
    },
    /// The down script stopped part way, and the run would leave it so. A downgrade finishes it.
    HalfUndone {
        /// The revision.
        id: Version,
        /// The target of that downgrade.
        below: String,
    },
    /// The up script stopped part way, and the run would leave it so. A downgrade undoes it.
    HalfDone {
        /// The revision.
        id: Version,
        /// The target of that downgrade.
        below: String,
    },
    /// The tool of the history has recorded that the revision failed, and not how far it came.
    FailedInTool {
        /// The name of the file.
        file: Box<str>,
        /// The revision.
        id: Version,
    },
    /// The revisions are recorded and not in the directory, so that their parents are not known.
    Unknown {
        /// The revisions.
        ids: Vec<Version>,
    },
    /// The target is one head, and the directory has several.
    Heads {
        /// The names of the files of the heads.
        files: Vec<Box<str>>,
        /// The heads.
        ids: Vec<Version>,
    },
    /// The target cannot be resolved.
    Target(TargetError),
    /// The revision cannot be undone.
    Back(DowngradeError),
}

/// The reason why a revision cannot be undone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DowngradeError {
    /// The database has revisions that are newer than every revision in the directory.
    Ahead {
        /// The revisions.
        ids: Vec<Version>,
    },
    /// A revision that stays depends on one that is to be undone.
    StillNeeded {
        /// The revision that is to be undone.
        id: Version,
        /// The revision that stays.
        by: Version,
    },
    /// The revision has no down script.
    NoFile {
        /// The name of the up script.
        file: Box<str>,
        /// The revision.
        id: Version,
    },
    /// A file of the revision has the directive `-- irreversible`.
    Irreversible {
        /// The name of the file.
        file: Box<str>,
        /// The reason that the directive gives.
        reason: String,
    },
    /// The down script has no statement.
    Empty {
        /// The name of the file.
        file: Box<str>,
        /// The revision.
        id: Version,
    },
}

const RESTORE: &str = "restore the file and put the change into a new revision, or accept it with lockkeeper repair";

fn describe_checksum(recorded: Option<Checksum>) -> String {
    recorded.map_or("something else".into(), |sum| sum.to_string())
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Edited { file, id, recorded, now } => {
                write!(f, "{file} was edited after revision {id} was applied ")?;
                write!(f, "(recorded {}, now {now}); {RESTORE}", describe_checksum(*recorded))
            }
            PlanError::Fileless { id, progress, target } => fileless(f, id, progress, target.as_deref()),
            PlanError::Missing { id } => {
                write!(f, "revision {id} is applied but its file is missing; put the file back")
            }
            PlanError::OutOfOrder { file, id, after } => write!(
                f,
                "{file} is out of order: {after} is applied already and comes after {id}; give it a newer number, or state its parents with -- depends:"
            ),
            PlanError::ModeChanged { file } => write!(
                f,
                "{file} was begun without a transaction and stopped part way; keep its -- no-transaction line until it is done"
            ),
            PlanError::NoChecksum { file, id } => write!(
                f,
                "{file} stopped part way, and the history's checksum of what it has done is no checksum; put the one of revision {id} back"
            ),
            PlanError::HalfUndone { id, below } => {
                write!(f, "revision {id} is half undone; finish that first: lockkeeper downgrade {below}")
            }
            PlanError::HalfDone { id, below } => write!(
                f,
                "revision {id} stopped part way; finish it with lockkeeper upgrade {id}, or undo it with lockkeeper downgrade {below}"
            ),
            PlanError::FailedInTool { file, id } => write!(
                f,
                "the history says that revision {id} ({file}) failed in another tool, and not which of its statements took effect; complete them by hand and record the revision with lockkeeper repair --done, or undo them by hand and let it run again with lockkeeper repair --again"
            ),
            PlanError::Unknown { ids } => write!(
                f,
                "the history has revisions that are not in this directory: {}; stamp with the image that has them",
                list(ids)
            ),
            PlanError::Heads { files, ids } => several_heads(f, files, ids),
            PlanError::Target(misfit) => misfit.fmt(f),
            PlanError::Back(blocked) => blocked.fmt(f),
        }
    }
}

fn fileless(f: &mut fmt::Formatter<'_>, id: &Version, progress: &str, target: Option<&str>) -> fmt::Result {
    write!(
        f,
        "revision {id} is unfinished ({progress}) and its file is not in this directory; deploy the image that has the file and run again"
    )?;
    match target {
        Some(target) => {
            write!(f, ", or undo by hand what was done and give the revision up with lockkeeper stamp {target}")
        }
        None => Ok(()),
    }
}

fn several_heads(f: &mut fmt::Formatter<'_>, files: &[Box<str>], ids: &[Version]) -> fmt::Result {
    let (count, ids) = (ids.len(), ids.iter().map(Version::as_str).collect::<Vec<_>>().join(" and "));
    let merge = format!("join them with lockkeeper merge -m \"merge {ids}\"");
    write!(f, "the directory has {count} heads: {}; {merge}, or give the target heads", files.join(", "))
}

impl fmt::Display for DowngradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DowngradeError::Ahead { ids } => write!(
                f,
                "the database has revisions that this directory does not know ({}), and they come first; undo them with the image that has them",
                list(ids)
            ),
            DowngradeError::StillNeeded { id, by } => {
                write!(f, "{id} cannot be undone: {by} rests on it and stays; undo {by} first")
            }
            DowngradeError::NoFile { file, id } => {
                write!(f, "{file} cannot be undone: there is no down script of revision {id}")
            }
            DowngradeError::Irreversible { file, reason } => write!(f, "{file} is irreversible: {reason}"),
            DowngradeError::Empty { file, id } => write!(
                f,
                "{file} holds no statement that undoes revision {id}; write it, or say why there is none with -- irreversible:"
            ),
        }
    }
}
