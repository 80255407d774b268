//! Tests of the termination message: the last line of a run is where the kubelet looks for it, and `kubectl describe
//! pod` shows it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tempfile::TempDir;

use crate::engine::{Database, EXAMPLE, Finished, PASSWORD, TOOLS, Volume};
use crate::for_podman::{mount, rendered, set_variable};
use crate::kube_play::expect_not_started;
use crate::podman::Podman;
use crate::support::temporary_directory;

/// Creates an empty file. The kubelet creates it as root, writable for everybody.
fn log(mode: u32) -> TempDir {
    let directory = temporary_directory("termination");
    let file = directory.path().join("log");
    fs::write(&file, "").expect("a file");
    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("chmod");
    directory
}

/// Runs an image with that file where the kubelet mounts it, in a container that can write nothing but backups.
fn run(database: &Database, log: &TempDir, options: &[&str], image: &str, arguments: &[&str]) -> Finished {
    let mount = format!("--volume={}/log:/dev/termination-log", log.path().display());
    let volume = Volume::new();
    let backups = format!("--volume={}:/backups", volume.0);
    let restricted = ["--read-only", "--cap-drop=ALL", &backups, &mount];
    database.run(&[&restricted, options].concat(), image, arguments)
}

/// Returns what such a run writes to the file.
#[track_caller]
fn message(database: &Database, code: i32, options: &[&str], image: &str, arguments: &[&str]) -> String {
    let log = log(0o666);
    let finished = run(database, &log, options, image, arguments);
    finished.expect_code(code);
    let message = fs::read_to_string(log.path().join("log")).expect("UTF-8");
    assert!(!message.is_empty() && message.len() <= 1000, "{} bytes: {finished}", message.len());
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(!message.contains(PASSWORD), "{message}");
    message
}

/// Creates a directory with one migration; returns it and the option that mounts it.
fn migrations(sql: &str) -> (TempDir, String) {
    let directory = temporary_directory("migrations");
    fs::write(directory.path().join("0001_only.sql"), sql).expect("a migration");
    let option = format!("--volume={}:/migrations:ro", directory.path().display());
    (directory, option)
}

#[test]
fn each_class_of_exit_code_writes_its_last_line() {
    let database = Database::new();
    let long = format!("DO $$ BEGIN RAISE EXCEPTION '{}'; END $$;", "\u{e4}\u{1f6a2}".repeat(500));
    let (_directory, fails) = migrations(&long);
    for (code, options, image, arguments, words) in [
        (64, vec![], EXAMPLE, vec!["--wrong"], "--wrong"),
        (66, vec![], TOOLS, vec![], "/migrations"),
        (
            69,
            vec!["--env=DATABASE_URL=postgresql://devops_hub@nowhere/devops_hub"],
            EXAMPLE,
            vec!["--wait-timeout=1s"],
            "nowhere",
        ),
        (77, vec!["--env=DATABASE_PASSWORD=wrong", "--env=LOCKKEEPER_AUTH_GRACE=1s"], EXAMPLE, vec![], "password"),
        (78, vec!["--env=LOCKKEEPER_WAIT_TIMEOUT=soon"], EXAMPLE, vec![], "LOCKKEEPER_WAIT_TIMEOUT"),
        (80, vec![fails.as_str()], EXAMPLE, vec![], "0001_only.sql"),
        (0, vec![], EXAMPLE, vec![], "up to date at 0005"),
        (0, vec![], EXAMPLE, vec![], "nothing pending"),
        (65, vec![fails.as_str()], EXAMPLE, vec![], "0001"),
    ] {
        let message = message(&database, code, &options, image, &arguments);
        assert!(message.contains(words), "{code}: {message}");
    }
}

#[test]
fn a_file_that_cannot_be_written_changes_nothing() {
    let database = Database::new();
    let log = log(0o600);
    run(&database, &log, &[], EXAMPLE, &[]).expect_code(0).says("up to date at 0005");
    assert_eq!(fs::read_to_string(log.path().join("log")).expect("a file"), "");
}

#[test]
fn a_failing_init_container_writes_its_last_line() {
    let podman = Podman::new();
    let mut manifests = rendered("k8s/base");
    set_variable(&mut manifests, "LOCKKEEPER_WAIT_TIMEOUT", "1s");
    // podman has no such file of its own.
    let log = log(0o666);
    let file = log.path().join("log");
    mount(&mut manifests, "/dev/termination-log", json!({"hostPath": {"path": file, "type": "File"}}));
    expect_not_started(&podman, &podman.play(&manifests), 69);
    let message = fs::read_to_string(&file).expect("UTF-8");
    assert!(message.contains("was not ready after"), "{message:?}");
}
