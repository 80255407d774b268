//! Backups in a bucket of an object store.
//!
//! An object cannot be renamed, and copying one in the store ends at 5 GB on S3. So the archive is written under its own
//! name, and it is the manifest that makes it a backup: it is written last, when the archive has been read back. An
//! archive of ours without a manifest belongs to a run that is at work or was killed.

mod download;
mod listing;
mod manifests;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tokio::io::AsyncRead;
use tokio::net::unix::pipe;

use super::content::{BackupContent, dump_and_count, find_tools, from_sqlite};
use super::dump::manifest;
use super::names::{file_suffix, stem};
use super::retention::{not_to_be_kept, note_deletion};
use super::safety::{PassedOver, Safety};
use super::work::{BackupWork, RevisionRange};
use crate::bucket::{Bucket, BucketError, BucketErrorKind, BucketUrl, TransferredContent};
use crate::clock;
use crate::config::BackupPolicy;
use crate::database::postgres::dump::DumpTools;
use crate::database::postgres::dump::request::DumpForm;
use crate::database::postgres::{MonitorSession, Postgres};
use crate::database::row_counts::RowCounts;
use crate::database::{BackupSource, Canceller, DatabaseIdentity};
use crate::error::BackupError;
use crate::progress::with_progress;
use crate::safe_file;
use crate::stage::command_run::LockHold;
use crate::stage::temporary_directory::TemporaryDirectory;

pub(crate) use download::{DownloadedBackup, download};
pub(super) use listing::list;
pub(super) use manifests::change_manifest;

use listing::{list_in, remove_leftovers};
use manifests::{manifest_of, put_manifest};

/// Writes, verifies and publishes the backup, and deletes old ones. Dropping the future ends the tool and the upload.
pub(super) async fn write(
    work: BackupWork<'_>,
    url: &BucketUrl,
    passed_over: &[PassedOver],
) -> Result<Safety, BackupError> {
    let BackupWork { hold: LockHold { locked, canceller }, policy, range, subject, .. } = work;
    let database = locked.database();
    let started_at = clock::now();
    let identity = database.identity();
    let bucket = Bucket::open(url).map_err(BackupError::Bucket)?;
    // A bucket that cannot be used is found before anything is read.
    remove_leftovers(&bucket, &identity).await.map_err(BackupError::Bucket)?;
    let name = object_name(&identity, range);
    let destination = Destination { bucket: &bucket, name: &name, expected: subject.size };
    let content = async {
        match (database.source(), canceller) {
            (BackupSource::Postgres(server), Canceller::Postgres(monitor)) => {
                let tools = find_tools(server, policy).await?;
                destination.fill_from_postgres(server, monitor, policy, tools).await
            }
            (BackupSource::Sqlite(path), _) => destination.fill_from_sqlite(path.to_owned()).await,
            (BackupSource::Postgres(_), _) => unreachable!("the canceller is the database's"),
        }
    };
    let content = with_progress(&format!("backing up {}", identity.name), content).await?;
    let manifest = manifest(database, subject, range, passed_over, (name.clone(), content, started_at));
    put_manifest(&bucket, &manifest).await.map_err(BackupError::Bucket)?;
    let shown = bucket.url_of(&name);
    tracing::info!(bytes = manifest.bytes, "backup taken and verified: {shown}");
    let listed = list_in(&bucket, &identity).await.unwrap_or_default();
    for old in not_to_be_kept(listed, policy.keep, &manifest, &url.to_string()) {
        let name = old.file_name().unwrap_or_default().to_string_lossy();
        note_deletion(&old, delete(&bucket, &name).await);
    }
    Ok(Safety::dumped(shown.into(), passed_over))
}

/// Returns the name of a backup that is taken now. Its last part begins with the microsecond, since the store's times have
/// whole seconds: retention has to know which of two backups of one second is the older one. The rest is random, so that
/// runs on databases that share a name cannot meet: nothing could tell whose object it is.
fn object_name(identity: &DatabaseIdentity, range: &RevisionRange) -> String {
    let (stem, microsecond) = (stem(identity, range), clock::microsecond());
    format!("{stem}-{microsecond:05x}{:08x}{}", fastrand::u32(..), file_suffix(identity.dialect))
}

/// Deletes a backup. The manifest goes first: the archive is none without it.
async fn delete(bucket: &Bucket, name: &str) -> Result<(), BucketError> {
    bucket.delete(&manifest_of(name)).await?;
    bucket.delete(name).await
}

/// The object to which a backup is written.
struct Destination<'a> {
    bucket: &'a Bucket,
    name: &'a str,
    /// The approximate number of bytes.
    expected: u64,
}

