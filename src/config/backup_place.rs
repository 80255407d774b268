//! The place in which backups lie.

use std::fmt;
use std::path::PathBuf;

use crate::bucket::BucketUrl;

/// The place in which backups lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackupPlace {
    /// A directory of the file system.
    Directory(PathBuf),
    /// A bucket of an object store.
    Bucket(BucketUrl),
}

impl BackupPlace {
    /// Parses a path or the URL of a bucket.
    ///
    /// # Errors
    /// Fails with the reason when the URL is wrong, or this binary cannot open it.
    pub(crate) fn parse(text: &str) -> Result<BackupPlace, String> {
        match BucketUrl::is_meant(text) {
            true => BucketUrl::parse(text).map(BackupPlace::Bucket),
            false => Ok(BackupPlace::Directory(text.into())),
        }
    }
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupPlace::Directory(dir) => write!(f, "{}", dir.display()),
            BackupPlace::Bucket(url) => write!(f, "{url}"),
        }
    }
}
