//! Tests of the server image's first boot: for its init scripts it runs a temporary server that listens on the socket
//! alone, and stops it.

use crate::project::Project;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

/// Creates a project with a slow init script: it creates a table and then waits for `/gate/open`.
fn with_slow_init_script() -> Project {
    let project = Project::new().with_override(
        "slow.yml",
        "services:
  db:
    volumes:
      - ./init.sql:/docker-entrypoint-initdb.d/init.sql:ro
      - ./wait.sh:/docker-entrypoint-initdb.d/wait.sh:ro
      - ./gate:/gate
",
    );
    project.write("init.sql", "CREATE TABLE of_the_init_script AS SELECT 1 AS kept;\n");
    project.write("wait.sh", "until [ -e /gate/open ]; do sleep 0.1; done\n");
    project.write("gate/shut", "");
    project
}

/// Shares the server's socket with the other containers, so that they reach the temporary server.
fn with_shared_socket(project: Project) -> Project {
    project.with_override(
        "socket.yml",
        "services:
  db:
    volumes: [\"socket:/var/run/postgresql\"]
  migrate:
    environment:
      DATABASE_URL: postgresql://devops_hub@/devops_hub?host=/var/run/postgresql
    volumes: [\"socket:/var/run/postgresql\"]
volumes:
  socket:
",
    )
}

fn last_probe(project: &Project) -> String {
    let probes = project.inspect("db", "{{range .State.Health.Log}}{{.Start}}\n{{end}}");
    probes.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn expect_migrated(project: &Project, revisions: &str) {
    project.compose(&["up", "--detach", "--wait", "db"]).expect_code(0);
    assert_eq!(project.recorded_revisions(), revisions);
    assert_eq!(project.value("select kept from of_the_init_script"), "1");
}

#[test]
fn over_tcp_the_temporary_server_of_the_init_scripts_is_not_ready() {
    let project = with_slow_init_script();
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    project.wait_for("db", "SELECT 1");
    // It answers, where only its own container can reach it.
    assert_eq!(project.value("select kept from of_the_init_script"), "1");
    project.wait_for("migrate", "Connection refused");
    // The first probe that ends now may have begun before.
    for _ in 0..2 {
        let probe = last_probe(&project);
        wait_until("another probe", DEFAULT_TIMEOUT, || last_probe(&project) != probe);
    }
    assert_eq!(project.inspect("db", "{{.State.Health.Status}}"), "starting");
    project.write("gate/open", "");
    assert_eq!(project.wait_for_exit("migrate"), 0, "{}", project.logs("migrate"));
    assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));
    expect_migrated(&project, "5");
}

/// The temporary server has the same database, and what it commits stays.
#[test]
fn over_the_socket_a_run_that_ends_before_the_init_scripts_has_migrated() {
    let project = with_shared_socket(with_slow_init_script());
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    assert_eq!(project.wait_for_exit("migrate"), 0, "{}", project.logs("migrate"));
    project.write("gate/open", "");
    expect_migrated(&project, "5");
}

#[test]
fn over_the_socket_a_run_that_is_cut_off_by_the_end_of_the_init_scripts_fails_and_the_next_one_finishes() {
    let project = with_shared_socket(with_slow_init_script().with_own_migrations());
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\nSELECT pg_sleep(3600);\n");
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    project.wait_for("migrate", "applied 0005");
    project.write("gate/open", "");
    assert_eq!(project.wait_for_exit("migrate"), 83, "{}", project.logs("migrate"));
    expect_migrated(&project, "5");
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\n");
    project.up().expect_code(0);
    expect_migrated(&project, "6");
}
