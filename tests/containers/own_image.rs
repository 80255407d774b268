//! Tests of an application's own images, built from ours by its Dockerfile.

use std::fs;

use crate::engine::{Finished, TOOLS, client_output, docker, run_client};
use crate::project::{Project, copy_migrations};
use crate::support::{temporary_directory, unique};

/// The Dockerfile for a one-shot service, an init container or a Job: pg_dump and the other tools are in it.
const SEPARATE_IMAGE: &str = "FROM lockkeeper:0.1.0
COPY migrations /migrations
";

/// The Dockerfile for an application that migrates when it starts. Backups need a pg_dump in its image.
const APPLICATION_IMAGE: &str = "FROM postgres:16-alpine
COPY --from=lockkeeper:0.1.0 /usr/local/bin/lockkeeper /usr/local/bin/
COPY migrations /migrations
ENTRYPOINT [\"lockkeeper\", \"--\"]
CMD [\"sh\", \"-c\", \"echo the application runs as process $$; exec sleep infinity\"]
";

/// An image of the test, removed when dropped.
struct Image(String);

impl Image {
    #[track_caller]
    fn build(dockerfile: &str) -> Image {
        let directory = temporary_directory("image");
        fs::write(directory.path().join("Dockerfile"), dockerfile).expect("a file");
        for dialect in ["postgres", "sqlite"] {
            copy_migrations(dialect, &directory.path().join("migrations"));
        }
        let image = Image(unique("lk"));
        let mut build = docker();
        build.env("DOCKER_BUILDKIT", "1");
        build.args(["build", "--quiet", "--network", "host", "--tag", &image.0]).arg(directory.path());
        Finished::from_output(build.output().expect("docker")).expect_code(0);
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        run_client(&["image", "rm", "--force", &self.0]);
    }
}

#[test]
fn our_image_with_a_migration_directory_is_a_migrate_service() {
    let name = unique("lk");
    let project = Project::new()
        .with_override("own.yml", &format!("services:\n  migrate:\n    build: ./own\n    image: {name}\n"));
    project.write("own/Dockerfile", SEPARATE_IMAGE);
    copy_migrations("postgres", &project.path("own/migrations"));
    let _image = Image(name);
    project.up().expect_code(0).does_not_say("Pulling");
    assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));

    project.write("own/migrations/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\n");
    project.compose(&["up", "--build", "--wait"]).expect_code(0);
    assert!(project.logs("migrate").contains("backup taken and verified"), "{}", project.logs("migrate"));
    assert!(project.last_line("migrate").contains("up to date at 0006"), "{}", project.logs("migrate"));
}

#[test]
fn our_image_has_no_migrations_of_its_own() {
    let run = run_client(&["run", "--rm", "--network", "none", TOOLS, "check", "--offline"]);
    run.expect_code(66);
}

#[test]
fn three_replicas_that_start_at_once_migrate_once_and_all_start_the_application() {
    let image = Image::build(APPLICATION_IMAGE);
    let service = format!(
        "services:
  app:
    image: {}
    environment:
      DATABASE_URL: postgresql://devops_hub@db:5432/devops_hub
      DATABASE_PASSWORD_FILE: /run/secrets/db_password
    volumes: [\"secrets:/run/secrets:ro\"]
    stop_signal: SIGKILL
    tmpfs: [/var/lib/postgresql/data]
    deploy:
      replicas: 3
    depends_on: [db]
",
        image.0
    );
    let project = Project::new().with_override("app.yml", &service);
    project.compose(&["up", "--wait", "app"]).expect_code(0);
    project.wait_for_each("app", "the application runs as process 1");
    let logs = project.logs("app");
    for revision in ["0001", "0002", "0003", "0004", "0005"] {
        assert_eq!(logs.matches(&format!("applied {revision}_")).count(), 1, "{revision}: {logs}");
    }
    assert_eq!(project.recorded_revisions(), "5");
    for container in project.containers("app") {
        assert_eq!(
            client_output(&["inspect", "--format", "{{.State.Status}} {{.RestartCount}}", &container]),
            "running 0"
        );
    }
}

/// A small deployment can be one container: SQLite, and the application after `--`.
#[test]
fn an_application_on_sqlite_migrates_its_file_where_it_starts() {
    let dockerfile = "FROM python:3.13-alpine
COPY --from=lockkeeper:0.1.0 /usr/local/bin/lockkeeper /usr/local/bin/
COPY migrations /migrations
ENV DATABASE_URL=sqlite:////data/app.db
ENTRYPOINT [\"lockkeeper\", \"--\"]
CMD [\"python3\", \"-c\", \"import sqlite3; print(sqlite3.connect('/data/app.db').execute('SELECT max(revision) FROM lockkeeper_history').fetchone())\"]
";
    let image = Image::build(dockerfile);
    let run = run_client(&["run", "--rm", "--network", "none", "--tmpfs", "/data", &image.0]);
    run.expect_code(0).says("('0005',)");
    // Another command for the application, with the same migration before it.
    let run =
        run_client(&["run", "--rm", "--network", "none", "--tmpfs", "/data", &image.0, "python3", "-c", "exit(7)"]);
    run.expect_code(7).says("up to date at 0005");
}
