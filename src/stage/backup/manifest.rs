//! What lies beside a backup: its facts, and the sum that vouches for it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::database::beside;
use crate::database::rows::Rows;
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
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
    pub fn of(backup: &Path) -> Option<Manifest> {
        serde_json::from_slice(&Manifest::read(backup).ok()?).ok()
    }
}

/// The manifest beside a backup.
pub fn manifest_of(file: &Path) -> PathBuf {
    beside(file, ".json")
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
