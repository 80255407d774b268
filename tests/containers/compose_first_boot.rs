//! The server image's first boot: for its init scripts it runs a server that listens on the socket alone, and stops it.

use crate::project::Project;
use crate::support::{SOON, wait_until};

/// A project with a slow init script: it makes a table and then waits for `/gate/open`.
fn slow() -> Project {
    let project = Project::new().over(
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

/// The same, with the server's socket shared: there the server for the init scripts does answer.
fn by_socket(project: Project) -> Project {
    project.over(
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
    let probes = project.fact("db", "{{range .State.Health.Log}}{{.Start}}\n{{end}}");
    probes.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn everything_is_there(project: &Project, revisions: &str) {
    project.compose(&["up", "--detach", "--wait", "db"]).expect_code(0);
    assert_eq!(project.recorded(), revisions);
    assert_eq!(project.value("select kept from of_the_init_script"), "1");
}

#[test]
fn by_tcp_the_server_of_the_init_scripts_is_not_taken_for_the_database() {
    let project = slow();
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    project.wait_for("db", "SELECT 1");
    // It answers, where nobody but its own container hears it.
    assert_eq!(project.value("select kept from of_the_init_script"), "1");
    project.wait_for("migrate", "Connection refused");
    // The first probe that ends now may have begun before.
    for _ in 0..2 {
        let probe = last_probe(&project);
        wait_until("another probe", SOON, || last_probe(&project) != probe);
    }
    assert_eq!(project.fact("db", "{{.State.Health.Status}}"), "starting");
    project.write("gate/open", "");
    assert_eq!(project.end("migrate"), 0, "{}", project.logs("migrate"));
    assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));
    everything_is_there(&project, "5");
}

/// It is the same database, and what it commits stays.
#[test]
fn by_socket_a_run_that_ends_before_the_init_scripts_do_has_told_the_truth() {
    let project = by_socket(slow());
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    assert_eq!(project.end("migrate"), 0, "{}", project.logs("migrate"));
    project.write("gate/open", "");
    everything_is_there(&project, "5");
}

#[test]
fn by_socket_a_run_that_the_end_of_the_init_scripts_cuts_off_does_not_end_0_and_the_next_one_finishes() {
    let project = by_socket(slow().release());
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\nSELECT pg_sleep(3600);\n");
    project.compose(&["up", "--detach", "db", "migrate"]).expect_code(0);
    project.wait_for("migrate", "applied 0005");
    project.write("gate/open", "");
    assert_eq!(project.end("migrate"), 83, "{}", project.logs("migrate"));
    everything_is_there(&project, "5");
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\n");
    project.up().expect_code(0);
    everything_is_there(&project, "6");
}
