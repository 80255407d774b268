//! The objects in a bucket: which of them are backups, and which are left of killed runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::manifests::{manifest_of, read_manifest};
use crate::bucket::{Bucket, BucketError, BucketUrl, ListedObject};
use crate::database::DatabaseIdentity;
use crate::stage::backup::manifest::{Manifest, kind};
use crate::stage::backup::names::is_backup;
use crate::stage::backup::retention::ListedBackup;

/// The age in seconds from which an object that is no backup is one of a killed run.
const LEFTOVER_AGE: i64 = 24 * 3600;

/// Lists the backups of a database, oldest first.
///
/// # Errors
/// Fails with the error of the store.
pub(in crate::stage::backup) async fn list(
    url: &BucketUrl,
    identity: &DatabaseIdentity,
) -> Result<Vec<ListedBackup>, BucketError> {
    list_in(&Bucket::open(url)?, identity).await
}

pub(super) async fn list_in(bucket: &Bucket, identity: &DatabaseIdentity) -> Result<Vec<ListedBackup>, BucketError> {
    let objects = by_name(bucket.list().await?);
    let mut backups = Vec::new();
    for object in objects.values().filter(|object| is_backup(&object.name, identity)) {
        let (name, path) = (&object.name, PathBuf::from(bucket.url_of(&object.name)));
        let manifest = match objects.contains_key(&manifest_of(name)) {
            true => read_manifest(bucket, name).await?.ok(),
            false if bucket.is_unfinished(name).await? => continue,
            false => None,
        };
        let manifest = manifest.filter(|manifest| manifest.file == *name && manifest.bytes == object.bytes);
        let is_of_other =
            |manifest: &Manifest| manifest.database != identity.name || manifest.kind != kind(identity.dialect);
        if !manifest.as_ref().is_some_and(is_of_other) {
            let verified_at = manifest.as_ref().map(|manifest| manifest.verified_at.clone());
            backups.push(((verified_at, object.modified, name), ListedBackup { path, manifest }));
        }
    }
    backups.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(backups.into_iter().map(|(_, backup)| backup).collect())
}

fn by_name(objects: Vec<ListedObject>) -> BTreeMap<String, ListedObject> {
    objects.into_iter().map(|object| (object.name.clone(), object)).collect()
}

/// Removes what killed runs have left a day ago or earlier: archives without a manifest that this program has written,
/// and manifests without an archive. What others have put there stays.
pub(super) async fn remove_leftovers(bucket: &Bucket, identity: &DatabaseIdentity) -> Result<(), BucketError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed());
    let objects = by_name(bucket.list().await?);
    for object in objects.values().filter(|object| now - object.modified > LEFTOVER_AGE) {
        let is_leftover = match object.name.strip_suffix(".json") {
            Some(archive) => is_backup(archive, identity) && !objects.contains_key(archive),
            None if objects.contains_key(&manifest_of(&object.name)) => false,
            None => is_backup(&object.name, identity) && bucket.is_unfinished(&object.name).await.unwrap_or(false),
        };
        if is_leftover {
            let shown = bucket.url_of(&object.name);
            match bucket.delete(&object.name).await {
                Ok(()) => tracing::info!("removed what a stopped run left: {shown}"),
                Err(error) => tracing::warn!("what a stopped run left stays: {error}"),
            }
        }
    }
    Ok(())
}
