//! Tests of backups that a program of the user's takes, on either database.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::backup::{last_line, names, script};
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::either::Database;
use crate::support::guarded::{alembic_at, is_alive, sql};
use crate::support::kill::Kills;
use crate::support::{DEFAULT_TIMEOUT, wait_until};

on_either!(
    the_request_says_what_is_to_be_backed_up,
    manifests_are_kept_like_backups,
    a_pending_backup_is_polled_until_it_is_ready,
    whatever_is_no_answer_stops_the_run_before_any_change,
    a_backup_that_stays_pending_ends_with_the_timeout,
    a_signal_ends_the_program_and_all_that_it_has_started,
    nothing_of_the_program_survives_a_killed_lockkeeper,
    a_failed_run_names_the_backup,
    settings_that_make_no_sense_are_refused,
    guard_and_backup_use_the_program,
    killed_runs_converge,
);

/// The answer of a program whose backup is ready.
const READY: &str = r#"echo '{"id": "snap-1", "location": "the shelf", "state": "ready"}'"#;

const TABLE: &str = "create table next (id int);";

/// Creates a database with the revision 0001 applied and 0002 pending, and a run that is backed up by this script.
fn with_program<D: Database>(name: &str, text: &str) -> (D, Run) {
    let database = D::create(name);
    let run = Run::new().url(&database.url()).migrations(&[("0001_first.sql", "create table first (id int);")]);
    run.output().expect_code(0);
    let program = run.dir().join("take backup");
    script(&program, text);
    let command = format!("'{}' --to shelf", program.display());
    let run = run.env("LOCKKEEPER_BACKUP", "command").env("LOCKKEEPER_BACKUP_COMMAND", command);
    let run = run.env("LOCKKEEPER_BACKUP_DIR", "backups");
    (database, run.migrations(&[("0002_next.sql", TABLE)]))
}

#[track_caller]
fn expect_unchanged<D: Database>(database: &D, finished: &Finished) {
    assert!(!database.has_table("next"), "{finished}");
    assert_eq!(database.history(), "0001|applied\n", "{finished}");
    assert!(last_line(finished).contains("nothing was changed; try: "), "{finished}");
}

/// Returns the JSON objects that the program has appended to a file, one per line.
fn requests(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn the_request_says_what_is_to_be_backed_up<D: Database>() {
    let text = format!("cat >>requests; echo >>requests; echo \"$*\" >arguments; env >environment\n{READY}");
    let (database, run) = with_program::<D>("command_request", &text);
    let finished = run.output();
    finished.expect_code(0).says("backup snap-1 at the shelf");
    assert!(last_line(&finished).contains("snap-1 at the shelf"), "{finished}");
    assert!(database.has_table("next"));
    let recorded = database.query("select backup from lockkeeper_history where revision = '0002'");
    assert_eq!(recorded, "snap-1 at the shelf\n");
    let [request] = &requests(&run.dir().join("requests"))[..] else { panic!("one request") };
    let fixed = json!({
        "version": 1, "action": "backup", "from_revision": "0001", "to_revision": "0002",
        "dialect": if D::DIALECT == "postgres" { "postgresql" } else { "sqlite" },
    });
    for (name, value) in fixed.as_object().expect("an object") {
        assert_eq!(&request[name], value, "{name}");
    }
    assert!(request["bytes"].is_u64() && request["run_id"].as_str().is_some_and(|id| id.len() == 23), "{request}");
    assert!(database.url().contains(request["database"].as_str().expect("a name")), "{request}");
    assert!(request.get("id").is_none() && request["server"].is_string(), "{request}");
    let read = |name| fs::read_to_string(run.dir().join(name)).expect("a file");
    assert_eq!(read("arguments"), "--to shelf\n");
    assert!(!read("environment").contains("LOCKKEEPER_"), "{}", read("environment"));
    // The only file is the manifest, which names the backup.
    let taken = names(&run.dir().join("backups"));
    let [manifest] = &taken[..] else { panic!("{taken:?}") };
    assert!(manifest.contains("-from-0001") && manifest.ends_with(".command.json"), "{manifest}");
    let manifest = fs::read_to_string(run.dir().join("backups").join(manifest)).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["backup"], json!({"command": {"id": "snap-1", "location": "the shelf"}}));
    assert_eq!((&manifest["from_revision"], &manifest["to_revision"]), (&json!("0001"), &json!("0002")));
    let listed = run.clone().arg("backups").output();
    assert!(listed.expect_code(0).stdout.contains("snap-1 at the shelf"), "{listed}");
    // Nothing is pending: no backup.
    run.output().expect_code(0);
    assert_eq!(requests(&run.dir().join("requests")).len(), 1);
}

