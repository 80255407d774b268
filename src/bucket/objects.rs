//! The objects in a bucket: listed, read, written and deleted.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMultipartOptions, WriteMultipart,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::Instrument;

use super::store_error::{Access, describe};
use super::{BucketError, BucketErrorKind, BucketUrl, ListedObject, TransferredContent, connection};
use crate::revision::Fingerprint;

/// The field of an object's metadata by which we recognize what we have written. Azure takes letters and digits alone.
const MARK: &str = "lockkeeper";
/// The smallest part of an upload in bytes.
const PART: u64 = 8 << 20;
/// The number of parts for which the size of a part is chosen; S3 takes 10,000.
const PARTS: u64 = 5_000;
/// The number of parts that are on their way at the same time.
const PARTS_AT_ONCE: usize = 2;
/// The number of bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// An open bucket. Nothing is sent before an object is accessed.
#[derive(Debug)]
pub(crate) struct Bucket {
    url: BucketUrl,
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// Opens a bucket with the settings of the environment.
    ///
    /// # Errors
    /// Fails when the settings are wrong.
    pub(crate) fn open(url: &BucketUrl) -> Result<Bucket, BucketError> {
        Ok(Bucket { url: url.clone(), store: connection::open(url)? })
    }

    /// Returns the URL of an object.
    pub(crate) fn url_of(&self, name: &str) -> String {
        self.url.object(name)
    }