impl Destination<'_> {
    /// Sends what `pg_dump` writes, without a file in between, and reads the object back.
    async fn fill_from_postgres(
        &self,
        server: &Postgres,
        monitor: &mut MonitorSession,
        policy: &BackupPolicy,
        tools: DumpTools,
    ) -> Result<BackupContent, BackupError> {
        let (reader, writer) = io::pipe().map_err(|error| not_read(&error))?;
        let archive = File::from(OwnedFd::from(writer));
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(|error| not_read(&error))?;
        let dump = async {
            // Dropped at the end: only then does the upload see the end of the archive.
            let archive = archive;
            let rows =
                dump_and_count(&tools, server, monitor, policy, (DumpForm::File, &archive, Path::new(""))).await?;
            Ok(rows.counts)
        };
        let (rows, sent) = ended_together(dump, self.upload(reader)).await?;
        self.refuse_empty(&sent, "pg_dump")?;
        let (reader, writer) = io::pipe().map_err(|error| not_read(&error))?;
        let sink = pipe::Sender::from_owned_fd(writer.into()).map_err(|error| not_read(&error))?;
        let read_back = tokio::join!(self.bucket.download(self.name, sink), tools.read_back_stream(reader));
        let verified = match read_back {
            (Ok(received), _) if received != sent => Err(differs(&sent, &received)),
            (Ok(_), Err(error)) => Err(BackupError::Unverified(error.to_string())),
            (Err(error), _) => Err(not_read_back(error)),
            (Ok(_), Ok(())) => Ok(()),
        };
        self.keep_if(verified).await?;
        Ok(content(tools.version, rows, &sent))
    }

    /// Copies the database into a temporary file, sends the copy, and reads the object back.
    async fn fill_from_sqlite(&self, source: PathBuf) -> Result<BackupContent, BackupError> {
        let directory = temporary_directory().map_err(BackupError::Bucket)?;
        let copy = directory.path().join("copy.db");
        // SQLite opens files by their names alone.
        let (version, rows) = from_sqlite(&source, &copy).await?;
        let file = safe_file::open(&copy).map_err(|error| not_read(&error))?;
        drop(directory);
        let sent = self.upload(tokio::fs::File::from_std(file)).await?;
        self.refuse_empty(&sent, "SQLite")?;
        let verified = match self.bucket.download(self.name, tokio::io::sink()).await {
            Ok(received) if received != sent => Err(differs(&sent, &received)),
            Ok(_) => Ok(()),
            Err(error) => Err(not_read_back(error)),
        };
        self.keep_if(verified).await?;
        Ok(content(version, rows, &sent))
    }

    async fn upload(&self, source: impl AsyncRead + Unpin) -> Result<TransferredContent, BackupError> {
        self.bucket.upload(self.name, source, self.expected).await.map_err(BackupError::Bucket)
    }

    fn refuse_empty(&self, sent: &TransferredContent, tool: &'static str) -> Result<(), BackupError> {
        if sent.bytes == 0 { Err(BackupError::Empty(tool)) } else { Ok(()) }
    }

    /// Removes the object unless it is verified.
    async fn keep_if(&self, verified: Result<(), BackupError>) -> Result<(), BackupError> {
        if verified.is_err()
            && let Err(error) = self.bucket.delete(self.name).await
        {
            tracing::warn!("what is not verified stays until a later run removes it: {error}");
        }
        verified
    }
}

/// Waits for a dump and its upload. The upload of a dump that has failed is given up: it would be an archive without its
/// end. Of a dump whose upload has failed, nobody reads the pipe any more.
async fn ended_together(
    dump: impl Future<Output = Result<RowCounts, BackupError>>,
    upload: impl Future<Output = Result<TransferredContent, BackupError>>,
) -> Result<(RowCounts, TransferredContent), BackupError> {
    tokio::try_join!(dump, upload)
}

fn content(tool_version: String, rows: RowCounts, sent: &TransferredContent) -> BackupContent {
    BackupContent { tool_version, rows, files: None, sha256: sent.sha256, bytes: sent.bytes }
}

fn not_read(error: &io::Error) -> BackupError {
    let message = format!("the backup cannot be passed on to the object store: {error}");
    BackupError::Bucket(BucketError::new(BucketErrorKind::Local, message))
}

fn not_read_back(error: BucketError) -> BackupError {
    match error.kind {
        BucketErrorKind::NotFound => BackupError::Unverified(error.message),
        _ => BackupError::Bucket(error),
    }
}

fn differs(sent: &TransferredContent, received: &TransferredContent) -> BackupError {
    BackupError::Unverified(format!(
        "{} bytes with the SHA-256 {} were sent, the object has {} with {}",
        sent.bytes, sent.sha256, received.bytes, received.sha256
    ))
}

/// Makes a directory for a copy.
fn temporary_directory() -> Result<TemporaryDirectory, BucketError> {
    TemporaryDirectory::new().map_err(|(error, parent)| {
        let message = format!("no copy of the backup can be made in {parent}: {error}");
        BucketError::new(BucketErrorKind::Local, message)
    })
}
