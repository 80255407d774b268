//! The error of an object store.

/// The kind of an error of an object store.
#[cfg_attr(not(feature = "object-store"), allow(dead_code, reason = "a bucket that cannot be opened reports nothing"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BucketErrorKind {
    /// The store refuses the access.
    Denied,
    /// The bucket does not exist.
    NoBucket,
    /// The object does not exist.
    NotFound,
    /// The file that is sent or received cannot be read or written here.
    Local,
    /// The store cannot be reached, or reports another error.
    Failed,
}

/// The error of an object store: a sentence that names the object and has what the store has said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BucketError {
    /// The kind of the error.
    pub(crate) kind: BucketErrorKind,
    /// The sentence.
    pub(crate) message: String,
}

impl BucketError {
    pub(crate) fn new(kind: BucketErrorKind, message: impl Into<String>) -> BucketError {
        BucketError { kind, message: message.into() }
    }

    /// Returns what to try.
    pub(crate) fn advice(&self) -> &'static str {
        match self.kind {
            BucketErrorKind::Denied => {
                "grant the permission to the identity that the variables of the store name (AWS_..., GOOGLE_..., AZURE_...)"
            }
            BucketErrorKind::NoBucket => "create the bucket, or set LOCKKEEPER_BACKUP_DIR",
            BucketErrorKind::NotFound => "see lockkeeper backups for those that there are",
            BucketErrorKind::Local => "set TMPDIR to a directory that has room for the backup",
            BucketErrorKind::Failed => "see that the object store can be reached from here, then run again",
        }
    }
}
