//! Tests of stopping a Compose project: a migration is rolled back within the grace period.

use std::process::Stdio;

use crate::engine::{Finished, docker};
use crate::project::Project;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

const RUNNING: &str =
    "select count(*) from pg_stat_activity where query like '%pg_sleep(3600)%' and pid <> pg_backend_pid()";

/// Creates a project in which 0006 has created its table and runs for an hour.
fn during_a_migration() -> Project {
    let project = Project::new().with_own_migrations();
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\nSELECT pg_sleep(3600);\n");
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    // Not earlier: the server's socket does not exist at once.
    project.wait_for("migrate", "applied 0005");
    wait_until("the migration runs", DEFAULT_TIMEOUT, || project.value(RUNNING) == "1");
    project
}

#[track_caller]
fn expect_rolled_back(project: &Project) {
    assert_eq!(project.value("select to_regclass('teams') is null"), "t");
    assert_eq!(project.recorded_revisions(), "5");
}

#[test]
fn stop_rolls_the_migration_back_and_it_exits_with_143() {
    let project = during_a_migration();
    project.compose(&["stop", "migrate"]).expect_code(0);
    assert_eq!(project.state("migrate"), "exited 143", "{}", project.logs("migrate"));
    expect_rolled_back(&project);
    assert_eq!(project.value(RUNNING), "0");
}

#[test]
fn down_rolls_the_migration_back_before_the_server_stops() {
    let project = during_a_migration();
    let container = project.containers("migrate").remove(0);
    // The container is removed right after its end: the log has to be followed before.
    let mut listen = docker();
    listen.args(["logs", "--follow", &container]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let listening = listen.spawn().expect("docker");
    project.compose(&["down"]).expect_code(0);
    let log = Finished::from_output(listening.wait_with_output().expect("docker"));
    log.says("code=143");
    project.compose(&["up", "--detach", "--wait", "db"]).expect_code(0);
    expect_rolled_back(&project);
}
