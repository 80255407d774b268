//! Buckets of object stores (S3, Google Cloud Storage, Azure), in which backups can lie.
//!
//! Only a binary with the cargo feature `object-store` can open a bucket; the configuration of any other refuses the URL.

#[cfg(not(feature = "object-store"))]
mod absent;
#[cfg(feature = "object-store")]
mod connection;
#[cfg(feature = "object-store")]
mod objects;
#[cfg(feature = "object-store")]
mod store_error;

mod error;
mod url;

#[cfg(not(feature = "object-store"))]
pub(crate) use absent::ImpossibleBucket as Bucket;
pub(crate) use error::{BucketError, BucketErrorKind};
#[cfg(feature = "object-store")]
pub(crate) use objects::Bucket;
pub(crate) use url::BucketUrl;

use crate::revision::Fingerprint;

/// An object in a bucket.
#[derive(Clone, Debug)]
pub(crate) struct ListedObject {
    /// The name of the object, without the prefix of the bucket's URL.
    pub(crate) name: String,
    /// The size in bytes.
    pub(crate) bytes: u64,
    /// The time of the last change, in seconds since 1970.
    pub(crate) modified: i64,
}

/// The content that went over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferredContent {
    /// The SHA-256 of the content.
    pub(crate) sha256: Fingerprint,
    /// The size in bytes.
    pub(crate) bytes: u64,
}
