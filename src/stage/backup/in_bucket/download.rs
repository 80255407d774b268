//! The copy of a backup that lies in a bucket.

use std::io;
use std::path::PathBuf;

use super::manifests::{manifest_of, read_manifest};
use super::temporary_directory;
use crate::bucket::{Bucket, BucketError, BucketErrorKind, BucketUrl};
use crate::error::RestoreError;
use crate::progress::with_progress;
use crate::safe_file;
use crate::stage::backup::manifest::Manifest;
use crate::stage::temporary_directory::TemporaryDirectory;

/// A copy of a backup from a bucket, with its manifest.
#[derive(Debug)]
pub(crate) struct DownloadedBackup {
    /// The path of the copy.
    pub(crate) path: PathBuf,
    /// The manifest beside the backup.
    pub(crate) manifest: Manifest,
    /// The directory in which the copy is; it is removed when this is dropped.
    pub(crate) directory: TemporaryDirectory,
}

/// Copies a backup into a temporary directory that only this user can read.
///
/// # Errors
/// Fails when there is no such backup, or no manifest that can be read and names it, or with the error of the store.
pub(crate) async fn download(url: &BucketUrl, name: &str) -> Result<DownloadedBackup, RestoreError> {
    let bucket = Bucket::open(url).map_err(RestoreError::Bucket)?;
    let shown = bucket.url_of(&manifest_of(name));
    let unverified = |reason: String| RestoreError::Unverified(format!("{shown}: {reason}"));
    let manifest = match read_manifest(&bucket, name).await {
        Ok(read) => read.map_err(|error| unverified(format!("it is no manifest that can be read: {error}")))?,
        Err(error) if error.kind == BucketErrorKind::NotFound => {
            let is_there = bucket.list().await.map_err(RestoreError::Bucket)?.iter().any(|object| object.name == name);
            return Err(match is_there {
                true => unverified(format!("without its manifest nothing vouches for {}", bucket.url_of(name))),
                false => RestoreError::Unfit(format!("{}: there is no such backup", bucket.url_of(name))),
            });
        }
        Err(error) => return Err(RestoreError::Bucket(error)),
    };
    if manifest.file != name {
        return Err(unverified(format!("it vouches for {}, not for {name}", manifest.file)));
    }
    let directory = temporary_directory().map_err(RestoreError::Bucket)?;
    let path = directory.path().join(name);
    let local = |error: io::Error| {
        RestoreError::Bucket(BucketError::new(BucketErrorKind::Local, format!("{}: {error}", path.display())))
    };
    let file = safe_file::create_new(&path, 0o600).map_err(local)?;
    tracing::info!(bytes = manifest.bytes, "copying {} to {}", bucket.url_of(name), path.display());
    let copied = bucket.download(name, tokio::fs::File::from_std(file));
    with_progress("copying the backup", copied).await.map_err(|error| match error.kind {
        BucketErrorKind::NotFound => RestoreError::Unverified(error.message),
        _ => RestoreError::Bucket(error),
    })?;
    Ok(DownloadedBackup { path, manifest, directory })
}
