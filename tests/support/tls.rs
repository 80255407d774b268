//! Valid and invalid certificates, made with openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::process::{clean_command, must_run};
use super::{temporary_directory, unique};

/// The names of a certificate for servers on loopback.
pub const LOOPBACK: &str = "DNS:localhost, IP:127.0.0.1, IP:::1";

/// A certificate authority. It is unknown to clients that were not given its certificate.
pub struct Authority {
    directory: Arc<TempDir>,
}

/// A server's certificate and key, as PEM files.
#[derive(Clone)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    // Keeps the files.
    _directory: Arc<TempDir>,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { directory: Arc::new(temporary_directory("tls")) };
        let extensions = "[req]\ndistinguished_name = name\n[name]\n[authority]\n\
            basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n";
        fs::write(authority.path("ca.conf"), extensions).expect("ca.conf");
        fs::write(authority.path("index.txt"), "").expect("index.txt");
        let mut command = authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650");
        command.args(["-config", "ca.conf", "-extensions", "authority", "-keyout", "ca.key", "-out", "ca.crt"]);
        command.args(["-subj", "/CN=Lockkeeper test authority"]);
        must_run(command);
        authority
    }

    /// Returns the authority's certificate, for `sslrootcert` of a URL.
    pub fn root(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Issues a certificate that clients of loopback accept.
    pub fn good(&self) -> Certificate {
        self.issue(LOOPBACK, "20200101000000Z", "20491231235959Z")
    }

    /// Issues a valid certificate of another host.
    pub fn wrong_name(&self) -> Certificate {
        self.issue("DNS:elsewhere.invalid", "20200101000000Z", "20491231235959Z")
    }

    /// Issues a certificate that expired in 2021.
    pub fn expired(&self) -> Certificate {
        self.issue(LOOPBACK, "20200101000000Z", "20210101000000Z")
    }

    /// Issues a certificate for `names` with this period of validity (`YYYYMMDDhhmmssZ`).
    pub fn issue(&self, names: &str, from: &str, until: &str) -> Certificate {
        let name = unique("server");
        let [key, request, certificate, conf] = ["key", "csr", "crt", "conf"].map(|end| format!("{name}.{end}"));
        let settings = format!(
            "[ca]\ndefault_ca = ours\n[ours]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\n\
             default_md = sha256\nunique_subject = no\npolicy = any\nx509_extensions = server\n[any]\ncommonName = supplied\n\
             [server]\nbasicConstraints = CA:FALSE\nkeyUsage = digitalSignature\nextendedKeyUsage = serverAuth\n\
             subjectAltName = {names}\n"
        );
        fs::write(self.path(&conf), settings).expect("the settings of openssl");
        let mut ask = self.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.conf");
        ask.args(["-subj", "/CN=Lockkeeper test server", "-keyout", &key, "-out", &request]);
        must_run(ask);
        let mut sign = self.openssl("ca -batch -notext -cert ca.crt -keyfile ca.key");
        sign.args(["-config", &conf, "-in", &request, "-out", &certificate, "-startdate", from, "-enddate", until]);
        must_run(sign);
        Certificate {
            certificate: self.path(&certificate),
            key: self.path(&key),
            _directory: Arc::clone(&self.directory),
        }
    }

    fn openssl(&self, arguments: &str) -> Command {
        let mut command = clean_command("openssl");
        command.args(arguments.split(' ')).current_dir(self.directory.path());
        command
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }
}
