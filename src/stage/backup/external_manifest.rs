//! The manifest of a backup that lies elsewhere: a JSON file in the directory of the backups, which names it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{self, PARTIAL_SUFFIX};
use super::external::ExternalBackup;
use super::manifest::{GuardedChange, are_certainly_equal, kind};
use super::safety::PassedOver;
use super::work::{BackupWork, RevisionRange};
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

/// A manifest whose backup is being taken.
pub(super) struct DraftManifest {
    dir: PathBuf,
    keep: BackupKeep,
    identity: DatabaseIdentity,
    range: RevisionRange,
    source: String,
    server_version: String,
    database_id: Option<String>,
    passed_over: Vec<PassedOver>,
    started_at: String,
}

impl DraftManifest {
    /// Begins the manifest of a backup.
    pub(super) fn begin(work: &mut BackupWork<'_>, passed_over: &[PassedOver]) -> DraftManifest {
        let database = work.hold.locked.database();
        let server = database.server();
        DraftManifest {
            dir: work.policy.dir.clone(),
            keep: work.policy.keep,
            identity: database.identity(),
            range: work.range.clone(),
            source: server.address,
            server_version: server.version,
            database_id: work.subject.database_id.clone(),
            passed_over: passed_over.to_vec(),
            started_at: clock::now(),
        }
    }

    /// Writes the manifest, and deletes old ones of the same database. An error is logged: the history and the log name
    /// the backup as well, and a run that needs no file may have no directory to write to.
    pub(super) fn publish(self, backup: &ExternalBackup) {
        let manifest = ExternalManifest {
            backup: backup.clone(),
            kind: kind(self.identity.dialect).into(),
            database: self.identity.name.clone(),
            database_id: self.database_id.clone(),
            source: self.source.clone(),
            server_version: self.server_version.clone(),
            lockkeeper_version: env!("CARGO_PKG_VERSION").into(),
            from_revision: self.range.from.clone(),
            to_revision: self.range.to.clone(),
            guarded: self.range.guarded.clone(),
            passed_over: self.passed_over.clone(),
            started_at: self.started_at.clone(),
            taken_at: clock::now(),
        };
        match self.write(&manifest) {
            Ok(()) => retire(&self.dir, &self.identity, self.keep, &manifest),
            Err(error) => tracing::warn!("{} has no manifest of this backup: {error}", self.dir.display()),
        }
    }

    /// Writes the manifest under the first free name.
    fn write(&self, manifest: &ExternalManifest) -> io::Result<()> {
        directory::make(&self.dir).map_err(|error| io::Error::other(error.to_string()))?;
        let json = serde_json::to_vec_pretty(manifest)?;
        let stem = directory::stem(&self.identity, &self.range);
        let way = manifest.backup.way();
        for number in 1.. {
            let name = match number {
                1 => format!("{stem}.{way}.json"),
                _ => format!("{stem}-{number}.{way}.json"),
            };
            let result = AtomicFile::create(&self.dir.join(name), PARTIAL_SUFFIX).and_then(|mut file| {
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
        if !stem.is_some_and(|stem| directory::is_stem(stem, identity)) {
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
    let oldest_kept = keep.age.map(clock::ago);
    let surplus = older.len().saturating_sub(keep.count);
    let is_old = |manifest: &ExternalManifest| oldest_kept.as_ref().is_none_or(|kept| manifest.taken_at < *kept);
    for (path, _) in older.iter().take(surplus).filter(|(_, manifest)| is_old(manifest)) {
        match fs::remove_file(path) {
            Ok(()) => tracing::info!("deleted the manifest of an old backup {}", path.display()),
            Err(error) => tracing::warn!("{} could not be deleted: {error}", path.display()),
        }
    }
}
