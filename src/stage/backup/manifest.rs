//! The manifest: a JSON file beside a backup, with the facts about the backup and its checksum.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::archive_directory::has_files;
use super::archive_file::BackupFile;
use super::safety::PassedOver;
use crate::database::row_counts::RowCounts;
use crate::database::with_suffix;
use crate::dialect::Dialect;
use crate::revision::Fingerprint;
use crate::safe_file;

/// The largest size of a manifest in bytes. Lockkeeper writes no larger one: the row count of a table takes less than a
/// kilobyte.
const MANIFEST_BYTES: u64 = 256 << 20;

/// The manifest of a backup, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The file name of the backup.
    pub(crate) file: String,
    /// The form of the backup; `None` for a single file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<BackupFormat>,
    /// The files of a directory, sorted by their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<Vec<BackupFile>>,
    /// The SHA-256 of the backup, in hexadecimal. That of a directory is the SHA-256 of the lines that `sha256sum`
    /// prints for its files in the order of their names.
    pub(crate) sha256: String,
    /// The size of the backup in bytes; that of a directory is the sum of its files.
    pub(crate) bytes: u64,
    /// The kind of the database: `postgresql` or `sqlite`.
    pub(crate) kind: String,
    /// The name of the database.
    pub(crate) database: String,
    /// The id that distinguishes the database from others of the same name and source. Manifests of earlier versions
    /// have none, and some servers and file systems provide none.
    #[serde(default)]
    pub(crate) database_id: Option<String>,
    /// The number of bytes of the database's tables or file, of which the backup was made. Manifests of earlier versions
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database_bytes: Option<u64>,
    /// The ways to back up that were to be tried before and did not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) passed_over: Vec<PassedOver>,
    /// The state of the run that was to change the database after the backup; `None` if no change follows. Manifests of
    /// earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunState>,
    /// The host and port of the server, or the absolute path of the file.
    pub(crate) source: String,
    /// The version of the server or of SQLite.
    pub(crate) server_version: String,
    /// The version of the tool or library that has written the backup.
    pub(crate) tool_version: String,
    /// The version of Lockkeeper that has taken the backup.
    pub(crate) lockkeeper_version: String,
    /// The newest revision that the backup contains.
    pub(crate) from_revision: Option<String>,
    /// The heads that the run was to reach; `None` if there were none or the run changed nothing.
    pub(crate) to_revision: Option<String>,
    /// The guarded command that the backup was taken for; `None` if it was taken for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guarded: Option<GuardedChange>,
    /// The number of rows of each table, counted in the very snapshot that was saved. Manifests of earlier versions
    /// have none.
    #[serde(default)]
    pub(crate) rows: Option<RowCounts>,
    /// The time at which the backup began (RFC 3339, UTC).
    pub(crate) started_at: String,
    /// The time at which the backup was verified (RFC 3339, UTC).
    pub(crate) verified_at: String,
}

/// The state of the run for which a backup was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunState {
    /// The run has taken the backup. A run that fails or is killed leaves this state.
    Begun,
    /// The run has changed the database and verified it.
    Succeeded,
}

/// The form of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackupFormat {
    /// One file in the custom format of `pg_dump`.
    Custom,
    /// A directory in the format of `pg_dump`, with a file for each table.
    Directory,
}

/// A guarded command, and the revisions of its tool's own history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardedChange {
    /// The command, without words that may be secret.
    pub(crate) command: String,
    /// The revision that the backup contains; `None` if no history of another tool can be read.
    pub(crate) from_revision: Option<String>,
    /// The revision to which the command has led; `None` until it has ended well.
    pub(crate) to_revision: Option<String>,
}

impl Manifest {
    /// Returns the revision that the backup contains, of Lockkeeper's own history or of the guarded command's.
    pub(crate) fn revision(&self) -> Option<&str> {
        let guarded = self.guarded.as_ref().and_then(|change| change.from_revision.as_deref());
        self.from_revision.as_deref().or(guarded)
    }

    /// Reads the bytes of the manifest beside a backup.
    ///
    /// # Errors
    /// Fails when there is no manifest, when it is not a regular file, or with another error of the file system.
    pub(crate) fn read(backup: &Path) -> io::Result<Vec<u8>> {
        safe_file::read(&manifest_of(backup), MANIFEST_BYTES)
    }

    /// Returns the manifest beside a backup; `None` if there is none or it cannot be read.
    pub(crate) fn read_beside(backup: &Path) -> Option<Manifest> {
        serde_json::from_slice(&Manifest::read(backup).ok()?).ok()
    }

