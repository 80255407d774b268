//! The backup that is to be restored: finds the file and checks it against its manifest.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bucket::BucketUrl;
use crate::config::BackupPlace;
use crate::database::DatabaseIdentity;
use crate::error::RestoreError;
use crate::safe_file;
use crate::stage::backup::{DownloadedBackup, Manifest, download, kind, manifest_of, seal, verify_directory};
use crate::stage::blocking::run;
use crate::stage::temporary_directory::TemporaryDirectory;

/// A backup with its manifest.
#[derive(Clone, Debug)]
pub(crate) struct BackupArchive {
    /// The path of the backup, or of its copy.
    pub(crate) path: PathBuf,
    /// The path or the URL of the backup, for messages.
    pub(crate) shown: String,
    /// The copy of a backup that lies in a bucket; it is removed with this value.
    _copy: Option<Arc<TemporaryDirectory>>,
    /// The manifest beside the backup.
    pub(crate) manifest: Manifest,
}

impl BackupArchive {
    /// Finds a backup by its path or URL, or by its bare name in the place of the backups. A backup in a bucket is
    /// copied into a temporary directory. Does not verify the content yet.
    ///
    /// # Errors
    /// Fails when there is no such file, or no manifest that can be read and names it.
    pub(crate) async fn find(file: &Path, place: &BackupPlace) -> Result<BackupArchive, RestoreError> {
        let text = file.to_string_lossy();
        if BucketUrl::is_meant(&text) {
            let (url, name) = BucketUrl::parse_object(&text).map_err(RestoreError::Unfit)?;
            return BackupArchive::copy_of(&url, &name).await;
        }
        // Without the slash that a shell puts behind the name of a directory.
        let file: PathBuf = file.components().collect();
        let is_name = file.components().count() == 1 && !file.exists();
        match place {
            BackupPlace::Bucket(url) if is_name => BackupArchive::copy_of(url, &text).await,
            BackupPlace::Directory(dir) if is_name => BackupArchive::at(dir.join(file)),
            _ => BackupArchive::at(file),
        }
    }

    /// Copies a backup from a bucket.
    async fn copy_of(url: &BucketUrl, name: &str) -> Result<BackupArchive, RestoreError> {
        let DownloadedBackup { path, manifest, directory } = download(url, name).await?;
        Ok(BackupArchive { path, shown: url.object(name), _copy: Some(Arc::new(directory)), manifest })
    }

    /// Finds a backup by its path.
    fn at(path: PathBuf) -> Result<BackupArchive, RestoreError> {
        let metadata = fs::metadata(&path);
        let metadata = metadata.map_err(|error| RestoreError::Unfit(format!("{}: {error}", path.display())))?;
        let may_be_directory = path.extension().is_some_and(|suffix| suffix == "dumpdir");
        let is_backup = metadata.is_file() || metadata.is_dir() && may_be_directory;
        if !is_backup {
            return Err(RestoreError::Unfit(format!("{} is not a file", path.display())));
        }
        let manifest_path = manifest_of(&path);
        let unverified = |reason: String| RestoreError::Unverified(format!("{}: {reason}", manifest_path.display()));
        let text = Manifest::read(&path).map_err(|error| {
            unverified(format!("{error}; without its manifest nothing vouches for {}", path.display()))
        })?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| unverified(format!("it is no manifest that can be read: {error}")))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if manifest.file != name {
            return Err(unverified(format!("it vouches for {}, not for {name}", manifest.file)));
        }
        if manifest.directory_files().is_some() != metadata.is_dir() {
            let form = if metadata.is_dir() { "a directory" } else { "a file" };
            return Err(unverified(format!("it does not vouch for {form}, which {name} is")));
        }
        Ok(BackupArchive { shown: path.display().to_string(), path, _copy: None, manifest })
    }

    /// Refuses a backup of another kind of database or of a database with another name.
    ///
    /// # Errors
    /// Fails with the kind or the name of the database that the backup is of.
    pub(crate) fn fits(&self, identity: &DatabaseIdentity) -> Result<(), RestoreError> {
        let Manifest { kind: backup_kind, database, .. } = &self.manifest;
        if backup_kind != kind(identity.dialect) {
            let (file, to) = (&self.shown, kind(identity.dialect));
            return Err(RestoreError::Unfit(format!("{file} is a backup of {backup_kind}, the database is {to}")));
        }
        if *database != identity.name {
            let (file, to) = (&self.shown, &identity.name);
            return Err(RestoreError::Unfit(format!("{file} is a backup of the database {database}, not of {to}")));
        }
        Ok(())
    }

    /// Reads the whole backup, the files of a directory on this number of threads.
    ///
    /// # Errors
    /// Fails when the size or the SHA-256 of a file is not that of the manifest, or when a directory has not exactly the
    /// files of the manifest.
    pub(crate) async fn verify(&self, jobs: NonZero<usize>) -> Result<(), RestoreError> {
        let Some(files) = self.manifest.directory_files() else {
            return verified_checksum(&self.path, &self.shown, &self.manifest).await;
        };
        let unverified = |reason: String| RestoreError::Unverified(format!("{}: {reason}", self.path.display()));
        let directory = safe_file::open_our_directory(&self.path).map_err(|error| unverified(error.to_string()))?;
        let files = files.to_vec();
        let verified = run(move |stop| verify_directory(&directory, &files, jobs, stop)).await;
        verified.map_err(|error| unverified(error.to_string()))
    }
}

/// Reads a file to its end, and checks that its size and SHA-256 are those of the manifest.
///
/// # Errors
/// Fails with the value of the file and that of the manifest, or when the file cannot be read.
pub(super) async fn verified_checksum(path: &Path, shown: &str, manifest: &Manifest) -> Result<(), RestoreError> {
    let file = path.to_owned();
    let result = run(move |stop| seal(&file, stop)).await;
    let unverified = |reason: String| RestoreError::Unverified(format!("{shown}: {reason}"));
    let (checksum, bytes) = result.map_err(|error| unverified(error.to_string()))?;
    let (expected, checksum) = (&manifest.sha256, checksum.to_string());
    if bytes != manifest.bytes {
        return Err(unverified(format!("it has {bytes} bytes, its manifest says {}", manifest.bytes)));
    }
    if checksum != *expected {
        return Err(unverified(format!("its SHA-256 is {checksum}, its manifest says {expected}")));
    }
    Ok(())
}
