//! Tests of servers that cannot be trusted, and of ports with another protocol.

use crate::connect::{expect_end, expect_untouched, expect_upgraded, upgrade};
use crate::support::DEFAULT_TIMEOUT;
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, USER};
use crate::support::scripted::{Answer, Scripted};
use crate::support::tls::{Authority, Certificate};

/// Starts a server that requires TLS.
fn server_with(certificate: &Certificate) -> Postgres {
    Postgres::start(Setup::default().tls(certificate).hba("hostnossl all all all reject"))
}

/// The handshake ends before the client sends anything in it.
#[test]
fn a_certificate_that_does_not_fit_ends_the_run_before_the_login() {
    let (trusted, untrusted) = (Authority::new(), Authority::new());
    // A self-signed certificate is often created as a certificate authority's.
    let mut own = trusted.good();
    own.certificate = trusted.root();
    own.key = trusted.root().with_file_name("ca.key");
    for (certificate, root, mode, reason) in [
        (own, &trusted, "verify-full", "CA:TRUE"),
        (trusted.wrong_name(), &trusted, "verify-full", "not valid for name"),
        (trusted.expired(), &trusted, "verify-full", "expired"),
        (trusted.expired(), &trusted, "verify-ca", "expired"),
        (trusted.good(), &untrusted, "verify-full", "sslrootcert has no authority"),
        (trusted.good(), &untrusted, "verify-ca", "sslrootcert has no authority"),
        (trusted.good(), &untrusted, "require", "sslrootcert has no authority"),
    ] {
        let server = server_with(&certificate);
        let url = format!("{}?sslmode={mode}&sslrootcert={}", server.url("postgres"), root.root().display());
        let finished = upgrade(&url).output();
        expect_end(&finished, 76, &[reason, "nothing was changed", "try: check sslmode and sslrootcert"]);
        finished.within(DEFAULT_TIMEOUT / 6);
        let log = server.log();
        assert!(!log.contains(" lockkeeper LOG:  connection auth"), "a login: {log}");
        expect_untouched(&PgDatabase::new(&server, "postgres"));
    }
}

/// A client that requires TLS sends no password to a server without it.
#[test]
fn no_password_is_sent_without_tls_where_it_is_required() {
    const REQUEST_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let authority = Authority::new();
    for mode in ["require", "verify-ca", "verify-full"] {
        let server = Scripted::start(vec![Answer::Error { code: "28P01", message: "not to be reached" }]);
        let run = upgrade(&format!("{}?sslmode={mode}", server.url("d")));
        let finished = run.env("PGSSLROOTCERT", authority.root().display().to_string()).output();
        expect_end(&finished, 76, &["server does not support TLS", "try: check sslmode"]);
        assert_eq!(server.received(), [REQUEST_FOR_TLS], "{mode}");
    }
}

/// Every sslmode accepts the certificates that libpq accepts in this mode.
#[test]
fn a_certificate_that_is_valid_for_the_sslmode_is_accepted() {
    let (trusted, untrusted) = (Authority::new(), Authority::new());
    let valid_server = server_with(&trusted.good());
    let wrong_name = server_with(&trusted.wrong_name());
    let database = valid_server.database("encrypted");
    let other_host = PgDatabase::new(&wrong_name, "postgres");
    let (trusted, untrusted) = (trusted.root().display().to_string(), untrusted.root().display().to_string());
    for (database, query) in [
        (&database, format!("sslmode=verify-full&sslrootcert={trusted}")),
        (&database, format!("sslmode=verify-ca&sslrootcert={trusted}")),
        (&database, format!("sslmode=require&sslrootcert={trusted}")),
        (&database, "sslmode=require".into()),
        (&database, "ssl=true".into()),
        (&database, String::new()),
        (&other_host, format!("sslmode=verify-ca&sslrootcert={trusted}")),
        (&other_host, "sslmode=require".into()),
        (&other_host, format!("sslmode=prefer&sslrootcert={untrusted}")),
    ] {
        expect_end(&upgrade(&format!("{}?{query}", database.url())).output(), 0, &["0001"]);
    }
    // pg_dump logs in like this, too.
    let url = format!("{}?sslmode=verify-full&sslrootcert={trusted}", database.url());
    expect_end(&upgrade(&url).arg("backup").output(), 0, &["backup"]);
    // The server is reached by name, and by the variables of libpq.
    let run = upgrade(&database.url().replace("127.0.0.1", "localhost"));
    let run = run.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &trusted);
    expect_end(&run.output(), 0, &["0001"]);
    expect_upgraded(&database);
    expect_upgraded(&other_host);
}

/// pg_hba.conf refuses the connection, and not the certificate.
#[test]
fn a_server_that_requires_tls_denies_plain_text() {
    let server = server_with(&Authority::new().good());
    let url = format!("{}?sslmode=disable", server.url("postgres"));
    let finished = upgrade(&url).args(["--auth-grace", "0"]).output();
    expect_end(&finished, 77, &["pg_hba.conf", "no encryption"]);
}

/// A missing root certificate is named in the message.
#[test]
fn a_missing_root_certificate_is_named() {
    let url = format!("{}?sslmode=verify-full&sslrootcert=/no/such/ca.crt", Postgres::shared().url("postgres"));
    expect_end(&upgrade(&url).output(), 76, &["sslrootcert: /no/such/ca.crt: No such file"]);
}

/// A server that speaks first, such as SSH or MySQL, is recognized and not waited for.
#[test]
fn another_protocol_on_the_port_is_reported() {
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec();
    let mysql = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0".to_vec();
    let rows = [
        ("HTTP", http),
        ("MySQL", mysql),
        ("SMTP", b"220 mail.example ESMTP\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("garbage", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9".to_vec()),
    ];
    for (name, bytes) in rows {
        for mode in ["prefer", "disable"] {
            let server = Scripted::start(vec![Answer::Bytes(bytes.clone())]);
            let finished = upgrade(&format!("{}?sslmode={mode}", server.url("d"))).output();
            assert!(finished.code == Some(76), "{name}, {mode}: {finished}");
            expect_end(&finished, 76, &["what answers is not PostgreSQL", "try: check"]);
            assert_eq!(server.connections(), 1);
            let received = String::from_utf8_lossy(&server.received()[0]).into_owned();
            assert!(!received.contains(PASSWORD), "{USER} has sent the password: {received}");
        }
    }
}
