//! Tests of the static binary in an empty root directory. `tests/run` puts it into `target/static`: the image's, or
//! that of `cargo static`.
//!
//! They need root: they call chroot and answer DNS on port 53 of an address of their own.

mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::postgres::{PASSWORD, Postgres, Setup, USER};
use support::tls::Authority;

/// An address on which no other resolver listens.
const RESOLVER: &str = "127.0.0.117";
/// A host name that only our resolver knows.
const NAME: &str = "database.lockkeeper.test";

fn binary() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/static/lockkeeper");
    assert!(file.exists(), "no static binary: tests/run puts it there");
    file
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[test]
fn the_binary_is_static_and_small() {
    let file = binary();
    let output = run(Command::new("file").arg("-b").arg(&file));
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("statically linked") || output.contains("static-pie linked"), "{output}");
    let output = run(Command::new("ldd").arg(&file));
    let output = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.contains("statically linked") || output.contains("not a dynamic executable"), "{output}");
    let bytes = fs::metadata(&file).expect("metadata").len();
    assert!(bytes < 10 * 1024 * 1024, "{bytes} bytes");
}

/// Answers every question for an IPv4 address with 127.0.0.1 and every other one with an empty answer, until the test
/// ends.
fn start_resolver() {
    let socket = UdpSocket::bind((RESOLVER, 53)).expect("port 53 of an own address: is this root?");
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            let question = 12 + packet[12..length].iter().position(|&byte| byte == 0).unwrap_or(0) + 5;
            let is_a = packet[question - 4..question - 2] == [0, 1];
            let mut answer = packet[..question].to_vec();
            // Flags: an answer, recursion available; one question, one record or none (RFC 1035, 4.1.1).
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}

/// Creates a root directory with nothing but the binary, resolv.conf, a CA file and the migrations.
fn empty_root(authority: &Authority) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(root.path().join("etc")).expect("etc");
    fs::create_dir_all(root.path().join("migrations")).expect("migrations");
    fs::copy(binary(), root.path().join("lockkeeper")).expect("the binary");
    fs::write(root.path().join("etc/resolv.conf"), format!("nameserver {RESOLVER}\n")).expect("resolv.conf");
    fs::copy(authority.root(), root.path().join("ca.crt")).expect("the CA file");
    fs::write(root.path().join("migrations/0001_t.sql"), "CREATE TABLE t (a int);").expect("a migration");
    root
}

fn run_in_root(root: &Path, url: &str) -> Output {
    let mut command = Command::new("chroot");
    command.arg(root).args(["/lockkeeper"]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DATABASE_URL", url).env("LOCKKEEPER_LOG_FORMAT", "text").env("LOCKKEEPER_WAIT_TIMEOUT", "10s");
    run(&mut command)
}

#[test]
fn the_binary_resolves_names_and_uses_tls_in_an_empty_root() {
    start_resolver();
    let authority = Authority::new();
    let certificate = authority.issue(&format!("DNS:{NAME}"), "20200101000000Z", "20491231235959Z");
    let server = Postgres::start(Setup::default().tls(&certificate).hba("hostnossl all all all reject"));
    let database = server.database("static");
    let root = empty_root(&authority);
    let url = format!(
        "postgresql://{USER}:{PASSWORD}@{NAME}:{}/{}?sslmode=verify-full&sslrootcert=/ca.crt",
        server.port(),
        database.name()
    );
    let output = run_in_root(root.path(), &url);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn the_binary_migrates_sqlite_in_an_empty_root() {
    let root = empty_root(&Authority::new());
    let output = run_in_root(root.path(), "sqlite:////data/app.db");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(support::sqlite::value(&root.path().join("data/app.db"), "SELECT count(*) FROM t"), "0");
}

#[test]
fn the_binary_without_object_stores_says_which_one_has_them() {
    let root = empty_root(&Authority::new());
    let mut command = Command::new("chroot");
    command.arg(root.path()).args(["/lockkeeper", "backups"]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("DATABASE_URL", "sqlite:////data/app.db");
    let output = run(command.env("LOCKKEEPER_BACKUP_DIR", "s3://bucket/prefix"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("tools") && said.contains("--features object-store"), "{said}");
}
