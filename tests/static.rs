//! The static binary in an empty root folder. `tests/run` puts it into `target/static`: the image's, or that of `cargo static`.
//!
//! It needs root: it calls chroot and answers DNS on port 53 of an address of its own.

mod support;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::postgres::{PASSWORD, Postgres, Setup, USER};
use support::tls::Authority;

/// Nobody else's resolver listens here.
const RESOLVER: &str = "127.0.0.117";
/// A name that only our resolver knows.
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
    let said = run(Command::new("file").arg("-b").arg(&file));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("statically linked") || said.contains("static-pie linked"), "{said}");
    let said = run(Command::new("ldd").arg(&file));
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("statically linked") || said.contains("not a dynamic executable"), "{said}");
    let bytes = fs::metadata(&file).expect("metadata").len();
    assert!(bytes < 10 * 1024 * 1024, "{bytes} bytes");
}

/// Answers every question for an IPv4 address with 127.0.0.1 and every other one with nothing, until the test ends.
fn answer_names() {
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

/// A root folder with nothing but the binary, resolv.conf, a CA file and the migrations.
fn empty_root(authority: &Authority) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(root.path().join("etc")).expect("etc");
    fs::create_dir_all(root.path().join("migrations")).expect("migrations");
    fs::copy(binary(), root.path().join("lockkeeper")).expect("the binary");
    fs::write(root.path().join("etc/resolv.conf"), format!("nameserver {RESOLVER}\n")).expect("resolv.conf");
    fs::copy(authority.root(), root.path().join("ca.crt")).expect("the CA file");
    fs::write(root.path().join("migrations/0001_t.sql"), "CREATE TABLE t (a int);").expect("a migration");
    root
}

fn in_root(root: &Path, url: &str) -> Output {
    let mut command = Command::new("chroot");
    command.arg(root).args(["/lockkeeper"]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DATABASE_URL", url).env("LOCKKEEPER_LOG_FORMAT", "text").env("LOCKKEEPER_WAIT_TIMEOUT", "10s");
    run(&mut command)
}

#[test]
fn it_resolves_names_and_speaks_tls_in_an_empty_root() {
    answer_names();
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
    let done = in_root(root.path(), &url);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(database.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn it_does_the_main_job_on_sqlite_in_an_empty_root() {
    let root = empty_root(&Authority::new());
    let done = in_root(root.path(), "sqlite:////data/app.db");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(support::sqlite::value(&root.path().join("data/app.db"), "SELECT count(*) FROM t"), "0");
}
