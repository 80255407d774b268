//! Runs the pods of the manifests with podman: the application starts only after its init container has exited with 0.
//! `for_podman.rs` has the changes that podman needs.

use std::fs;
use std::thread::JoinHandle;

use serde_json::json;

use crate::engine::Finished;
use crate::for_podman::{PASSWORD, find, of_kinds, rendered, set_password, set_variable, without_claims};
use crate::podman::Podman;
use crate::support::TABLES;

pub const MIGRATE: &str = "devops-hub-pod-0-migrate";
pub const APPLICATION: &str = "devops-hub-pod-0-devops-hub";
const WAITS: &str = "devops-hub-pod-0-wait-for-migration";
const JOB: &str = "devops-hub-migrate-migrate";
const SLEEPERS: &str = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";

#[track_caller]
pub fn expect_application_started(podman: &Podman, application: &str) {
    let last = TABLES.last().expect("tables");
    podman.wait_for(application, &format!("found {last}\n"));
    let log = podman.logs(application);
    let found: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("found ")).collect();
    let expected: Vec<&str> = found.iter().copied().filter(|name| !name.starts_with("lockkeeper_")).collect();
    assert_eq!(expected, TABLES, "{log}");
    assert_eq!(podman.inspect(application, "{{.State.Status}}"), "running");
}

/// Expects that the init container has exited with this code, as podman reports too, and that the application was never
/// started.
#[track_caller]
pub fn expect_not_started(podman: &Podman, play: &Finished, code: i32) {
    let log = podman.logs(MIGRATE);
    play.expect_code(125).says(&format!("exited with code {code}"));
    assert_eq!(podman.inspect(MIGRATE, "{{.State.ExitCode}}"), code.to_string(), "{log}");
    assert!(log.contains(&format!(r#""code":{code}"#)), "{log}");
    expect_never_started(podman);
}

#[track_caller]
fn expect_never_started(podman: &Podman) {
    assert_eq!(podman.inspect(APPLICATION, "{{.State.Status}} {{.State.StartedAt.Year}}"), "created 1");
    assert_eq!(podman.logs(APPLICATION), "");
}

#[track_caller]
fn finish_play(play: JoinHandle<Finished>) -> Finished {
    play.join().expect("podman")
}

#[test]
fn the_application_starts_when_the_init_container_has_migrated() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    podman.play(&rendered("k8s/base")).expect_code(0);
    assert_eq!(podman.inspect(MIGRATE, "{{.State.ExitCode}}"), "0");
    assert!(podman.logs(MIGRATE).contains("up to date at 0005"), "{}", podman.logs(MIGRATE));
    expect_application_started(&podman, APPLICATION);

    // The second replica of the Deployment.
    let second = podman.logs("devops-hub-pod-1-migrate");
    assert!(second.contains("nothing pending"), "{second}");
    expect_application_started(&podman, "devops-hub-pod-1-devops-hub");
}

#[test]
fn a_restarted_pod_has_nothing_to_apply() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    podman.play(&rendered("k8s/base")).expect_code(0);
    podman.stop_pod("devops-hub-pod-0");
    podman.value("ALTER SYSTEM SET log_statement = 'all'");
    podman.value("SELECT pg_reload_conf()");
    podman.wait_for_value("SHOW log_statement", "all");
    podman.output_of(&["pod", "start", "devops-hub-pod-0"]);

    let log = podman.logs(MIGRATE);
    assert_eq!(log.matches("up to date at 0005").count(), 1, "{log}");
    assert_eq!(log.matches("nothing pending").count(), 1, "{log}");
    assert_eq!(podman.inspect(APPLICATION, "{{.State.Status}}"), "running");
    let statements = podman.logs("database").to_lowercase();
    assert!(statements.contains("lockkeeper_history"), "its statements are not to be seen:\n{statements}");
    assert!(!statements.contains("advisory_lock"), "it has taken the lock:\n{statements}");
    let backups = fs::read_dir(podman.volume("devops-hub-backups")).expect("the volume");
    assert_eq!(backups.count(), 0, "the database was empty at first, and nothing was pending then");
}

#[test]
fn failing_migrations_prevent_the_application_from_starting_until_they_are_fixed() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let manifests = rendered("k8s/base");
    podman.add_migrations(&[("0006_fails.up.sql", "CREATE TABLE new (a int);\nSELECT 1 / 0;\n")]);
    expect_not_started(&podman, &podman.play(&manifests), 80);
    assert_eq!(podman.value("select to_regclass('new') is null, max(revision) from lockkeeper_history"), "t|0005");

    podman.remove_pods();
    podman.add_migrations(&[("0006_fails.up.sql", "CREATE TABLE new (a int);\n")]);
    podman.play(&without_claims(&manifests)).expect_code(0);
    podman.wait_for(APPLICATION, "found new\n");
    let backups = fs::read_dir(podman.volume("devops-hub-backups")).expect("the volume").flatten();
    let dumps = backups.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "dump"));
    assert!(dumps.count() > 0, "0005 was there to be backed up");
}

