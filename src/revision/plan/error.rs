//! Every reason why nothing may run, in words.

use std::fmt;

use super::{Direction, list};
use crate::revision::{Checksum, Id};

/// Why nothing may run.
#[derive(Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The file differs from what was applied.
    Edited { file: Box<str>, id: Id, recorded: Option<Checksum>, now: Checksum },
    /// Unfinished, and its file is not in the folder: how far it got, and the target of the stamp that gives it up.
    Fileless { id: Id, progress: String, target: Option<String> },
    /// Applied, but not in the folder, though newer revisions are.
    Missing { id: Id },
    /// Not applied, though a revision that rests on it is.
    OutOfOrder { file: Box<str>, id: Id, after: Id },
    /// Begun without a transaction, now asks for one.
    ModeChanged { file: Box<str> },
    /// Begun without a transaction; the row cannot say with which text.
    NoChecksum { file: Box<str>, id: Id },
    /// Its down migration stopped part way, and the run would leave it so.
    HalfUndone { id: Id, below: String },
    /// It stopped part way, and the run would leave it so.
    HalfDone { id: Id, below: String },
    /// Recorded, but not in the folder: what they rest on is not known.
    Unknown { ids: Vec<Id> },
    /// One head was asked for, but there are several: their files.
    Heads { files: Vec<Box<str>>, ids: Vec<Id> },
    /// The target does not fit.
    Target(TargetError),
    /// It cannot be undone.
    Back(DowngradeError),
}

/// Why a revision cannot be undone.
#[derive(Debug, PartialEq, Eq)]
pub enum DowngradeError {
    /// The database has revisions that are newer than everything in the folder.
    Ahead { ids: Vec<Id> },
    /// A revision that stays rests on one that is to go.
    StillNeeded { id: Id, by: Id },
    /// There is no file that undoes it.
    NoFile { file: Box<str>, id: Id },
    /// The file says that it cannot be undone.
    Irreversible { file: Box<str>, reason: String },
    /// Nothing stands in the file that should undo it.
    Empty { file: Box<str>, id: Id },
}

/// Why a target does not fit.
#[derive(Debug, PartialEq, Eq)]
pub enum TargetError {
    /// No revision begins like this.
    Unknown { name: String },
    /// Several revisions begin like this.
    Ambiguous { name: String, candidates: Vec<Id> },
    /// The graph forks there.
    Fork { target: String, candidates: Vec<Id> },
    /// More steps than there are.
    TooFar { target: String, steps: usize, direction: Direction },
    /// A step beyond the folder's first or last revision.
    Beyond { target: String },
    /// `stamp +1`
    Unanchored { target: String },
    /// `upgrade -1`, `downgrade +1`, `upgrade base`.
    WrongWay { target: String, direction: Direction },
    /// Back to a revision that the database does not have.
    NotApplied { id: Id },
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
            PlanError::Unknown { ids } => write!(
                f,
                "the history has revisions that are not in this folder: {}; stamp with the image that has them",
                list(ids)
            ),
            PlanError::Heads { files, ids } => several_heads(f, files, ids),
            PlanError::Target(misfit) => misfit.fmt(f),
            PlanError::Back(blocked) => blocked.fmt(f),
        }
    }
}

fn fileless(f: &mut fmt::Formatter<'_>, id: &Id, progress: &str, target: Option<&str>) -> fmt::Result {
    write!(
        f,
        "revision {id} is unfinished ({progress}) and its file is not in this folder; deploy the image that has the file and run again"
    )?;
    match target {
        Some(target) => {
            write!(f, ", or undo by hand what was done and give the revision up with lockkeeper stamp {target}")
        }
        None => Ok(()),
    }
}

fn several_heads(f: &mut fmt::Formatter<'_>, files: &[Box<str>], ids: &[Id]) -> fmt::Result {
    let (count, ids) = (ids.len(), ids.iter().map(Id::as_str).collect::<Vec<_>>().join(" and "));
    let merge = format!("join them with lockkeeper merge -m \"merge {ids}\"");
    write!(f, "the folder has {count} heads: {}; {merge}, or give the target heads", files.join(", "))
}

impl fmt::Display for DowngradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DowngradeError::Ahead { ids } => write!(
                f,
                "the database has revisions that this folder does not know ({}), and they come first; undo them with the image that has them",
                list(ids)
            ),
            DowngradeError::StillNeeded { id, by } => {
                write!(f, "{id} cannot be undone: {by} rests on it and stays; undo {by} first")
            }
            DowngradeError::NoFile { file, id } => {
                write!(f, "{file} cannot be undone: there is no .down.sql file of revision {id}")
            }
            DowngradeError::Irreversible { file, reason } => write!(f, "{file} is irreversible: {reason}"),
            DowngradeError::Empty { file, id } => write!(
                f,
                "{file} holds no statement that undoes revision {id}; write it, or say why there is none with -- irreversible:"
            ),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Unknown { name } => write!(f, "no revision in the folder begins with {name}"),
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
            TargetError::Beyond { target } => write!(f, "{target} lies beyond the folder's revisions"),
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
