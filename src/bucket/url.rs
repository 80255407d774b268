//! The URL of a place in a bucket: `s3://BUCKET/PREFIX`.

use std::fmt;

/// The object store of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon S3, or a server that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Service; 3] = [Service::S3, Service::Google, Service::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Google => "gs",
            Service::Azure => "az",
        }
    }
}

/// The URL of a place in a bucket, which has no secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    /// The object store.
    pub(crate) service: Service,
    /// The name of the bucket; on Azure, of the container.
    pub(crate) bucket: String,
    /// The beginning of all keys, without slashes at its ends; empty for none.
    pub(crate) prefix: String,
}

impl BucketUrl {
    /// Returns whether a text is meant to be the URL of a bucket and not a path.
    pub(crate) fn is_meant(text: &str) -> bool {
        Service::ALL.iter().any(|service| rest(text, *service).is_some())
    }

    /// Parses a URL.
    ///
    /// # Errors
    /// Fails with the reason when this binary cannot open buckets, and when the URL is wrong.
    pub(crate) fn parse(text: &str) -> Result<BucketUrl, String> {
        if !cfg!(feature = "object-store") {
            return Err("this binary cannot open object stores: use the image lockkeeper (tools), not the minimal one, or build with cargo's --features object-store".into());
        }
        let (service, place) = (Service::ALL.into_iter())
            .find_map(|service| Some((service, rest(text, service)?)))
            .ok_or_else(|| "it is no URL of a bucket: write s3://BUCKET/PREFIX, gs:// or az://".to_owned())?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if place.contains(['@', '?', '#']) {
            return Err("a URL of a bucket has no login and no settings in it: set the variables of the store, such as AWS_ACCESS_KEY_ID".into());
        }
        if bucket.is_empty() {
            return Err(format!("there is no bucket in it: write {}://BUCKET/PREFIX", service.scheme()));
        }
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("a part of its prefix is empty, . or ..".into());
        }
        Ok(BucketUrl { service, bucket: bucket.into(), prefix: prefix.into() })
    }

    /// Parses the URL of an object. Returns the place in which it lies, and its name there.
    ///
    /// # Errors
    /// Fails as [`BucketUrl::parse`] does, and when the URL has no name.
    pub(crate) fn parse_object(text: &str) -> Result<(BucketUrl, String), String> {
        let mut url = BucketUrl::parse(text)?;
        let prefix = std::mem::take(&mut url.prefix);
        let (prefix, name) = prefix.rsplit_once('/').unwrap_or(("", &prefix));
        url.prefix = prefix.into();
        match name.is_empty() {
            true => Err(format!("{text} names no backup")),
            false => Ok((url, name.to_owned())),
        }
    }

    /// Returns the URL of an object.
    pub(crate) fn object(&self, name: &str) -> String {
        format!("{self}/{name}")
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// Returns what follows the scheme of a service; `None` if the text has another one.
fn rest(text: &str, service: Service) -> Option<&str> {
    text.strip_prefix(service.scheme())?.strip_prefix("://")
}

#[cfg(all(test, feature = "object-store"))]
mod tests {
    use super::BucketUrl;

    #[test]
    fn a_url_has_a_bucket_and_perhaps_a_prefix() {
        for (text, shown, prefix) in [
            ("s3://backups", "s3://backups", ""),
            ("s3://backups/", "s3://backups", ""),
            ("s3://backups/prod/shop/", "s3://backups/prod/shop", "prod/shop"),
            ("gs://backups/prod", "gs://backups/prod", "prod"),
            ("az://backups/prod", "az://backups/prod", "prod"),
        ] {
            let url = BucketUrl::parse(text).expect(text);
            assert_eq!((url.to_string().as_str(), url.prefix.as_str()), (shown, prefix));
            let (parsed, name) = BucketUrl::parse_object(&url.object("a.dump")).expect(text);
            assert_eq!((parsed, name.as_str()), (url, "a.dump"));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("s3://", "there is no bucket"),
            ("s3:///prefix", "there is no bucket"),
            ("s3://key:secret@bucket/prefix", "no login"),
            ("s3://bucket/prefix?region=eu", "no settings"),
            ("s3://bucket/a/../b", "a part of its prefix"),
            ("ftp://bucket", "no URL of a bucket"),
        ] {
            let error = BucketUrl::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(BucketUrl::parse_object("s3://bucket").is_err());
    }
}