/// The manifests are kept as backups are, and a directory that cannot be written is no reason to go without the change.
fn manifests_are_kept_like_backups<D: Database>() {
    let (database, run) = with_program::<D>("command_manifests", &format!("cat >/dev/null\n{READY}"));
    let run = run.env("LOCKKEEPER_BACKUP_KEEP", "2");
    for _ in 0..4 {
        run.clone().arg("backup").output().expect_code(0).says("backup taken: snap-1 at the shelf");
    }
    let directory = run.dir().join("backups");
    assert_eq!(names(&directory).len(), 2, "{:?}", names(&directory));
    let finished = run.clone().env("LOCKKEEPER_BACKUP_DIR", "/dev/null/backups").output();
    finished.expect_code(0).says("/dev/null/backups has no manifest of this backup");
    assert!(database.has_table("next"));
}

fn a_pending_backup_is_polled_until_it_is_ready<D: Database>() {
    let text = r#"
        cat >>requests; echo >>requests
        case $(grep -c . requests) in 1|2) state=pending ;; *) state=ready ;; esac
        echo "working: canary-of-program" >&2
        printf '{\n "id": "snap-1",\n "location": "the shelf", "state": "%s"}\n' $state"#;
    let (database, run) = with_program::<D>("command_pending", text);
    let finished = run.clone().env("SNAPSHOT_TOKEN", "canary-of-program").output();
    finished.expect_code(0).says("the backup snap-1 is pending").says("working: ***").does_not_say("canary");
    assert!(database.has_table("next"));
    let requests = requests(&run.dir().join("requests"));
    let actions: Vec<_> = requests.iter().map(|request| (&request["action"], request.get("id"))).collect();
    let (id, poll) = (json!("snap-1"), json!("poll"));
    assert_eq!(actions, [(&json!("backup"), None), (&poll, Some(&id)), (&poll, Some(&id))]);
    assert!(requests.iter().all(|request| request["run_id"] == requests[0]["run_id"]));
}

