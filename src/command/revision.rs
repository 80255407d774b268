//! `revision` and `merge`: the files of a new revision, for every dialect that has a folder.

use crate::config::Config;
use crate::directory::write::{self, NewFile};
use crate::directory::{MigrationDir, dialects};
use crate::error::{Cause, Failure, Stage};
use crate::report;
use crate::revision::new_revision::{self, NewRevision, NewRevisionKind};
use crate::revision::{Direction, Id};

/// Writes the files of a new revision on top of the present heads.
///
/// # Errors
/// A message that makes no file name; a bad folder; one that cannot be written.
pub fn revision(config: &Config, message: &str) -> Result<String, Failure> {
    add(config, NewRevisionKind::Change, Some(message)).map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Writes the files of a revision that joins the present heads.
///
/// # Errors
/// As [`revision`]; and when there is nothing to be joined.
pub fn merge(config: &Config, message: Option<&str>) -> Result<String, Failure> {
    add(config, NewRevisionKind::Join, message).map_err(|cause| Failure::new(Stage::Load, cause))
}

fn add(config: &Config, purpose: NewRevisionKind, message: Option<&str>) -> Result<String, Cause> {
    let dir = &config.dir;
    let _turn = write::turn(dir)?;
    let folders = dialects::each(dir, config.dialect, |dialect| {
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

/// A folder and what a new revision in it rests on.
pub(super) struct RevisionBase {
    pub folder: MigrationDir,
    pub heads: Vec<Id>,
}

impl RevisionBase {
    pub fn from_dir(folder: MigrationDir) -> RevisionBase {
        let heads = folder.graph.heads().into_iter().map(|at| folder.scripts[at].id.clone()).collect();
        RevisionBase { folder, heads }
    }
}

/// One number for all the dialects: it is above every one that there is.
pub(super) fn draft(folders: &[RevisionBase], message: &str, purpose: NewRevisionKind) -> Result<NewRevision, Cause> {
    let newest = folders.iter().filter_map(|place| place.folder.scripts.last()).map(|script| &script.id).max();
    let now: String = report::now().chars().filter(char::is_ascii_digit).collect();
    let id = new_revision::number(newest, &now)
        .ok_or_else(|| Cause::Invalid(vec!["no number is left above the newest revision's".into()]))?;
    NewRevision::new(id, message, purpose).ok_or_else(|| {
        Cause::Usage(format!("-m {message:?} leaves nothing for a file name: write some ASCII letters or digits"))
    })
}

fn nothing_to_join(folders: &[RevisionBase]) -> String {
    let told = folders.iter().map(|place| match place.heads.first() {
        Some(head) => format!("{} has one head, {head}", place.folder.path.display()),
        None => format!("{} has no revision yet", place.folder.path.display()),
    });
    format!("nothing is to be merged: {}", told.collect::<Vec<_>>().join("; "))
}
