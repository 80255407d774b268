//! The password's file in Compose: made up, brought along, missing, empty, not to be read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::engine::PASSWORD;
use crate::project::Project;

const FILE: &str = "secrets/db_password";

/// A project with a folder of one's own for the secrets.
fn with_folder() -> Project {
    Project::new().variable("DEVOPS_HUB_SECRETS", "./secrets")
}

#[test]
fn the_password_is_in_no_environment() {
    let project = Project::new();
    project.up().expect_code(0);
    let password = project.compose(&["exec", "-T", "db", "cat", "/run/secrets/db_password"]).stdout;
    assert_eq!(password.len(), 48, "{password:?}");
    for service in ["password", "db", "migrate", "backend"] {
        let facts = project.fact(service, "{{json .}}");
        assert!(!facts.contains(&password), "{service}: {facts}");
        assert!(!project.logs(service).contains(&password), "{service}");
    }
}

#[test]
fn a_password_of_ones_own_is_taken_with_all_its_signs() {
    let project = with_folder();
    project.write(FILE, &format!("{PASSWORD}:\\\n"));
    project.up().expect_code(0);
    assert_eq!(project.state("migrate"), "exited 0");
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("the file"), format!("{PASSWORD}:\\\n"));
}

#[test]
fn where_the_folder_has_no_password_yet_one_is_made_up() {
    let project = with_folder();
    project.up().expect_code(0);
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("a file").len(), 48);
}

#[test]
fn a_start_that_was_cut_off_while_it_made_one_up_is_repeated() {
    let project = with_folder();
    project.write("secrets/db_password.new", "half");
    fs::set_permissions(project.path("secrets/db_password.new"), Permissions::from_mode(0o444)).expect("chmod");
    project.up().expect_code(0);
    assert_eq!(fs::read_to_string(project.path(FILE)).expect("a file").len(), 48);
}

/// What a run says once the password's file is as `spoil` leaves it, with a server that was made with a good one.
#[track_caller]
fn runs_with(code: i32, spoil: impl Fn(&Project), says: &[&str]) {
    let project = with_folder();
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

/// As Compose mounts every file: with the owner and mode that it has.
#[test]
fn a_file_that_only_its_owner_may_read_is_77_with_the_uid_that_could_not() {
    let close = |project: &Project| {
        fs::set_permissions(project.path(FILE), Permissions::from_mode(0o600)).expect("chmod");
    };
    runs_with(77, close, &["DATABASE_PASSWORD_FILE", "/run/secrets/db_password", "uid 65532"]);
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    runs_with(77, |project| project.write(FILE, ""), &["/run/secrets/db_password", "empty"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let project = Project::new().over(
        "other.yml",
        "services:\n  migrate:\n    environment:\n      DATABASE_PASSWORD_FILE: /run/secrets/other\n",
    );
    assert_ne!(project.up().code, 0);
    assert_eq!(project.state("migrate"), "exited 77", "{}", project.logs("migrate"));
    assert!(project.last_line("migrate").contains("/run/secrets/other"), "{}", project.last_line("migrate"));
}

#[test]
fn a_password_that_was_changed_in_the_file_alone_is_refused_by_the_server() {
    runs_with(77, |project| project.write(FILE, "another"), &["password", "28P01"]);
}
