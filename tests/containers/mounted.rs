//! Tests of migrations from a ConfigMap instead of an image.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::for_podman::{PASSWORD, mount, rendered};
use crate::kube_play::{APPLICATION, MIGRATE, expect_application_started};
use crate::podman::Podman;
use crate::support::{DEFAULT_TIMEOUT, temporary_directory, wait_until};

const NEW: (&str, &str) = ("0006_new.up.sql", "CREATE TABLE new (a int);\n");

/// Returns the example's files for PostgreSQL, by name.
fn files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let entries = fs::read_dir(directory).expect("the migrations").flatten();
    let read = |path: &Path| fs::read_to_string(path).expect("a migration");
    entries.map(|entry| (entry.file_name().into_string().expect("UTF-8"), read(&entry.path()))).collect()
}

#[test]
fn migrations_come_from_a_config_map() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let mut manifests = rendered("k8s/base");
    let data: Map<String, Value> = files().into_iter().map(|(name, text)| (name, text.into())).collect();
    manifests
        .insert(0, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "migrations"}, "data": data}));
    mount(&mut manifests, "/migrations", json!({"configMap": {"name": "migrations"}}));
    podman.play(&manifests).expect_code(0);
    expect_application_started(&podman, APPLICATION);
    assert_eq!(podman.value("select count(*) from lockkeeper_history"), "5");
}

/// Publishes files as the kubelet does (Kubernetes' AtomicWriter): they are in a directory with a timestamp in its
/// name, the link `..data` points to it and changes in one step, and each name is a link through `..data`.
fn publish(directory: &Path, time: &str, files: &[(String, String)]) {
    let inner = directory.join(time);
    fs::create_dir(&inner).expect("a directory");
    fs::set_permissions(&inner, Permissions::from_mode(0o755)).expect("chmod");
    for (name, text) in files {
        fs::write(inner.join(name), text).expect("a migration");
    }
    symlink(time, directory.join("..data_tmp")).expect("a link");
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).expect("a rename");
    for entry in fs::read_dir(directory).expect("the directory").flatten() {
        // Links to files that are not published any more.
        if !entry.path().exists() {
            fs::remove_file(entry.path()).expect("a link");
        }
    }
    for (name, _) in files.iter().filter(|(name, _)| !directory.join(name).exists()) {
        symlink(Path::new("..data").join(name), directory.join(name)).expect("a link");
    }
}

/// Restarts the pod and returns the log of its init container.
#[track_caller]
fn restart(podman: &Podman) -> String {
    let before = podman.logs(MIGRATE).len();
    podman.stop_pod("devops-hub-pod-0");
    podman.output_of(&["pod", "start", "devops-hub-pod-0"]);
    podman.logs(MIGRATE).split_off(before)
}

#[test]
fn a_mounted_config_map_is_read_once_per_start_through_its_links() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let directory = temporary_directory("config");
    let old = files();
    publish(directory.path(), "..2026_01_12_09_30_00.1", &old);
    let mut manifests = rendered("k8s/base");
    mount(&mut manifests, "/migrations", json!({"hostPath": {"path": directory.path(), "type": "Directory"}}));
    podman.play(&manifests).expect_code(0);
    assert_eq!(podman.value("select count(*), max(revision) from lockkeeper_history"), "5|0005");

    let new = [old.clone(), vec![(NEW.0.to_owned(), NEW.1.to_owned())]].concat();
    publish(directory.path(), "..2026_01_13_09_30_00.2", &new);
    let log = restart(&podman);
    assert!(log.contains("up to date at 0006: 1 applied"), "{log}");
    podman.wait_for(APPLICATION, "found new\n");

    // Back to the previous release, which works with the newer schema.
    publish(directory.path(), "..2026_01_14_09_30_00.3", &old);
    let log = restart(&podman);
    assert!(log.contains("ahead of"), "{log}");
    wait_until("the second start of the application with the newer schema", DEFAULT_TIMEOUT, || {
        podman.logs(APPLICATION).matches("found new\n").count() == 2
    });
    assert_eq!(podman.inspect(APPLICATION, "{{.State.Status}}"), "running");
}
