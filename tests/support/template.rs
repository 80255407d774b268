//! The data directory that every server starts from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::postgres::{PASSWORD, USER};
use super::process::{clean_command, give_to_server_user, must_run, postgres_program, server_command};
use super::server_directory;

/// Returns a data directory as initdb created it. That takes seconds and a copy does not, so it is created once and
/// kept in `target/tmp`.
pub fn path() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let mut version = clean_command(postgres_program("postgres"));
        version.arg("--version");
        let version: String = must_run(version).chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let uid = rustix::process::geteuid().as_raw();
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let template = parent.join(format!("{version}-{uid}-{PASSWORD}"));
        fs::create_dir_all(parent).expect("a directory for the template");
        let lock = File::create(template.with_extension("lock")).expect("the template's lock file");
        lock.lock().expect("lock the template");
        if !template.exists() {
            make_template(&template);
        }
        template
    })
}

fn make_template(template: &Path) {
    // It is created in the scratch directory first: the server's user may not be able to enter `target`.
    let directory = server_directory("initdb");
    give_to_server_user(directory.path());
    let password = directory.path().join("password");
    fs::write(&password, PASSWORD).expect("a password file");
    let data = directory.path().join("data");
    let mut command = server_command(postgres_program("initdb"), &[]);
    command.args(["-A", "scram-sha-256", "-U", USER, "--locale=C.UTF-8", "-E", "UTF8"]);
    command.args(["--no-sync", "--wal-segsize=1"]);
    command.arg("--pwfile").arg(&password).arg("-D").arg(&data);
    must_run(command);
    // An incomplete copy must never be taken for the template.
    let partial = template.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    must_run(copy_command(&data, &partial));
    fs::rename(&partial, template).expect("rename the template");
}

/// Builds the command that copies a data directory, owners and modes included.
pub fn copy_command(from: &Path, to: &Path) -> Command {
    let mut command = clean_command("cp");
    command.arg("-a").arg(from).arg(to);
    command
}
