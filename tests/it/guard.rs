//! Tests of `lockkeeper guard`: a command of another tool runs behind the lock, after a backup, and its end is the end
//! of the run.

use std::fs;

use serde_json::{Value, json};

use crate::support::binary::{Finished, Run};
use crate::support::either::Database;
use crate::support::guarded::{alembic_at, backups, expect_no_history_of_ours, guard, guard_with, guarded, sql};

on_either!(
    a_command_runs_after_a_backup_and_its_revisions_are_recorded,
    a_check_that_finds_nothing_needs_neither_lock_nor_backup,
    a_command_that_ends_with_0_and_does_nothing_is_a_mismatch,
    a_command_that_fails_ends_the_run_with_80_and_names_the_backup,
    a_command_that_is_killed_is_worth_another_run,
    a_command_that_cannot_be_started_changes_nothing,
    a_check_that_gives_no_answer_ends_the_run_before_anything_is_done,
    the_application_follows_the_second_double_dash,
    ten_runs_at_once_migrate_once_and_take_one_backup,
    a_backup_of_a_guarded_run_is_listed_and_restored,
);

/// Panics unless the last line of the log has all of these words.
#[track_caller]
fn expect_last_line(finished: &Finished, words: &[&str]) {
    let last = finished.stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "the last line lacks {word:?}: {finished}");
    }
}

/// Creates a database at this version of a history of Alembic's.
fn database_at<D: Database>(version: &str) -> D {
    let database = D::create("guard");
    database.feed(&format!("{}create table kept (a int);", alembic_at(version))).expect("a history");
    database
}

/// A check that finds nothing pending at this version.
fn at<D: Database>(version: &str) -> String {
    let question =
        sql::<D>(&format!("select 'at ' || version_num from alembic_version where version_num = '{version}'"));
    format!("{question} | grep -q at")
}

fn a_command_runs_after_a_backup_and_its_revisions_are_recorded<D: Database>() {
    let database = database_at::<D>("a1");
    let script = format!(
        "echo to standard output; echo to standard error >&2; {}",
        sql::<D>("create table added (a int); update alembic_version set version_num = 'b2'")
    );
    let run = guard(&database, &script);
    let log = run.dir().join("termination");
    fs::write(&log, "").expect("a file");
    let finished = run.clone().env("LOCKKEEPER_TERMINATION_LOG", log.display().to_string()).output();
    finished.expect_code(0).says("to standard output tool=\"sh\"").says("to standard error tool=\"sh\"");
    let [backup] = backups(&run).try_into().expect("one backup");
    expect_last_line(&finished, &["sh ended with 0, the database has moved from a1 to b2, backup ", "code=0"]);
    assert!(fs::read_to_string(&log).expect("the message").contains("has moved from a1 to b2"));
    assert_eq!(guarded(&backup), json!({"command": "sh", "from_revision": "a1", "to_revision": "b2"}));
    assert!(backup.display().to_string().contains("-from-a1."), "{}", backup.display());
    assert!(database.has_table("added"));
    expect_no_history_of_ours(&database);
}

fn a_check_that_finds_nothing_needs_neither_lock_nor_backup<D: Database>() {
    let database = database_at::<D>("b2");
    let run = guard_with(&database, &["--json", "--pending-command", &at::<D>("b2")], "touch ran");
    let finished = run.output();
    expect_last_line(finished.expect_code(0), &["nothing pending, the database is at b2"]);
    let result: Value = serde_json::from_str(&finished.stdout).expect("one document");
    assert_eq!((&result["code"], &result["revision"], &result["backup"]), (&json!(0), &json!("b2"), &Value::Null));
    assert!(backups(&run).is_empty() && !run.dir().join("ran").exists(), "{finished}");
}

fn a_command_that_ends_with_0_and_does_nothing_is_a_mismatch<D: Database>() {
    let database = database_at::<D>("a1");
    let run = guard_with(&database, &["--pending-command", &at::<D>("b2")], "echo everything is fine");
    let finished = run.output();
    expect_last_line(
        finished.expect_code(87),
        &[
            "it ended with 0, but something is still pending; its history is still at a1",
            "; try: ",
            "lockkeeper restore ",
        ],
    );
}

