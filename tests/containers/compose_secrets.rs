//! Tests of the password's file in Compose: generated, provided, missing, empty, not readable.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::engine::PASSWORD;
use crate::project::Project;

const FILE: &str = "secrets/db_password";

/// Creates a project with its own directory for the secrets.
fn with_directory() -> Project {
    Project::new().with_variable("DEVOPS_HUB_SECRETS", "./secrets")
}

#[test]
fn the_password_is_in_no_environment() {
    let project = Project::new();
    project.up().expect_code(0);
    let password = project.compose(&["exec", "-T", "db", "cat", "/run/secrets/db_password"]).stdout;
    assert_eq!(password.len(), 48, "{password:?}");
    for service in ["password", "db", "migrate", "backend"] {
        let facts = project.inspect(service, "{{json .}}");
        assert!(!facts.contains(&password), "{service}: {facts}");
        assert!(!project.logs(service).contains(&password), "{service}");
    }
}

#[test]
fn a_provided_password_may_have_any_character() {
    let project = with_directory();
    project.write(FILE, &format!("{PASSWORD}:\\\n"));
    project.up().expect_code(0);
    assert_eq!(project.state("migrate"), "exited 0");
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("the file"), format!("{PASSWORD}:\\\n"));
}

#[test]
fn a_password_is_generated_when_the_directory_has_none() {
    let project = with_directory();
    project.up().expect_code(0);
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("a file").len(), 48);
}

#[test]
fn an_interrupted_generation_of_the_password_is_repeated() {
    let project = with_directory();
    project.write("secrets/db_password.new", "half");
    fs::set_permissions(project.path("secrets/db_password.new"), Permissions::from_mode(0o444)).expect("chmod");
    project.up().expect_code(0);
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("a file").len(), 48);
}

/// Expects the exit code and the messages of a run after `spoil` has changed the password's file, with a server that
/// was created with a valid one.
#[track_caller]
fn expect_run_with_file(code: i32, spoil: impl Fn(&Project), says: &[&str]) {
    let project = with_directory();
    project.write(FILE, PASSWORD);
    project.up().expect_code(0);
    spoil(&project);
    let failed = project.up();
    assert_ne!(failed.code, 0, "{failed}");
    assert_eq!(project.state("migrate"), format!("exited {code}"), "{}", project.logs("migrate"));
    for text in says {
        assert!(project.last_line("migrate").contains(text), "{text}: {}", project.last_line("migrate"));
    }
}

/// Compose mounts every file with the owner and mode that it has on the host.
#[test]
fn a_file_that_only_its_owner_may_read_ends_with_77_and_names_the_uid() {
    let close = |project: &Project| {
        fs::set_permissions(project.path(FILE), Permissions::from_mode(0o600)).expect("chmod");
    };
    expect_run_with_file(77, close, &["DATABASE_PASSWORD_FILE", "/run/secrets/db_password", "uid 65532"]);
}

#[test]
fn an_empty_file_is_reported() {
    expect_run_with_file(77, |project| project.write(FILE, ""), &["/run/secrets/db_password", "empty"]);
}

#[test]
fn a_missing_file_is_named() {
    let project = Project::new().with_override(
        "other.yml",
        "services:\n  migrate:\n    environment:\n      DATABASE_PASSWORD_FILE: /run/secrets/other\n",
    );
    assert_ne!(project.up().code, 0);
    assert_eq!(project.state("migrate"), "exited 77", "{}", project.logs("migrate"));
    assert!(project.last_line("migrate").contains("/run/secrets/other"), "{}", project.last_line("migrate"));
}

#[test]
fn a_password_that_was_changed_only_in_the_file_is_refused_by_the_server() {
    expect_run_with_file(77, |project| project.write(FILE, "another"), &["password", "28P01"]);
}