#[test]
fn a_wrong_password_prevents_the_application_from_starting() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let mut manifests = rendered("k8s/base");
    set_password(find(&mut manifests, "Secret", "devops-hub-database"), "d3Jvbmc=");
    set_variable(&mut manifests, "LOCKKEEPER_AUTH_GRACE", "1s");
    expect_not_started(&podman, &podman.play(&manifests), 77);
}

#[test]
fn a_database_that_is_never_ready_prevents_the_application_from_starting() {
    let podman = Podman::new();
    let mut manifests = rendered("k8s/base");
    set_variable(&mut manifests, "LOCKKEEPER_WAIT_TIMEOUT", "1s");
    expect_not_started(&podman, &podman.play(&manifests), 69);
}

#[test]
fn the_init_container_waits_for_a_database_that_starts_later_and_is_restricted() {
    let podman = Podman::new();
    let play = podman.spawn_play(&rendered("k8s/base"));
    podman.wait_for(MIGRATE, "waiting for");
    expect_restricted(&podman, MIGRATE);
    expect_never_started(&podman);
    podman.start_database(PASSWORD);
    finish_play(play).expect_code(0);
    expect_application_started(&podman, APPLICATION);
    expect_restricted(&podman, APPLICATION);
}

/// Checks what the kernel reports about a container's first process.
#[track_caller]
fn expect_restricted(podman: &Podman, container: &str) {
    let pid = podman.inspect(container, "{{.State.Pid}}");
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a running process");
    let status = file("status");
    for (name, value) in [
        ("Uid", "65532 65532 65532 65532"),
        ("Gid", "65532 65532 65532 65532"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let found = found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(found, value, "{name} of {container}:\n{status}");
    }
    let mounts = file("mountinfo");
    let mount = |path: &str| {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.filter(|fields| fields[4] == path).map(|fields| fields[5].to_owned()).next_back().expect(path)
    };
    assert!(mount("/").starts_with("ro"), "{mounts}");
    assert!(mount("/run/secrets/lockkeeper").starts_with("ro"), "{mounts}");
    assert!(!file("environ").contains(PASSWORD), "the password is in the environment of {container}");
}

#[test]
fn an_init_container_that_is_stopped_rolls_back_and_the_application_does_not_start() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    podman.add_migrations(&[("0006_slow.up.sql", "CREATE TABLE slow (a int);\nSELECT pg_sleep(600);\n")]);
    let play = podman.spawn_play(&rendered("k8s/base"));
    podman.wait_for_value(SLEEPERS, "1");
    // The container is stopped and not the pod: podman's pod is locked until its init containers have ended.
    podman.output_of(&["stop", "--time=30", MIGRATE]);
    expect_not_started(&podman, &finish_play(play), 143);
    assert_eq!(podman.value("select to_regclass('slow') is null, max(revision) from lockkeeper_history"), "t|0005");
    assert_eq!(podman.value(SLEEPERS), "0");
}

#[test]
fn the_application_starts_after_the_job_in_any_order_of_deployment() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let manifests = rendered("k8s/overlays/job");
    let job = of_kinds(&manifests, &["Pod", "ConfigMap", "Secret", "PersistentVolumeClaim"]);
    let application = of_kinds(&manifests, &["Deployment", "ConfigMap", "Secret"]);

    let play = podman.spawn_play(&application);
    podman.wait_for(WAITS, "revisions are pending: waiting for the run that applies them");
    expect_never_started(&podman);
    podman.play(&job).expect_code(0);
    assert_eq!(podman.output_of(&["wait", JOB]), "0", "{}", podman.logs(JOB));
    finish_play(play).expect_code(0);
    assert_eq!(podman.inspect(WAITS, "{{.State.ExitCode}}"), "0");
    expect_application_started(&podman, APPLICATION);
    expect_application_started(&podman, "devops-hub-pod-1-devops-hub");
}

#[test]
fn a_job_that_fails_keeps_the_application_waiting() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    podman.add_migrations(&[("0006_fails.up.sql", "SELECT 1 / 0;\n")]);
    let mut manifests = rendered("k8s/overlays/job");
    let job = of_kinds(&manifests, &["Pod", "ConfigMap", "Secret", "PersistentVolumeClaim"]);
    podman.play(&job).expect_code(0);
    assert_eq!(podman.output_of(&["wait", JOB]), "80", "{}", podman.logs(JOB));

    let variables = find(&mut manifests, "ConfigMap", "variables-of-wait-for-migration");
    variables["data"]["LOCKKEEPER_WAIT_TIMEOUT"] = json!("1s");
    let application = of_kinds(&manifests, &["Deployment", "ConfigMap", "Secret"]);
    podman.play(&application).expect_code(125).says("exited with code 69");
    expect_never_started(&podman);
}

#[test]
fn the_application_finds_the_sqlite_file_that_the_init_container_has_migrated() {
    let podman = Podman::new();
    podman.use_sqlite();
    let manifests = rendered("k8s/overlays/sqlite");
    podman.play(&manifests).expect_code(0);
    expect_application_started(&podman, APPLICATION);
    assert!(podman.volume("devops-hub-data").join("devops_hub.db").exists());

    podman.stop_pod("devops-hub-pod-0");
    podman.output_of(&["pod", "start", "devops-hub-pod-0"]);
    assert!(podman.logs(MIGRATE).contains("nothing pending"), "{}", podman.logs(MIGRATE));
}