fn a_command_that_fails_ends_the_run_with_80_and_names_the_backup<D: Database>() {
    let database = database_at::<D>("a1");
    let script =
        format!("{}; echo it is broken >&2; exit 7", sql::<D>("update alembic_version set version_num = 'b2'"));
    let run = guard(&database, &script);
    let finished = run.output();
    expect_last_line(
        finished.expect_code(80).says("it is broken"),
        &[
            "sh: it ended with the exit code 7",
            "its history has moved from a1 to b2; what it has committed is kept",
            "lockkeeper restore ",
        ],
    );
    // Nothing of the failed run is in the way of the next one.
    run.output().expect_code(80);
}

fn a_command_that_is_killed_is_worth_another_run<D: Database>() {
    let database = database_at::<D>("a1");
    let finished = guard(&database, "kill -9 $$").output();
    expect_last_line(finished.expect_code(83), &["signal 9 has killed it; its history is still at a1"]);
}

fn a_command_that_cannot_be_started_changes_nothing<D: Database>() {
    let database = database_at::<D>("a1");
    let run = Run::new().url(&database.url()).arg("guard").file("text", "no program");
    for (words, code, reason) in [
        (&["no-such-program"][..], 127, "no-such-program: No such file or directory"),
        (&["./text"], 126, "text: Permission denied"),
        (&["/"], 126, "Permission denied"),
    ] {
        let finished = run.clone().arg("--").args(words.iter().copied()).output();
        expect_last_line(finished.expect_code(code), &[reason, "nothing was changed; try: correct the command"]);
    }
    // An interpreter that is missing is found only by starting the program.
    let run = guard(&database, "true").file("script", "#!/no/such/interpreter\n");
    let script = run.dir().join("script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    let finished = run.args(["guard", "--"]).arg(script.display().to_string()).output();
    expect_last_line(finished.expect_code(127), &["No such file or directory", "nothing was changed"]);
    let finished = Run::new().url(&database.url()).arg("guard").output();
    expect_last_line(finished.expect_code(64), &["guard needs a command after --"]);
    expect_no_history_of_ours(&database);
}

fn a_check_that_gives_no_answer_ends_the_run_before_anything_is_done<D: Database>() {
    let database = database_at::<D>("a1");
    for (check, code, reason) in [
        ("echo the reason >&2; exit 2", 80, "it ended with the exit code 2; nothing was changed"),
        ("echo the reason; kill -9 $$", 83, "signal 9 has killed it; nothing was changed"),
    ] {
        let run = guard_with(&database, &["--pending-command", check], "touch ran");
        let finished = run.output();
        expect_last_line(finished.expect_code(code).says("the reason tool=\"sh\""), &[reason]);
        assert!(backups(&run).is_empty() && !run.dir().join("ran").exists(), "{finished}");
    }
}

fn the_application_follows_the_second_double_dash<D: Database>() {
    let database = database_at::<D>("a1");
    let run = guard(&database, "echo migrated").args(["--", "sh", "-c", "echo \"$$ $1\"; exit 42", "sh", "--"]);
    let running = run.spawn();
    let pid = running.pid();
    let finished = running.finish();
    assert_eq!(finished.expect_code(42).stdout, format!("{pid} --\n"));
    let finished = guard(&database, "exit 1").args(["--", "echo", "the application"]).output();
    finished.expect_code(80).does_not_say("the application");
}

fn ten_runs_at_once_migrate_once_and_take_one_backup<D: Database>() {
    let database = database_at::<D>("a1");
    let script = sql::<D>("create table added (a int); update alembic_version set version_num = 'b2'");
    let run = guard_with(&database, &["--pending-command", &at::<D>("b2")], &script);
    let running: Vec<_> = (0..10).map(|_| run.spawn()).collect();
    let finished: Vec<Finished> = running.into_iter().map(|running| running.finish()).collect();
    for finished in &finished {
        finished.expect_code(0);
    }
    let moved = finished.iter().filter(|finished| finished.stderr.contains("has moved from a1 to b2")).count();
    assert_eq!((moved, backups(&run).len()), (1, 1));
}

fn a_backup_of_a_guarded_run_is_listed_and_restored<D: Database>() {
    let database = database_at::<D>("a1");
    let run = guard(&database, &sql::<D>("update alembic_version set version_num = 'b2'"));
    run.output().expect_code(0);
    let [backup] = backups(&run).try_into().expect("one backup");
    let other = Run::new()
        .url(&database.url())
        .env("LOCKKEEPER_BACKUP_DIR", backup.parent().expect("a directory").display().to_string());
    other.clone().arg("backups").output().expect_code(0).says("revision a1");
    other.args(["restore", "--yes"]).arg(backup.display().to_string()).output().expect_code(0);
    assert_eq!(database.query("select version_num from alembic_version"), "a1\n");
}