fn whatever_is_no_answer_stops_the_run_before_any_change<D: Database>() {
    let (database, run) = with_program::<D>("command_wrong", "exit 0");
    let run = run.env("SNAPSHOT_TOKEN", "canary-of-program");
    let program = run.dir().join("take backup");
    let other = r#"
        case $(cat) in *'"backup"'*) id=one state=pending ;; *) id=two state=ready ;; esac
        echo "{\"id\": \"$id\", \"location\": \"\", \"state\": \"$state\"}""#;
    let left = format!("sleep 600 >/dev/null 2>&1 &\n{READY}");
    let large = format!("{READY}; head -c 70000 /dev/zero | tr '\\0' ' '");
    let rows: &[(&str, &str)] = &[
        ("exit 0", "its output is not the JSON"),
        ("echo done: canary-of-program", "its output is not the JSON"),
        ("echo 'it is full: canary-of-program' >&2; exit 7", "it ended with the exit code 7: it is full: ***"),
        ("echo 'no room'; exit 1", "it ended with the exit code 1: no room"),
        ("kill -9 $$", "signal 9 has killed it"),
        (r#"echo '{"id": "x", "state": "ready"}'"#, "missing field `location`"),
        (r#"echo '{"id": "x", "location": "", "state": "done"}'"#, "unknown variant `done`"),
        (r#"echo '{"id": "", "location": "", "state": "ready"}'"#, "the id in its output is empty"),
        (r#"printf '%s\n' '{"id": "a\u001b[2J", "location": "", "state": "ready"}'"#, "has control characters"),
        (r#"printf '{"id": "a\377", "location": "", "state": "ready"}'"#, "is not UTF-8"),
        (&large, "its output has more than 65536 bytes"),
        (other, "it was asked for the backup one, and answered for two"),
        (&left, "it ended with 0, but what it had started still ran: process"),
    ];
    for (text, problem) in rows {
        script(&program, text);
        let finished = run.clone().env("LOCKKEEPER_SHUTDOWN_GRACE", "1s").output();
        finished
            .expect_code(84)
            .says("backup: take backup: ")
            .says(problem)
            .does_not_say("canary")
            .does_not_say("\u{1b}");
        expect_unchanged(&database, &finished);
    }
    fs::remove_file(&program).expect("remove the program");
    let finished = run.output();
    expect_unchanged(&database, finished.expect_code(84).says("it could not be started: No such file"));
    script(&program, READY);
    run.output().expect_code(0);
}

fn a_backup_that_stays_pending_ends_with_the_timeout<D: Database>() {
    let pending = r#"echo '{"id": "snap-1", "location": "", "state": "pending"}'"#;
    let (database, run) = with_program::<D>("command_timeout", pending);
    let run = run.env("LOCKKEEPER_BACKUP_TIMEOUT", "2s");
    let finished = run.output();
    finished
        .expect_code(85)
        .says("the backup snap-1 of take backup was still pending after LOCKKEEPER_BACKUP_TIMEOUT (2s)");
    expect_unchanged(&database, &finished);
    // A program that does not answer at all has no backup that could be looked after.
    script(&run.dir().join("take backup"), "echo $$ >command; exec sleep 600");
    let finished = run.output();
    finished.expect_code(84).says("it took longer than LOCKKEEPER_BACKUP_TIMEOUT (2s)");
    expect_unchanged(&database, &finished);
    assert!(!is_alive(&run.dir().join("command")));
}

/// The script of a program that never ends, with a child and a detached process that write their process ids into files.
const ENDLESS: &str = "
    trap '' TERM INT
    sh -c 'echo $$ >child.new && mv child.new child; while :; do sleep 0.1; done' &
    setsid sh -c 'echo $$ >detached.new && mv detached.new detached; while :; do sleep 0.1; done' &
    echo $$ >command.new && mv command.new command; while :; do sleep 0.1; done";

const FILES: [&str; 3] = ["command", "child", "detached"];

#[track_caller]
fn wait_for_files(run: &Run) {
    wait_until("the program runs", DEFAULT_TIMEOUT, || FILES.iter().all(|name| run.dir().join(name).exists()));
}

fn a_signal_ends_the_program_and_all_that_it_has_started<D: Database>() {
    let (database, run) = with_program::<D>("command_signal", ENDLESS);
    let running = run.clone().env("LOCKKEEPER_SHUTDOWN_GRACE", "3s").spawn();
    wait_for_files(&run);
    running.signal(Signal::TERM);
    let finished = running.finish();
    expect_unchanged(&database, finished.expect_code(143));
    // The lock is given up with the run.
    FILES.iter().for_each(|name| assert!(!is_alive(&run.dir().join(name)), "{name} is alive"));
    script(&run.dir().join("take backup"), READY);
    run.output().expect_code(0);
}

fn nothing_of_the_program_survives_a_killed_lockkeeper<D: Database>() {
    let (database, run) = with_program::<D>("command_killed", ENDLESS);
    let running = run.spawn();
    wait_for_files(&run);
    running.kill();
    for name in FILES {
        wait_until("the process has ended", DEFAULT_TIMEOUT, || !is_alive(&run.dir().join(name)));
    }
    assert!(!database.has_table("next"));
    script(&run.dir().join("take backup"), READY);
    run.output().expect_code(0);
    assert!(database.has_table("next"));
}

fn a_failed_run_names_the_backup<D: Database>() {
    let (database, run) = with_program::<D>("command_failed", READY);
    let failed = run.migrations(&[("0003_failing.sql", "insert into nowhere values (1);")]).output();
    failed.expect_code(80);
    assert!(last_line(&failed).contains("or go back: restore the backup snap-1 at the shelf"), "{failed}");
    assert!(database.has_table("next"));
}

/// The revision before a guarded command is that of its tool, and a failed command names the backup to return to.
fn guard_and_backup_use_the_program<D: Database>() {
    let (database, run) = with_program::<D>("command_verbs", &format!("cat >>requests; echo >>requests\n{READY}"));
    run.clone().arg("backup").output().expect_code(0).says("backup taken: snap-1 at the shelf");
    let other = D::create("command_guard");
    other.feed(&alembic_at("a1")).expect("SQL");
    let change = sql::<D>("update alembic_version set version_num = 'b2'");
    let guarded = run.clone().url(&other.url()).args(["guard", "--preset", "none", "--", "sh", "-c"]);
    let failed = guarded.arg(format!("{change} && exit 3")).output();
    failed.expect_code(80).says("its history has moved from a1 to b2");
    assert!(last_line(&failed).contains("or go back: restore the backup snap-1 at the shelf"), "{failed}");
    let requests = requests(&run.dir().join("requests"));
    let revisions: Vec<_> =
        requests.iter().map(|request| (&request["from_revision"], &request["to_revision"])).collect();
    assert_eq!(revisions, [(&json!("0001"), &Value::Null), (&json!("a1"), &Value::Null)]);
    assert!(!database.has_table("next"));
}

/// Without the lock nothing goes on.
#[test]
fn a_lost_session_ends_the_program() {
    let (database, run) = with_program::<PgDatabase>("command_lost", ENDLESS);
    let running = run.spawn();
    wait_for_files(&run);
    database.terminate_all();
    running.finish().expect_code(69).says("nothing was changed; try: ");
    FILES.iter().for_each(|name| assert!(!is_alive(&run.dir().join(name)), "{name} is alive"));
    assert!(!database.has_table("next"));
}

fn settings_that_make_no_sense_are_refused<D: Database>() {
    let (database, run) = with_program::<D>("command_settings", READY);
    for (command, code, words) in [
        ("take 'canary", 78, "LOCKKEEPER_BACKUP_COMMAND: a quote or a backslash has no end"),
        (" ", 78, "LOCKKEEPER_BACKUP_COMMAND: it names no program"),
        ("", 78, "LOCKKEEPER_BACKUP: command needs a program in LOCKKEEPER_BACKUP_COMMAND"),
    ] {
        let finished = run.clone().env("LOCKKEEPER_BACKUP_COMMAND", command).output();
        finished.expect_code(code).says(words).does_not_say("canary");
        assert!(!database.has_table("next"));
    }
    run.arg("--backup-command").arg("take 'canary").output().expect_code(64).says("--backup-command: a quote");
}

fn killed_runs_converge<D: Database>() {
    let (_database, run) = with_program::<D>("command_kill", READY);
    let undisturbed = run.output();
    undisturbed.expect_code(0);
    let mut kills = Kills::new(6);
    while kills.has_moments_left() {
        let (database, run) = with_program::<D>("command_kill", READY);
        kills.converge(&run, undisturbed.elapsed);
        assert_eq!(database.history(), "0001|applied\n0002|applied\n", "{kills}");
    }
}
