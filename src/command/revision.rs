//! The `revision` and `merge` commands: write the files of a new revision for every dialect that has a folder.

use crate::clock;
use crate::config::Config;
use crate::directory::write::{self, NewFile};
use crate::directory::{MigrationDir, dialects};
use crate::error::{Cause, Failure, Stage};
use crate::revision::new_revision::{self, NewRevision, NewRevisionKind};
use crate::revision::{Direction, Id};

/// Writes the files of a new revision that depends on the present heads.
///
/// # Errors
/// Fails when the message makes no file name, when the folder is invalid, or when it cannot be written.
pub fn revision(config: &Config, message: &str) -> Result<String, Failure> {
    add(config, NewRevisionKind::Change, Some(message)).map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Writes the files of a revision that joins the present heads.
///
/// # Errors
/// Fails as [`revision`] does, and when there is only one head to merge.
pub fn merge(config: &Config, message: Option<&str>) -> Result<String, Failure> {
    add(config, NewRevisionKind::Join, message).map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Writes the files of a new revision of either kind while it holds the directory lock.
fn add(config: &Config, purpose: NewRevisionKind, message: Option<&str>) -> Result<String, Cause> {
    let dir = &config.dir;
    let _turn = write::lock_directory(dir)?;
    let folders = dialects::for_each_dialect(dir, config.dialect, |dialect| {
        MigrationDir::load_or_empty(dir, dialect).map(RevisionBase::from_dir)
    })?;
    let mut joined: Vec<&Id> =
        folders.iter().filter(|place| place.heads.len() > 1).flat_map(|place| &place.heads).collect();
    joined.sort();
    joined.dedup();
    if purpose == NewRevisionKind::Join && joined.is_empty() {
        return Err(Cause::Usage(nothing_to_join(&folders)));
    }
    let joined = joined.into_iter().map(Id::as_str).collect::<Vec<_>>().join(" and ");
    let message = message.map_or_else(|| format!("merge {joined}"), Into::into);
    let draft = draft(&folders, &message, purpose)?;
    let ways = [Direction::Up, Direction::Down];
    let files = folders.iter().flat_map(|place| {
        ways.map(|way| NewFile { path: place.folder.path.join(draft.file(way)), text: draft.text(way, &place.heads) })
    });
    let files: Vec<NewFile> = files.collect();
    write::write(&files)?;
    for file in &files {
        tracing::info!("wrote {}", file.path.display());
    }
    let joins = if joined.is_empty() { joined } else { format!("; it joins {joined}") };
    let next = match purpose {
        NewRevisionKind::Change => "write the SQL, then lockkeeper upgrade",
        NewRevisionKind::Join => "next: lockkeeper upgrade",
    };
    Ok(format!("revision {} written: {} files{joins}; {next}", draft.id(), files.len()))
}

/// A folder and the revisions on which a new revision in it depends.
pub(super) struct RevisionBase {
    /// The folder.
    pub folder: MigrationDir,
    /// The heads of the folder.
    pub heads: Vec<Id>,
}

impl RevisionBase {
    /// Takes the heads of a folder as the base of a new revision.
    pub fn from_dir(folder: MigrationDir) -> RevisionBase {
        let heads = folder.graph.heads().into_iter().map(|at| folder.scripts[at].id.clone()).collect();
        RevisionBase { folder, heads }
    }
}

/// Drafts a new revision. Its number is the same for all dialects, and greater than every existing number.
pub(super) fn draft(folders: &[RevisionBase], message: &str, purpose: NewRevisionKind) -> Result<NewRevision, Cause> {
    let newest = folders.iter().filter_map(|place| place.folder.scripts.last()).map(|script| &script.id).max();
    let now: String = clock::now().chars().filter(char::is_ascii_digit).collect();
    let id = new_revision::number(newest, &now)
        .ok_or_else(|| Cause::Invalid(vec!["no number is left above the newest revision's".into()]))?;
    NewRevision::new(id, message, purpose).ok_or_else(|| {
        Cause::Usage(format!("-m {message:?} leaves nothing for a file name: write some ASCII letters or digits"))
    })
}

/// Returns the reason why a merge is refused.
fn nothing_to_join(folders: &[RevisionBase]) -> String {
    let told = folders.iter().map(|place| match place.heads.first() {
        Some(head) => format!("{} has one head, {head}", place.folder.path.display()),
        None => format!("{} has no revision yet", place.folder.path.display()),
    });
    format!("nothing is to be merged: {}", told.collect::<Vec<_>>().join("; "))
}