    fn key(&self, name: &str) -> Path {
        match self.url.prefix.as_str() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    fn failed(&self, access: Access, name: &str) -> impl Fn(object_store::Error) -> BucketError {
        let shown = if name.is_empty() { self.url.to_string() } else { self.url_of(name) };
        let service = self.url.service;
        move |error| describe(service, access, &shown, &error)
    }

    /// Lists the objects at the URL, without those further below.
    ///
    /// # Errors
    /// Fails with the error of the store, also when the bucket does not exist.
    pub(crate) async fn list(&self) -> Result<Vec<ListedObject>, BucketError> {
        let prefix = (!self.url.prefix.is_empty()).then(|| Path::from(self.url.prefix.as_str()));
        let listed = self.store.list_with_delimiter(prefix.as_ref()).await.map_err(self.failed(Access::List, ""))?;
        let objects = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some(ListedObject { name, bytes: object.size, modified: object.last_modified.timestamp() })
        });
        Ok(objects.collect())
    }

    /// Returns whether an object without a manifest is the beginning of a backup of ours, and not a file that somebody
    /// has put there.
    ///
    /// # Errors
    /// Fails with the error of the store.
    pub(crate) async fn is_unfinished(&self, name: &str) -> Result<bool, BucketError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let result = self.store.get_opts(&self.key(name), options).await.map_err(self.failed(Access::Read, name))?;
        Ok(result.attributes.get(&Attribute::Metadata(MARK.into())).is_some())
    }

    /// Reads a small object.
    ///
    /// # Errors
    /// Fails with the error of the store.
    pub(crate) async fn get(&self, name: &str) -> Result<Vec<u8>, BucketError> {
        let failed = self.failed(Access::Read, name);
        let result = self.store.get(&self.key(name)).await.map_err(&failed)?;
        Ok(result.bytes().await.map_err(failed)?.to_vec())
    }

    /// Writes a small object, which replaces one of that name.
    ///
    /// # Errors
    /// Fails with the error of the store.
    pub(crate) async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), BucketError> {
        let result = self.store.put(&self.key(name), content.into()).await;
        result.map(drop).map_err(self.failed(Access::Write, name))
    }

    /// Deletes an object. Succeeds if there is none.
    ///
    /// # Errors
    /// Fails with the error of the store.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.key(name)).await.map_err(self.failed(Access::Delete, name)) {
            Err(error) if error.kind == BucketErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Writes an object from a source of `expected` bytes, which is only a guess: in parts, of which a few are in memory
    /// at a time. The object exists when all parts have arrived.
    ///
    /// # Errors
    /// Fails with the error of the store, or of the source. The parts that have arrived are removed then.
    pub(crate) async fn upload(
        &self,
        name: &str,
        mut source: impl AsyncRead + Unpin,
        expected: u64,
    ) -> Result<TransferredContent, BucketError> {
        let failed = self.failed(Access::Write, name);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(MARK.into()), env!("CARGO_PKG_VERSION").into());
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.store.put_multipart_opts(&self.key(name), options).await.map_err(&failed)?;
        let part = PART.max(expected / PARTS) as usize;
        let mut writer = UploadWriter(Some(WriteMultipart::new_with_chunk_size(upload, part)));
        let mut content = HashedContent::default();
        match self.send(name, &mut source, &mut writer, &mut content).await {
            Ok(()) if content.bytes > 0 => {
                let writer = writer.0.take().unwrap_or_else(|| unreachable!("it is taken once"));
                writer.finish().await.map(|_| content.end()).map_err(failed)
            }
            // An upload without parts is an error of some stores; the caller refuses an empty backup.
            result => {
                if let Some(writer) = writer.0.take() {
                    let _ = writer.abort().await;
                }
                result.map(|()| content.end())
            }
        }
    }

    /// Passes a source on to an upload, until its end.
    async fn send(
        &self,
        name: &str,
        source: &mut (impl AsyncRead + Unpin),
        writer: &mut UploadWriter,
        content: &mut HashedContent,
    ) -> Result<(), BucketError> {
        let unread = |error: io::Error| local(&format!("what is sent to {} cannot be read", self.url_of(name)), &error);
        let Some(writer) = &mut writer.0 else { unreachable!("it is taken when all is sent") };
        let mut buffer = vec![0; BUFFER];
        loop {
            writer.wait_for_capacity(PARTS_AT_ONCE).await.map_err(self.failed(Access::Write, name))?;
            let read = source.read(&mut buffer).await.map_err(unread)?;
            if read == 0 {
                return Ok(());
            }
            content.add(&buffer[..read]);
            writer.write(&buffer[..read]);
        }
    }

    /// Reads an object to its end, and passes it on to a sink. A sink that does not take any more is no error.
    ///
    /// # Errors
    /// Fails with the error of the store, or of the sink.
    pub(crate) async fn download(
        &self,
        name: &str,
        mut sink: impl AsyncWrite + Unpin,
    ) -> Result<TransferredContent, BucketError> {
        let failed = self.failed(Access::Read, name);
        let unwritten = |error: io::Error| local(&format!("{} cannot be kept here", self.url_of(name)), &error);
        let mut stream = self.store.get(&self.key(name)).await.map_err(&failed)?.into_stream();
        let mut content = HashedContent::default();
        let mut is_open = true;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(&failed)?;
            content.add(&chunk);
            if is_open {
                match sink.write_all(&chunk).await {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => is_open = false,
                    result => result.map_err(unwritten)?,
                }
            }
        }
        if is_open {
            sink.shutdown().await.map_err(unwritten)?;
        }
        Ok(content.end())
    }
}

/// An upload that is aborted when it is dropped: without its end, its parts would stay in the bucket and be paid for. The
/// request is sent as long as the process runs.
struct UploadWriter(Option<WriteMultipart>);

impl Drop for UploadWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            tokio::spawn(writer.abort().in_current_span());
        }
    }
}

fn local(what: &str, error: &io::Error) -> BucketError {
    BucketError::new(BucketErrorKind::Local, format!("{what}: {error}"))
}

/// The hash and the size of what has gone over the connection so far.
#[derive(Default)]
struct HashedContent {
    hasher: Sha256,
    bytes: u64,
}

impl HashedContent {
    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn end(self) -> TransferredContent {
        TransferredContent { sha256: Fingerprint(self.hasher.finalize().into()), bytes: self.bytes }
    }
}
