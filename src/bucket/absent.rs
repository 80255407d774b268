//! The bucket of a binary that cannot open any.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{BucketError, BucketUrl, ListedObject, TransferredContent};

/// A bucket that cannot exist: the configuration refuses the URL.
#[derive(Debug)]
pub(crate) enum ImpossibleBucket {}

#[allow(clippy::unused_async, reason = "the bucket of another binary waits for the network")]
impl ImpossibleBucket {
    pub(crate) fn open(_url: &BucketUrl) -> Result<ImpossibleBucket, BucketError> {
        unreachable!("the configuration refuses the URL of a bucket")
    }

    pub(crate) fn url_of(&self, _name: &str) -> String {
        match *self {}
    }

    pub(crate) async fn list(&self) -> Result<Vec<ListedObject>, BucketError> {
        match *self {}
    }

    pub(crate) async fn is_unfinished(&self, _name: &str) -> Result<bool, BucketError> {
        match *self {}
    }

    pub(crate) async fn get(&self, _name: &str) -> Result<Vec<u8>, BucketError> {
        match *self {}
    }

    pub(crate) async fn put(&self, _name: &str, _content: Vec<u8>) -> Result<(), BucketError> {
        match *self {}
    }

    pub(crate) async fn delete(&self, _name: &str) -> Result<(), BucketError> {
        match *self {}
    }

    pub(crate) async fn upload(
        &self,
        _name: &str,
        _source: impl AsyncRead + Unpin,
        _expected: u64,
    ) -> Result<TransferredContent, BucketError> {
        match *self {}
    }

    pub(crate) async fn download(
        &self,
        _name: &str,
        _sink: impl AsyncWrite + Unpin,
    ) -> Result<TransferredContent, BucketError> {
        match *self {}
    }
}
