//! The `revision` and `merge` commands: write the files of a new revision for every dialect that has a directory.

use crate::clock;
use crate::config::DatabaseConfig;
use crate::directory::write::{self, NewFile};
use crate::directory::{MigrationDir, dialects};
use crate::error::{Cause, Failure, Stage};
use crate::layout::{NATIVE, NewContent, NewRevision, NewScript};
use crate::revision::Version;

/// Writes the files of a new revision that depends on the present heads.
///
/// # Errors
/// Fails when the message makes no file name, when the directory is invalid, or when it cannot be written.
pub(crate) fn revision(config: &DatabaseConfig, message: &str) -> Result<String, Failure> {
    add(config, NewContent::Change, Some(message)).map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Writes the files of a revision that joins the present heads.
///
/// # Errors
/// Fails as [`revision`] does, and when there is only one head to merge.
pub(crate) fn merge(config: &DatabaseConfig, message: Option<&str>) -> Result<String, Failure> {
    add(config, NewContent::Join, message).map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Writes the files of a new revision of either kind while it holds the directory lock.
fn add(config: &DatabaseConfig, content: NewContent<'_>, message: Option<&str>) -> Result<String, Cause> {
    let dir = &config.dir;
    let _turn = write::lock_directory(dir)?;
    let directories = dialects::for_each_dialect(dir, config.dialect, |dialect| {
        MigrationDir::load_or_empty(dir, dialect, config.layout_choice).map(RevisionBase::from_dir)
    })?;
    let mut joined_heads: Vec<&Version> =
        directories.iter().filter(|base| base.heads.len() > 1).flat_map(|base| &base.heads).collect();
    joined_heads.sort();
    joined_heads.dedup();
    if content == NewContent::Join && joined_heads.is_empty() {
        return Err(Cause::Usage(nothing_to_join(&directories)));
    }
    let joined_heads = joined_heads.into_iter().map(Version::as_str).collect::<Vec<_>>().join(" and ");
    let message = message.map_or_else(|| format!("merge {joined_heads}"), Into::into);
    let version = next_version(&directories)?;
    let mut files = Vec::new();
    for base in &directories {
        files.extend(base.scaffold(&version, &message, content)?);
    }
    write::write(&files)?;
    for file in &files {
        tracing::info!("wrote {}", file.path.display());
    }
    let merge_note = if joined_heads.is_empty() { joined_heads } else { format!("; it joins {joined_heads}") };
    let next_step = match content {
        NewContent::Change | NewContent::Written { .. } => "write the SQL, then lockkeeper upgrade",
        NewContent::Join => "next: lockkeeper upgrade",
    };
    Ok(format!("revision {version} written: {} files{merge_note}; {next_step}", files.len()))
}

/// A directory and the revisions on which a new revision in it depends.
pub(super) struct RevisionBase {
    /// The directory.
    pub(crate) directory: MigrationDir,
    /// The heads of the directory.
    pub(crate) heads: Vec<Version>,
}

impl RevisionBase {
    /// Takes the heads of a directory as the base of a new revision.
    pub(crate) fn from_dir(directory: MigrationDir) -> RevisionBase {
        let heads =
            directory.graph.heads().into_iter().map(|index| directory.migrations[index].version.clone()).collect();
        RevisionBase { directory, heads }
    }

    /// Returns the files of a new revision in this directory.
    pub(crate) fn scaffold(
        &self,
        version: &Version,
        message: &str,
        content: NewContent<'_>,
    ) -> Result<Vec<NewFile>, Cause> {
        let revision = NewRevision { version, message, parents: &self.heads, content };
        let scripts = self.directory.layout.scaffold(&revision).ok_or_else(|| {
            Cause::Usage(format!("-m {message:?} leaves nothing for a file name: write some ASCII letters or digits"))
        })?;
        let directory = &self.directory.path;
        let new_file = |script: NewScript| NewFile {
            path: directory.join(&script.file),
            new_folder: script.file.split_once('/').map(|(folder, _)| directory.join(folder)),
            text: script.text,
        };
        Ok(scripts.into_iter().map(new_file).collect())
    }
}

/// Returns the version of a new revision. It is the same for all dialects, and comes after every existing version.
pub(super) fn next_version(directories: &[RevisionBase]) -> Result<Version, Cause> {
    let newest = directories
        .iter()
        .filter_map(|base| base.directory.migrations.last())
        .map(|migration| &migration.version)
        .max();
    let timestamp: String = clock::now().chars().filter(char::is_ascii_digit).collect();
    let layout = directories.first().map_or(NATIVE, |base| base.directory.layout);
    layout
        .next_version(newest, &timestamp)
        .ok_or_else(|| Cause::Invalid(vec!["no number is left above the newest revision's".into()]))
}

/// Returns the reason why a merge is refused.
fn nothing_to_join(directories: &[RevisionBase]) -> String {
    let descriptions = directories.iter().map(|base| match base.heads.first() {
        Some(head) => format!("{} has one head, {head}", base.directory.path.display()),
        None => format!("{} has no revision yet", base.directory.path.display()),
    });
    format!("nothing is to be merged: {}", descriptions.collect::<Vec<_>>().join("; "))
}
