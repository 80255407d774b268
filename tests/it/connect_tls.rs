//! Servers that cannot be trusted, and ports where something else answers (CASES 7 and 8).

use crate::connect::{ended, is_untouched, is_upgraded, upgrade};
use crate::support::SOON;
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, Setup, USER};
use crate::support::scripted::{Answer, Scripted};
use crate::support::tls::{Authority, Certificate};

/// A server that insists on TLS.
fn server_with(certificate: &Certificate) -> Postgres {
    Postgres::start(Setup::default().tls(certificate).hba("hostnossl all all all reject"))
}

/// Case 7: the handshake ends before anything is said in it.
#[test]
fn a_certificate_that_does_not_fit_ends_the_run_before_the_login() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    // A self-signed certificate is often made as an authority's.
    let mut own = ours.good();
    own.certificate = ours.root();
    own.key = ours.root().with_file_name("ca.key");
    for (certificate, root, mode, reason) in [
        (own, &ours, "verify-full", "CA:TRUE"),
        (ours.wrong_name(), &ours, "verify-full", "not valid for name"),
        (ours.expired(), &ours, "verify-full", "expired"),
        (ours.expired(), &ours, "verify-ca", "expired"),
        (ours.good(), &theirs, "verify-full", "sslrootcert has no authority"),
        (ours.good(), &theirs, "verify-ca", "sslrootcert has no authority"),
        (ours.good(), &theirs, "require", "sslrootcert has no authority"),
    ] {
        let server = server_with(&certificate);
        let url = format!("{}?sslmode={mode}&sslrootcert={}", server.url("postgres"), root.root().display());
        let finished = upgrade(&url).output();
        ended(&finished, 76, &[reason, "nothing was changed", "try: check sslmode and sslrootcert"]);
        finished.within(SOON / 6);
        let log = server.log();
        assert!(!log.contains(" lockkeeper LOG:  connection auth"), "a login: {log}");
        is_untouched(&PgDatabase::new(&server, "postgres"));
    }
}

/// Case 7.
#[test]
fn a_server_without_tls_gets_no_password_where_tls_is_asked_for() {
    const REQUEST_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let authority = Authority::new();
    for mode in ["require", "verify-ca", "verify-full"] {
        let server = Scripted::start(vec![Answer::Error { code: "28P01", message: "not to be reached" }]);
        let run = upgrade(&format!("{}?sslmode={mode}", server.url("d")));
        let finished = run.env("PGSSLROOTCERT", authority.root().display().to_string()).output();
        ended(&finished, 76, &["server does not support TLS", "try: check sslmode"]);
        assert_eq!(server.heard(), [REQUEST_FOR_TLS], "{mode}");
    }
}

/// Case 7.
#[test]
fn a_certificate_that_fits_the_mode_is_accepted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let good = server_with(&ours.good());
    let wrong_name = server_with(&ours.wrong_name());
    let database = good.database("encrypted");
    let elsewhere = PgDatabase::new(&wrong_name, "postgres");
    let (ours, theirs) = (ours.root().display().to_string(), theirs.root().display().to_string());
    for (database, query) in [
        (&database, format!("sslmode=verify-full&sslrootcert={ours}")),
        (&database, format!("sslmode=verify-ca&sslrootcert={ours}")),
        (&database, format!("sslmode=require&sslrootcert={ours}")),
        (&database, "sslmode=require".into()),
        (&database, "ssl=true".into()),
        (&database, String::new()),
        (&elsewhere, format!("sslmode=verify-ca&sslrootcert={ours}")),
        (&elsewhere, "sslmode=require".into()),
        (&elsewhere, format!("sslmode=prefer&sslrootcert={theirs}")),
    ] {
        ended(&upgrade(&format!("{}?{query}", database.url())).output(), 0, &["0001"]);
    }
    // As pg_dump logs in, too.
    let url = format!("{}?sslmode=verify-full&sslrootcert={ours}", database.url());
    ended(&upgrade(&url).arg("backup").output(), 0, &["backup"]);
    // By name, and by the variables.
    let run = upgrade(&database.url().replace("127.0.0.1", "localhost"));
    let run = run.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ours);
    ended(&run.output(), 0, &["0001"]);
    is_upgraded(&database);
    is_upgraded(&elsewhere);
}

/// Case 7: what is asked of the server's rules, not of its certificate.
#[test]
fn a_server_that_insists_on_tls_denies_plain_text() {
    let server = server_with(&Authority::new().good());
    let url = format!("{}?sslmode=disable", server.url("postgres"));
    let finished = upgrade(&url).args(["--auth-grace", "0"]).output();
    ended(&finished, 77, &["pg_hba.conf", "no encryption"]);
}

/// Case 7.
#[test]
fn a_root_certificate_that_is_not_there_is_named() {
    let url = format!("{}?sslmode=verify-full&sslrootcert=/no/such/ca.crt", Postgres::shared().url("postgres"));
    ended(&upgrade(&url).output(), 76, &["sslrootcert: /no/such/ca.crt: No such file"]);
}

/// Case 8. Whoever speaks first, as SSH and MySQL do, is not waited for.
#[test]
fn another_protocol_on_the_port_is_told_as_such() {
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
            ended(&finished, 76, &["what answers is not PostgreSQL", "try: check"]);
            assert_eq!(server.connections(), 1);
            let heard = String::from_utf8_lossy(&server.heard()[0]).into_owned();
            assert!(!heard.contains(PASSWORD), "{USER} has sent the password: {heard}");
        }
    }
}
