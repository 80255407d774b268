//! The manifests of the backups in a bucket.

use crate::bucket::{Bucket, BucketError, BucketErrorKind, BucketUrl};
use crate::stage::backup::manifest::Manifest;

/// Returns the name of the manifest of a backup.
pub(super) fn manifest_of(name: &str) -> String {
    format!("{name}.json")
}

/// Writes a manifest, which makes its archive a backup.
pub(super) async fn put_manifest(bucket: &Bucket, manifest: &Manifest) -> Result<(), BucketError> {
    let name = manifest_of(&manifest.file);
    let json = serde_json::to_vec_pretty(manifest);
    let json = json.map_err(|error| BucketError::new(BucketErrorKind::Local, format!("{name}: {error}")))?;
    bucket.put(&name, json).await
}

/// Reads a manifest and parses it.
pub(super) async fn read_manifest(
    bucket: &Bucket,
    name: &str,
) -> Result<Result<Manifest, serde_json::Error>, BucketError> {
    Ok(serde_json::from_slice(&bucket.get(&manifest_of(name)).await?))
}

/// Changes the manifest of the backup with this URL.
///
/// # Errors
/// Fails with the reason when the manifest cannot be read or written.
pub(in crate::stage::backup) async fn change_manifest(
    shown: &str,
    change: impl FnOnce(&mut Manifest),
) -> Result<(), String> {
    let (url, name) = BucketUrl::parse_object(shown)?;
    let bucket = Bucket::open(&url).map_err(|error| error.to_string())?;
    let read = read_manifest(&bucket, &name).await.map_err(|error| error.to_string())?;
    let mut manifest = read.map_err(|error| error.to_string())?;
    change(&mut manifest);
    put_manifest(&bucket, &manifest).await.map_err(|error| error.to_string())
}