    /// Returns the files of a backup that is a directory; `None` for a single file.
    pub(crate) fn directory_files(&self) -> Option<&[BackupFile]> {
        match self.format {
            Some(BackupFormat::Directory) => Some(self.files.as_deref().unwrap_or_default()),
            Some(BackupFormat::Custom) | None => None,
        }
    }

    /// Returns whether a backup is there as a whole, as far as the sizes of its files show.
    pub(crate) fn fits(&self, backup: &Path) -> bool {
        match self.directory_files() {
            Some(files) => safe_file::open_our_directory(backup)
                .and_then(|directory| has_files(&directory, files))
                .is_ok_and(|whole| whole && self.bytes == files.iter().map(|file| file.bytes).sum::<u64>()),
            None => fs::metadata(backup).is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.bytes),
        }
    }

    /// Returns whether both backups are certainly of the same database.
    pub(crate) fn is_certainly_of(&self, other: &Manifest) -> bool {
        self.source == other.source && are_certainly_equal(&self.database_id, &other.database_id)
    }

    /// Returns whether the backup is certainly of another database than the one with this id.
    pub(crate) fn is_of_another(&self, id: Option<&str>) -> bool {
        match (&self.database_id, id) {
            (Some(own), Some(id)) => DatabaseId::parse(own).is_not(&DatabaseId::parse(id)),
            _ => false,
        }
    }
}

/// Returns whether both ids are certainly of one database.
pub(super) fn are_certainly_equal(one: &Option<String>, two: &Option<String>) -> bool {
    matches!((one, two), (Some(one), Some(two)) if DatabaseId::parse(one).is(&DatabaseId::parse(two)))
}

/// The parts of an id. On PostgreSQL they are the identifier of the server, the OID of the database, and the id that
/// Lockkeeper has given to the database; on SQLite only the first part exists, and identifies the file.
#[derive(Debug)]
struct DatabaseId<'a> {
    place: &'a str,
    oid: Option<&'a str>,
    given: Option<&'a str>,
}

impl DatabaseId<'_> {
    /// Splits an id at its colons.
    fn parse(text: &str) -> DatabaseId<'_> {
        let mut parts = text.split(':');
        DatabaseId { place: parts.next().unwrap_or_default(), oid: parts.next(), given: parts.next() }
    }

    /// Returns whether both ids are of the same database. A restore keeps the given id and changes the OID.
    fn is(&self, other: &DatabaseId<'_>) -> bool {
        let same = match (self.given, other.given) {
            (Some(given), Some(other)) => given == other,
            _ => self.oid == other.oid,
        };
        same && self.place == other.place
    }

    /// Returns whether both ids are certainly of different databases.
    fn is_not(&self, other: &DatabaseId<'_>) -> bool {
        let given = matches!((self.given, other.given), (Some(given), Some(other)) if given != other);
        given || self.place != other.place
    }
}

/// Returns the path of the manifest beside a backup.
pub(crate) fn manifest_of(file: &Path) -> PathBuf {
    with_suffix(file, ".json")
}

/// Returns the name of a dialect in manifests.
pub(crate) fn kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::Sqlite => "sqlite",
    }
}

/// Reads a file to its end and makes it durable. Returns its SHA-256 and its size in bytes.
///
/// # Errors
/// Fails with the error of the file system, or with `Interrupted` when `stop` is set.
pub(crate) fn seal(path: &Path, stop: &AtomicBool) -> io::Result<(Fingerprint, u64)> {
    let mut file = safe_file::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    while !stop.load(Ordering::SeqCst) {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            file.sync_all()?;
            return Ok((Fingerprint(hasher.finalize().into()), bytes));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    Err(io::ErrorKind::Interrupted.into())
}

#[cfg(test)]
mod tests {
    use super::DatabaseId;

    #[test]
    fn databases_are_told_apart_by_what_both_ids_have() {
        for (one, two, is, is_not) in [
            ("7:16384:a", "7:16384:a", true, false),
            // The database was restored.
            ("7:16384:a", "7:20000:a", true, false),
            // The database was dropped and created again, or the server was copied file by file before either had an
            // id.
            ("7:16384:a", "7:16384:b", false, true),
            ("7:16384", "7:16384:a", true, false),
            ("7:16384", "7:20000:a", false, false),
            ("7:16384:a", "8:16384:a", false, true),
            ("17.5-12", "17.5-12", true, false),
            ("17.5-12", "17.6-12", false, true),
        ] {
            let [first, second] = [one, two].map(DatabaseId::parse);
            assert_eq!((first.is(&second), first.is_not(&second)), (is, is_not), "{one} {two}");
            assert_eq!((second.is(&first), second.is_not(&first)), (is, is_not), "{two} {one}");
        }
    }
}
