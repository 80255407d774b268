//! Tests of the environment of a project: variables of other services, a role that may only read.

use crate::project::Project;

/// Links to other containers, and Kubernetes for each service of a namespace, set variables that must not be taken for
/// settings.
#[test]
fn variables_of_service_links_change_nothing() {
    let project = Project::new().with_override(
        "links.yml",
        "services:
  migrate:
    environment:
      DB_PORT: tcp://10.0.0.1:5432
      DB_PORT_5432_TCP_ADDR: 10.0.0.1
      DB_SERVICE_HOST: 10.0.0.1
      DB_SERVICE_PORT: \"1\"
      DATABASE_PORT: tcp://10.0.0.1:5432
      DATABASE_URL_PORT: tcp://10.0.0.1:5432
      LOCKKEEPER_PORT: tcp://10.0.0.1:5432
      LOCKKEEPER_SERVICE_HOST: 10.0.0.1
      PG_PORT: tcp://10.0.0.1:5432
      POSTGRES_PORT: tcp://10.0.0.1:5432
      POSTGRES_SERVICE_HOST: 10.0.0.1
",
    );
    project.up().expect_code(0);
    assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));
}

/// A run with nothing to apply only reads, so a role with SELECT is enough.
#[test]
fn a_role_that_may_only_read_is_enough_when_nothing_is_pending() {
    let project = Project::new();
    project.up().expect_code(0);
    let password = project.compose(&["exec", "-T", "db", "cat", "/run/secrets/db_password"]).stdout;
    project.value(&format!("create role reader login password '{password}'"));
    project.value("grant select on lockkeeper_history to reader");
    let as_reader = ["-e", "DATABASE_URL=postgresql://reader@db:5432/devops_hub"];
    project.run(&as_reader, &[]).expect_code(0).says("nothing pending");
}
