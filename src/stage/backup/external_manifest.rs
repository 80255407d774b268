//! The manifest of a backup that lies elsewhere: a JSON file in the directory of the backups, which names it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{self, PARTIAL_SUFFIX};
use super::external::ExternalBackup;
use super::manifest::{GuardedChange, are_certainly_equal, kind};
use super::names;
use super::retention::is_old_enough;
use super::safety::PassedOver;
use super::work::BackupWork;
use crate::clock;
use crate::config::BackupKeep;
use crate::database::DatabaseIdentity;
use crate::safe_file;
use crate::stage::atomic_file::{AtomicFile, AtomicFileError};

/// The largest size of such a manifest in bytes.
const MANIFEST_BYTES: u64 = 1 << 20;
/// The ends of the names of these manifests, one for each way.
const SUFFIXES: [&str; 2] = [".point.json", ".command.json"];

/// The manifest of a backup that lies elsewhere, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExternalManifest {
    /// The backup, by the name of its way.
    pub(crate) backup: ExternalBackup,
    /// The kind of the database: `postgresql` or `sqlite`.
    pub(crate) kind: String,
    /// The name of the database.
    pub(crate) database: String,
    /// The id of the database; `None` if it has none.
    pub(crate) database_id: Option<String>,
    /// The host and port of the server, or the absolute path of the file.
    pub(crate) source: String,
    /// The version of the server or of SQLite.
    pub(crate) server_version: String,
    /// The version of Lockkeeper.
    pub(crate) lockkeeper_version: String,
    /// The newest revision that the backup contains.
    pub(crate) from_revision: Option<String>,
    /// The heads that the run was to reach; `None` if there were none or the run changed nothing.
    pub(crate) to_revision: Option<String>,
    /// The guarded command that the backup was taken for; `None` if it was taken for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guarded: Option<GuardedChange>,
    /// The ways to back up that were to be tried before and did not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) passed_over: Vec<PassedOver>,
    /// The time at which the backup began (RFC 3339, UTC).
    pub(crate) started_at: String,
    /// The time at which it was there (RFC 3339, UTC).
    pub(crate) taken_at: String,
}

/// Writes the manifest of a backup, and deletes old ones of the same database. An error is logged: the history and the
/// log name the backup as well, and a run that needs no file may have no directory to write to.
pub(super) fn write(
    work: &mut BackupWork<'_>,
    backup: &ExternalBackup,
    passed_over: &[PassedOver],
    started_at: String,
) {
    let (dir, range) = (&work.policy.dir, work.range);
    let database = work.hold.locked.database();
    let (identity, server) = (database.identity(), database.server());
    let manifest = ExternalManifest {
        backup: backup.clone(),
        kind: kind(identity.dialect).into(),
        database: identity.name.clone(),
        database_id: work.subject.database_id.clone(),
        source: server.address,
        server_version: server.version,
        lockkeeper_version: env!("CARGO_PKG_VERSION").into(),
        from_revision: range.from.clone(),
        to_revision: range.to.clone(),
        guarded: range.guarded.clone(),
        passed_over: passed_over.to_vec(),
        started_at,
        taken_at: clock::now(),
    };
    match publish(dir, &names::stem(&identity, range), &manifest) {
        Ok(()) => retire(dir, &identity, work.policy.keep, &manifest),
        Err(error) => tracing::warn!("{} has no manifest of this backup: {error}", dir.display()),
    }
}

/// Writes a manifest under the first free name.
fn publish(dir: &Path, stem: &str, manifest: &ExternalManifest) -> io::Result<()> {
    directory::make(dir).map_err(|error| io::Error::other(error.to_string()))?;
    let json = serde_json::to_vec_pretty(manifest)?;
    for name in names::free_names(stem, &format!(".{}.json", manifest.backup.way())) {
        let result = AtomicFile::create(&dir.join(name), PARTIAL_SUFFIX).and_then(|mut file| {
            file.write_all(&json).map_err(AtomicFileError::Io)?;
            file.publish()
        });
        match result {
            Ok(_lock) => break,
            Err(AtomicFileError::Taken | AtomicFileError::InUse) => {}
            Err(AtomicFileError::Io(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Lists the manifests of the backups of a database that lie elsewhere, oldest first.
///
/// # Errors
/// Fails when the directory cannot be read.
pub(crate) fn list(dir: &Path, identity: &DatabaseIdentity) -> io::Result<Vec<(PathBuf, ExternalManifest)>> {
    let mut manifests = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
        if !stem.is_some_and(|stem| names::is_stem(stem, identity)) {
            continue;
        }
        let manifest = safe_file::read(&path, MANIFEST_BYTES).ok();
        let manifest = manifest.and_then(|text| serde_json::from_slice::<ExternalManifest>(&text).ok());
        let is_of_database =
            |manifest: &ExternalManifest| manifest.database == identity.name && manifest.kind == kind(identity.dialect);
        manifests.extend(manifest.filter(is_of_database).map(|manifest| (path, manifest)));
    }
    manifests.sort_by_cached_key(|(path, manifest)| (manifest.taken_at.clone(), path.clone()));
    Ok(manifests)
}

/// Deletes the oldest manifests that are not to be kept, of those that are certainly of the same database. The backups
/// themselves are left to whatever keeps them.
fn retire(dir: &Path, identity: &DatabaseIdentity, keep: BackupKeep, newest: &ExternalManifest) {
    let is_same = |manifest: &ExternalManifest| {
        manifest.source == newest.source && are_certainly_equal(&manifest.database_id, &newest.database_id)
    };
    let listed = list(dir, identity).unwrap_or_default();
    let older: Vec<_> = listed.into_iter().filter(|(_, manifest)| is_same(manifest)).collect();
    let surplus = older.len().saturating_sub(keep.count);
    let is_old_enough = is_old_enough(keep);
    for (path, _) in older.iter().take(surplus).filter(|(_, manifest)| is_old_enough(&manifest.taken_at)) {
        match fs::remove_file(path) {
            Ok(()) => tracing::info!("deleted the manifest of an old backup {}", path.display()),
            Err(error) => tracing::warn!("{} could not be deleted: {error}", path.display()),
        }
    }
}
