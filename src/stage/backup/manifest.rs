//! What lies beside a backup: its facts, and the sum that vouches for it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::database::row_counts::RowCounts;
use crate::database::with_suffix;
use crate::revision::{Checksum, Dialect};
use crate::safe_file;

/// A manifest that is larger was not written by us: a row count of a table takes less than a kilobyte.
const MANIFEST_BYTES: u64 = 256 << 20;

/// What lies beside a backup, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
    /// `postgresql` or `sqlite`.
    pub kind: String,
    pub database: String,
    /// Tells the database from others of the same name and source. Manifests of earlier versions have none, and some
    /// servers and file systems tell none.
    #[serde(default)]
    pub database_id: Option<String>,
    /// Host and port, or the file's absolute path.
    pub source: String,
    pub server_version: String,
    pub tool_version: String,
    pub lockkeeper_version: String,
    /// The newest revision that the backup holds.
    pub from_revision: Option<String>,
    /// Where the run was going.
    pub to_revision: Option<String>,
    /// The rows of each table, counted in the very snapshot that was saved. Manifests of earlier versions have none.
    #[serde(default)]
    pub rows: Option<RowCounts>,
    pub started_at: String,
    pub verified_at: String,
}

impl Manifest {
    /// The bytes of the manifest beside a backup.
    ///
    /// # Errors
    /// There is none, it is not a regular file, or the file system's error.
    pub fn read(backup: &Path) -> io::Result<Vec<u8>> {
        safe_file::read(&manifest_of(backup), MANIFEST_BYTES)
    }

    /// The manifest beside a backup, if there is one that can be read.
    pub fn read_beside(backup: &Path) -> Option<Manifest> {
        serde_json::from_slice(&Manifest::read(backup).ok()?).ok()
    }

    /// Whether the backup is certainly of the same database as another one.
    pub fn is_certainly_of(&self, other: &Manifest) -> bool {
        let ids = (&self.database_id, &other.database_id);
        self.source == other.source
            && matches!(ids, (Some(one), Some(two)) if DatabaseId::parse(one).is(&DatabaseId::parse(two)))
    }

    /// Whether the backup is certainly of another database than that with this id.
    pub fn is_of_another(&self, id: Option<&str>) -> bool {
        match (&self.database_id, id) {
            (Some(own), Some(id)) => DatabaseId::parse(own).is_not(&DatabaseId::parse(id)),
            _ => false,
        }
    }
}

/// The parts of an id: of PostgreSQL the identifier of the server, the OID of the database, and the id that we have given
/// to it; of SQLite only the first, which is of the file.
#[derive(Debug)]
struct DatabaseId<'a> {
    place: &'a str,
    oid: Option<&'a str>,
    given: Option<&'a str>,
}

impl DatabaseId<'_> {
    fn parse(text: &str) -> DatabaseId<'_> {
        let mut parts = text.split(':');
        DatabaseId { place: parts.next().unwrap_or_default(), oid: parts.next(), given: parts.next() }
    }

    /// Whether both are of the same database. A restore keeps the id that was given, and changes the OID.
    fn is(&self, other: &DatabaseId<'_>) -> bool {
        let same = match (self.given, other.given) {
            (Some(given), Some(other)) => given == other,
            _ => self.oid == other.oid,
        };
        same && self.place == other.place
    }

    /// Whether both are of different databases for certain.
    fn is_not(&self, other: &DatabaseId<'_>) -> bool {
        let given = matches!((self.given, other.given), (Some(given), Some(other)) if given != other);
        given || self.place != other.place
    }
}

/// The manifest beside a backup.
pub fn manifest_of(file: &Path) -> PathBuf {
    with_suffix(file, ".json")
}

/// What a dialect is called in manifests.
pub fn kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::Sqlite => "sqlite",
    }
}

/// Reads a file to its end for its SHA-256 and size, and makes it durable. Ends early, with an error, when `stop` is set.
///
/// # Errors
/// The file system's.
pub fn seal(path: &Path, stop: &AtomicBool) -> io::Result<(Checksum, u64)> {
    let mut file = safe_file::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    while !stop.load(Ordering::SeqCst) {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            file.sync_all()?;
            return Ok((Checksum(sum.finalize().into()), bytes));
        }
        sum.update(&buffer[..read]);
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
            // Restored.
            ("7:16384:a", "7:20000:a", true, false),
            // Dropped and made anew; copied file by file before either had an id.
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
