//! The connection to an object store: its client for HTTP, and the settings of the store from the environment.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto};

use super::url::Service;
use super::{BucketError, BucketErrorKind, BucketUrl};
use crate::masking::hide;

/// The variables with the file of a certificate authority, of which the first one that is set counts.
const CA_VARIABLES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];
/// The longest time in which a connection is made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time without an answer, in which a part is sent as well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The time after which the kernel gives a connection up that does not confirm what it gets.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// The number of times that a request is tried again, within about ten seconds in all.
const RETRIES: usize = 6;

/// Opens the store of a URL, with the settings that its variables have.
///
/// # Errors
/// Fails when the settings are not enough, or wrong.
pub(super) fn open(url: &BucketUrl) -> Result<Arc<dyn ObjectStore>, BucketError> {
    hide_secrets();
    let failed =
        |reason: String| BucketError::new(BucketErrorKind::Failed, format!("{url} cannot be opened: {reason}"));
    let connector = Connector { tls: tls().map_err(failed)? };
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        max_retries: RETRIES,
        retry_timeout: ANSWER_TIMEOUT,
    };
    let opened: object_store::Result<Arc<dyn ObjectStore>> = match url.service {
        Service::S3 => AmazonS3Builder::from_env()
            .with_bucket_name(&url.bucket)
            .with_http_connector(connector)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        Service::Google => GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&url.bucket)
            .with_http_connector(connector)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        Service::Azure => MicrosoftAzureBuilder::from_env()
            .with_container_name(&url.bucket)
            .with_http_connector(connector)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
    };
    opened.map_err(|error| failed(error.to_string()))
}

/// Masks the values of all variables of the stores that are secrets.
fn hide_secrets() {
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let is_of_store = ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        let is_public = name.ends_with("_FILE") || name.ends_with("_KEY_ID") || name.ends_with("_PATH");
        let is_secret = ["SECRET", "TOKEN", "KEY", "SAS", "PASSWORD"].iter().any(|word| name.contains(word));
        if is_of_store && is_secret && !is_public {
            hide(value, &[]);
        }
    }
}

/// Returns the settings of TLS: the root certificates that are built in, and those of the file that the environment
/// names.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some((name, file)) = CA_VARIABLES.iter().find_map(|name| Some((name, std::env::var_os(name)?))) {
        let wrong = |reason: String| format!("{name}: {}: {reason}", file.to_string_lossy());
        let certificates = CertificateDer::pem_file_iter(&file).map_err(|error| wrong(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            // The system's own file may have certificates that rustls does not accept.
            let _ = roots.add(certificate);
        }
    }
    let versions = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// Makes the clients for HTTP. The crate's own would look for the certificates of a system that an image does not have,
/// and would give up a request after 30 seconds however much it sends.
#[derive(Debug)]
struct Connector {
    tls: ClientConfig,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(ANSWER_TIMEOUT)
            .tcp_user_timeout(SILENCE_TIMEOUT)
            .user_agent(concat!("lockkeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| object_store::Error::Generic { store: "HTTP", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}
