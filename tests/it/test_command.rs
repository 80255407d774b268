//! Tests of the command that runs all tests, `tests/run`: the real script, with programs of this test in place of the
//! suites, which record how they were started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::process::clean_command;
use crate::support::temporary_directory;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Creates a project whose suites are scripts; `codes` are the exit codes of `cargo`, by its arguments.
fn project(codes: &str) -> TempDir {
    let directory = temporary_directory("project");
    let script = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    let says = |name: &str| format!("#!/bin/bash\necho \"{name} $*\" >>\"$SAYS\"\n");
    script("tests/run", &read("tests/run"));
    script("tests/install", "#!/bin/sh\nexit 0\n");
    script("tests/tools/install", "#!/bin/sh\nexit 0\n");
    script("tests/previous/install", "#!/bin/sh\nexit 0\n");
    script("tests/containers/run", &(says("containers") + "exit 7\n"));
    let facts = "env | grep -E '^(DATABASE|LOCKKEEPER|PG)' | sort >>\"$SAYS\"; umask >>\"$SAYS\"; cat >>\"$SAYS\"\n";
    script("bin/cargo", &(says("cargo") + facts + codes));
    directory
}

/// Calls it from another directory, after the shell commands `setup`.
fn run(project: &TempDir, setup: &str) -> (Output, String) {
    let says = project.path().join("says");
    let mut command = clean_command("bash");
    let path = format!("{}:{}", project.path().join("bin").display(), std::env::var("PATH").expect("PATH"));
    command.env("PATH", path).env("SAYS", &says).current_dir(project.path());
    let output = command.args(["-c", setup]).output().expect("bash");
    (output, fs::read_to_string(&says).unwrap_or_default())
}

#[test]
fn every_suite_runs_and_the_first_that_failed_decides_the_code() {
    let metadata = r#"case "$1 $3 $4" in
        "test --no-fail-fast ") exit 101;;
        "static  ") mkdir -p out/some-triple/release; echo binary >out/some-triple/release/lockkeeper;;
        metadata*) echo "{\"packages\":[],\"target_directory\":\"$PWD/out\",\"version\":1}";;
        "test --test static") [ "$(cat target/static/lockkeeper)" = binary ];;
    esac"#;
    let project = project(metadata);
    let (output, says) = run(&project, "tests/run");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    let started: Vec<&str> = says.lines().filter(|line| line.starts_with(['c'])).collect();
    let metadata = "cargo metadata --locked --no-deps --format-version 1";
    let expected = [
        "cargo test --locked --no-fail-fast",
        "containers ",
        "cargo static",
        metadata,
        "cargo test --locked --test static",
    ];
    assert_eq!(started, expected);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed = ["cargo test --locked --no-fail-fast", "tests/containers/run"];
    assert_eq!(complaints, failed.map(|suite| format!("tests/run: this suite failed: {suite}\n")).concat());
}

#[test]
fn the_suites_do_not_depend_on_how_it_was_started() {
    let expected = "cargo test --locked --test it some::\nLOCKKEEPER_TEST_SEED=1\n0022\n";
    let plain = "LOCKKEEPER_TEST_SEED=1 tests/run --test it some::";
    let settings =
        "export DATABASE_URL=x LOCKKEEPER_DIR=y PGHOST=z PGSERVICE=s LOCKKEEPER_TEST_SEED=1 CDPATH=/ LC_ALL=xx";
    for setup in [
        plain.to_owned(),
        format!("{settings}; umask 077; tests/run --test it some::"),
        format!("{settings}; cd /; \"$OLDPWD/tests/run\" --test it some:: </dev/zero"),
        format!("{plain} <&-"),
        format!("{plain} & wait $!"),
    ] {
        let project = project("exit 3");
        let (output, says) = run(&project, &setup);
        assert_eq!((output.status.code(), says.as_str()), (Some(3), expected), "{setup}: {output:?}");
    }
}

/// The README names what a machine needs before the first command works.
#[test]
fn the_readme_names_the_compilers_and_what_is_installed() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version");
    assert!(readme.contains(&format!("Rust {}", version.trim_matches('"'))), "{version}");
    let mut packages = 0;
    for script in ["tests/install", "tests/containers/install"] {
        for line in read(script).lines().filter(|line| line.trim_start().starts_with(['{', 'h', '[', 'p'])) {
            let Some((_, named)) = line.split_once(" || printf '%s\\n' ") else { continue };
            for package in named.split_whitespace() {
                packages += 1;
                assert!(readme.contains(&format!("`{package}`")), "{package} of {script} is not in the README");
            }
        }
    }
    assert!(packages > 15, "only {packages} packages were found");
}
