//! Tests of the recipes in docs/backups.md whose tools run here: a backup before a change, and what the tool restores of
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backup::{NEXT, script};
use crate::support::archiving::ArchivingServer;
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::guide::blocks;
use crate::support::postgres::{PASSWORD, Postgres, USER};
use crate::support::process::{give_to_server_user, must_run, postgres_program, server_command};

/// Writes the script of a recipe into the directory of the tool, and returns its path.
fn recipe(name: &str, archiving: &ArchivingServer) -> PathBuf {
    let info = format!("sh {name}");
    let block = blocks("backups.md").into_iter().find(|block| block.info == info).expect("the recipe");
    let path = archiving.tools().join(name);
    script(&path, &block.text);
    path
}

/// Returns the command line of a program that runs as the server's user, as LOCKKEEPER_BACKUP_COMMAND takes it.
fn as_server_user(program: &Path) -> String {
    let command = server_command(program, &[]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Builds a command of the tool, with the configuration and the password in its environment.
fn tool(name: &str, environment: &[(&str, String)]) -> Command {
    let mut command = server_command(name, &[]);
    command.envs(environment.iter().map(|(name, value)| (name, value))).env("PGPASSWORD", PASSWORD);
    command
}

/// Creates a directory that belongs to the server's user.
fn directory(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).expect("a directory");
    give_to_server_user(&path);
    path
}

/// Changes a database after a backup by the recipe, and expects that the tool restores the old revision and rows of it.
fn expect_restorable(
    archiving: &ArchivingServer,
    program: &Path,
    environment: &[(&str, String)],
    restore: impl FnOnce(&str, &Path),
) {
    let database = archiving.server.database("recipe");
    database.execute("create table kept (id int primary key, note text); insert into kept values (1, 'one');");
    let run = Run::new().url(&database.url()).env("PGPASSWORD", PASSWORD);
    let run = environment.iter().fold(run, |run, (name, value)| run.env(name, value));
    let run = run.env("LOCKKEEPER_BACKUP_COMMAND", as_server_user(program));
    let run = run.migrations(&[("0001_first.sql", "create table first (id int);")]);
    run.clone().env("LOCKKEEPER_BACKUP", "off").output().expect_code(0);
    let run = run.env("LOCKKEEPER_BACKUP", "command");
    let change = "alter table kept drop column note; delete from kept; drop table first;";
    let finished = run.migrations(&[NEXT, ("0003_change.sql", change)]).output();
    finished.expect_code(0).does_not_say(PASSWORD);
    let recorded = database.value("select distinct backup from lockkeeper_history where revision > '0001'");
    let (id, _) = recorded.split_once(" at ").unwrap_or_else(|| panic!("{recorded}: {finished}"));

    let restored = Postgres::recovered(&[], |data| restore(id, data));
    let old = PgDatabase::new(&restored, database.name());
    assert_eq!(old.query("select id, note from kept"), "1|one\n");
    assert_eq!(old.query("select revision, state from lockkeeper_history"), "0001|applied\n");
    assert_eq!(old.value("select to_regclass('first') is not null and to_regclass('next') is null"), "t");
}

#[test]
fn pgbackrest_restores_its_backup() {
    let archiving = ArchivingServer::start_with(|_| "archive_command = ''".into());
    let (server, tools) = (&archiving.server, archiving.tools());
    let configuration = tools.join("pgbackrest.conf");
    let folder = |name: &str| directory(tools.join(name)).display().to_string();
    let text = format!(
        "[global]\nrepo1-path={}\nlock-path={}\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n\
         repo1-retention-full=2\ncompress-type=none\n[main]\npg1-path={}\npg1-port={}\npg1-socket-path={}\npg1-user={USER}\n",
        folder("repository"),
        folder("lock"),
        server.data().display(),
        server.port(),
        server.socket_dir().display(),
    );
    fs::write(&configuration, text).expect("a configuration");
    archiving
        .set_archive_command(&format!("pgbackrest --config={} --stanza=main archive-push %p", configuration.display()));
    let environment = [("PGBACKREST_CONFIG", configuration.display().to_string())];
    let mut create = tool("pgbackrest", &environment);
    create.args(["--stanza=main", "stanza-create"]);
    must_run(create);
    expect_restorable(&archiving, &recipe("pgbackrest", &archiving), &environment, |id, data| {
        directory(data.to_owned());
        let mut restore = tool("pgbackrest", &environment);
        restore.args(["--stanza=main", "--type=immediate", "--target-action=promote"]);
        // What is given here goes into the restore_command.
        restore.arg(format!("--config={}", configuration.display()));
        restore.arg(format!("--set={id}")).arg(format!("--pg1-path={}", data.display())).arg("restore");
        must_run(restore);
    });
}

#[test]
fn barman_restores_its_backup() {
    let archiving = ArchivingServer::start_with(|_| "archive_command = ''".into());
    let (server, home) = (&archiving.server, directory(archiving.tools().join("barman home")));
    let mut user = server_command("id", &[]);
    user.arg("-un");
    let user = must_run(user);
    let programs = postgres_program("pg_basebackup");
    let connection = format!("host={} port={} user={USER}", server.socket_dir().display(), server.port());
    let text = format!(
        "[barman]\nbarman_user = {}\nbarman_home = {home}\nlog_file = {home}/log\n\
         [main]\ndescription = main\nconninfo = {connection} dbname=postgres\nstreaming_conninfo = {connection}\n\
         backup_method = postgres\narchiver = on\nimmediate_checkpoint = true\npath_prefix = {}\n",
        user.trim(),
        programs.parent().expect("a directory").display(),
        home = home.display(),
    );
    fs::write(home.join(".barman.conf"), text).expect("a configuration");
    let environment = [("HOME", home.display().to_string())];
    let barman = |arguments: &[&str]| {
        let mut command = tool("barman", &environment);
        command.args(arguments);
        command
    };
    // It creates its directories, and finds that nothing is archived yet.
    barman(&["check", "main"]).output().expect("barman");
    archiving.set_archive_command(&format!("cp %p \"{}/main/incoming/%f\"", home.display()));
    must_run(barman(&["switch-wal", "--force", "--archive", "main"]));
    expect_restorable(&archiving, &recipe("barman", &archiving), &environment, |id, data| {
        must_run(barman(&["recover", "main", id, data.to_str().expect("UTF-8")]));
    });
}
