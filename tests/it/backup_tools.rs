//! Tests of pg_dump when it fails, hangs or misbehaves: there is a verified backup, or nothing is changed.

use std::fs;
use std::path::Path;

use crate::backup::{expect_unchanged, last_line, manifest_path, names, only, script, with_data};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::process::postgres_program;
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};

/// Whatever pg_dump does instead of a backup, nothing is changed and no file remains.
#[test]
fn a_pg_dump_that_does_not_do_its_work_stops_the_run_before_any_change() {
    let pg_dump = postgres_program("pg_dump");
    let version = "[ \"$1\" = --version ] && { echo 'pg_dump (PostgreSQL) 99.1'; exit 0; }";
    let version_only = format!("[ \"$1\" = --version ] && exec {0} --version", pg_dump.display());
    let cut = format!(
        "{version_only}\n{} \"$@\" || exit\nsize=$(stat -L -c %s /proc/$$/fd/1)\ntruncate -s $((size * 6 / 10)) /proc/$$/fd/1",
        pg_dump.display()
    );
    let rows: &[(&str, String, i32, &[&str])] = &[
        (
            "older",
            "echo 'pg_dump (PostgreSQL) 9.6.1'".into(),
            84,
            &["is version 9, older than the server's", "install"],
        ),
        ("no version", "echo hello".into(), 84, &["does not say which version"]),
        ("broken", "echo 'libpq.so.5: cannot open' >&2; exit 127".into(), 84, &["failed with code 127: libpq.so.5"]),
        ("no reader", version.into(), 84, &["pg_restore", "older than", "(99)"]),
        (
            "killed",
            format!("{version_only}\nkill -9 $$"),
            84,
            &["pg_dump was killed by signal 9 and said nothing", "then run again"],
        ),
        ("empty", format!("{version_only}\nexit 0"), 84, &["ended well but has written nothing", "LOCKKEEPER_PG_DUMP"]),
        (
            "failing",
            format!("{version_only}\necho 'pg_dump: error: oh no' >&2; exit 1"),
            84,
            &["failed with code 1: pg_dump: error: oh no"],
        ),
        (
            "full",
            format!("{version_only}\necho 'write: No space left on device' >&2; exit 1"),
            73,
            &["bytes free, the backup may need"],
        ),
        ("cut", cut, 85, &["cannot be read back", "pg_restore", "run again"]),
        ("garbage", format!("{version_only}\necho garbage"), 85, &["cannot be read back"]),
    ];
    let (database, run) = with_data("backup_tools");
    // As large as an archive with data: it is cut off inside of the data.
    database.execute("insert into kept select i, md5(i::text) from generate_series(2, 2000) i");
    for (name, text, code, words) in rows {
        let tool = run.dir().join(format!("{name} tool"));
        script(&tool, text);
        let finished = run.clone().env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8")).output();
        finished.expect_code(*code);
        for word in *words {
            assert!(last_line(&finished).contains(word), "{name}: no {word:?} in {finished}");
        }
        expect_unchanged(&database, &finished);
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{name}: {finished}");
    }
    let missing = run.clone().env("LOCKKEEPER_PG_DUMP", "/nowhere/pg_dump").output();
    missing.expect_code(84).says("/nowhere/pg_dump was not found").says("install the client tools");
    expect_unchanged(&database, &missing);
    let directory = run.clone().env("LOCKKEEPER_PG_DUMP", "/").output();
    directory.expect_code(84).says("/ could not be run");
    expect_unchanged(&database, &directory);
    // The real pg_dump works.
    run.output().expect_code(0);
    only(&run.dir().join("backups"));
}

/// The lost connection is recognized however much pg_dump writes after the line that reports it.
#[test]
fn a_server_that_is_lost_during_pg_dump_is_a_transient_failure() {
    let (database, run) = with_data("backup_lost");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    let tool = run.dir().join("tool");
    let lost = "pg_dump: error: query failed: server closed the connection unexpectedly";
    let query = "pg_dump: detail: Query was: SELECT c.tableoid\nFROM pg_class c\nLEFT JOIN x\nLEFT JOIN y\nWHERE z\nORDER BY c.oid";
    script(
        &tool,
        &format!("[ \"$1\" = --version ] && exec {pg_dump} --version\ncat >&2 <<'END'\n{lost}\n{query}\nEND\nexit 1"),
    );
    let finished = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).output();
    finished.expect_code(69).says(&format!("pg_dump failed with code 1: {lost}"));
    assert!(last_line(&finished).contains("try: run again"), "{finished}");
    finished.does_not_say("LOCKKEEPER_BACKUP=off");
    expect_unchanged(&database, &finished);
}

/// The snapshot that pg_dump uses ends with the session that exported it.
#[test]
fn a_snapshot_whose_session_was_ended_is_a_transient_failure() {
    let (database, run) = with_data("backup_snapshot");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    let (tool, gate) = (run.dir().join("tool"), run.dir().join("gate"));
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
    script(&tool, &format!("[ \"$1\" = --version ] || {wait}\nexec {pg_dump} \"$@\""));
    let running = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).spawn();
    let counted = "from pg_stat_activity where datname = current_database() and application_name = 'lockkeeper watch' \
                   and state = 'idle in transaction' and query like '%SELECT count(*) FROM ONLY%'";
    wait_until("the rows are counted", DEFAULT_TIMEOUT, || {
        database.value(&format!("select count(*) {counted}")) == "1"
    });
    database.query(&format!("select pg_terminate_backend(pid) {counted}"));
    fs::write(gate, "").expect("open the gate");
    let finished = running.finish();
    finished.expect_code(69).does_not_say("LOCKKEEPER_BACKUP=off");
    assert!(last_line(&finished).contains("try: run again"), "{finished}");
    expect_unchanged(&database, &finished);
    run.output().expect_code(0);
}

/// pg_dump and its children are killed when the backup timeout has passed.
#[test]
fn a_pg_dump_that_hangs_is_ended_with_all_its_children_at_the_timeout() {
    let (database, run) = with_data("backup_hangs");
    let pg_dump = postgres_program("pg_dump");
    for (name, guard) in [
        ("in the dump", format!("[ \"$1\" = --version ] && exec {} --version", pg_dump.display())),
        ("when asked for its version", String::new()),
    ] {
        let pids = run.dir().join("pids");
        let tool = run.dir().join(name);
        // Neither pg_dump nor its child reacts to SIGTERM.
        script(&tool, &format!("{guard}\ntrap '' TERM\nsleep 1000 &\necho $$ $! >>'{}'\nwait", pids.display()));
        let finished = run
            .clone()
            .env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8"))
            .env("LOCKKEEPER_BACKUP_TIMEOUT", "1s")
            .output();
        finished.expect_code(84).says("it took longer than LOCKKEEPER_BACKUP_TIMEOUT (1s)");
        expect_unchanged(&database, &finished);
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{finished}");
        let pids = fs::read_to_string(&pids).expect("it has run");
        for pid in pids.split_whitespace() {
            // A process that is dead but not reaped yet has no command line either.
            let command_line = Path::new("/proc").join(pid).join("cmdline");
            wait_until("the children are gone", DEFAULT_TIMEOUT, || {
                fs::read(&command_line).unwrap_or_default().is_empty()
            });
        }
    }
}

/// A table that pg_dump may not read is named, and no backup without it is taken.
#[test]
fn tables_that_pg_dump_may_not_read_are_named_and_never_left_out() {
    let server = Postgres::shared();
    for (name, sql, words) in [
        ("backup_denied", "create table secret (id int);", "permission denied for table secret"),
        (
            "backup_rows",
            "create table secret (id int); alter table secret enable row level security; grant all on secret to public;",
            "row-level security policy for table \"secret\"",
        ),
    ] {
        let (database, run) = with_data(name);
        let role = format!("{}_role", database.name());
        server.execute(&format!("create role {role} login password '{PASSWORD}'"));
        database.execute(&format!("grant all on schema public to {role}; grant all on kept to {role}; {sql}"));
        let finished = run.clone().url(&database.url_as(&role, PASSWORD)).output();
        finished.expect_code(84).does_not_say(PASSWORD);
        assert!(last_line(&finished).contains(words), "{finished}");
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{finished}");
        assert_eq!(database.value("select to_regclass('next') is null"), "t");
        database.execute(&format!("drop owned by {role}"));
        server.execute(&format!("drop role {role}"));
    }
}

/// Warnings of pg_dump are logged, and the backup succeeds.
#[test]
fn warnings_of_pg_dump_are_logged_and_do_not_fail_the_run() {
    let (_database, run) = with_data("backup_warns");
    let pg_dump = postgres_program("pg_dump");
    let tool = run.dir().join("tool");
    script(&tool, &format!("echo 'pg_dump: warning: strange extension' >&2; exec {} \"$@\"", pg_dump.display()));
    let finished = run.clone().env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8")).output();
    finished.expect_code(0).says("pg_dump: warning: strange extension");
    only(&run.dir().join("backups"));
}

/// pg_dump gets the password in its environment and in no argument.
#[test]
fn pg_dump_gets_the_password_only_in_its_environment() {
    let (database, run) = with_data("backup_password");
    // The test has a password of its own: another test may pass the usual one as an argument at this moment.
    let password = unique("canary");
    let role = format!("{}_role", database.name());
    database.execute(&format!("create role {role} superuser login password '{password}'"));
    let pg_dump = postgres_program("pg_dump");
    let (tool, seen, environment) = (run.dir().join("tool"), run.dir().join("seen"), run.dir().join("environment"));
    let text = format!(
        "[ \"$1\" = --version ] && exec {0} --version\ntr '\\0' '\\n' </proc/$PPID/cmdline >'{1}'\n\
         for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done >>'{1}' 2>/dev/null\n\
         env >'{2}'\nexec {0} \"$@\"",
        pg_dump.display(),
        seen.display(),
        environment.display()
    );
    script(&tool, &text);
    let run = run.url(&database.url_as(&role, &password)).env("PGDATESTYLE", "German");
    let run = run.env("LOCKKEEPER_PG_DUMP", tool.to_str().expect("UTF-8"));
    run.output().expect_code(0).does_not_say(&password);
    let seen = fs::read_to_string(seen).expect("it has run");
    assert!(seen.contains("--format=custom"), "{seen}");
    assert!(!seen.contains(&password), "{seen}");
    let environment = fs::read_to_string(environment).expect("it has run");
    let holding: Vec<&str> = environment.lines().filter(|line| line.contains(&password)).collect();
    assert_eq!(holding, [format!("PGPASSWORD={password}")]);
    assert!(!environment.contains("DATABASE_URL") && !environment.contains("PGDATESTYLE"), "{environment}");
    let backup = only(&run.dir().join("backups"));
    let manifest = fs::read_to_string(manifest_path(&backup)).expect("a manifest");
    assert!(!manifest.contains(&password), "{manifest}");
    database.execute(&format!("drop owned by {role}"));
    database.execute(&format!("drop role {role}"));
}

/// The output and the run time of a tool that is asked for its version are limited.
#[test]
fn a_pg_dump_whose_version_output_does_not_end_ends_the_run() {
    let (database, run) = with_data("backup_version");
    let tool = run.dir().join("tool");
    let with_tool = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    script(&tool, "trap '' PIPE\nyes 'pg_dump (PostgreSQL) 15.1'");
    let finished = with_tool.output();
    finished.expect_code(84).says("it writes more than 4096 bytes about its version");
    expect_unchanged(&database, &finished);
    script(&tool, "touch \"$0.asked\"\nsleep 1000");
    let running = with_tool.spawn();
    let asked = run.dir().join("tool.asked");
    wait_until("it is asked for its version", DEFAULT_TIMEOUT, || asked.exists());
    running.signal(rustix::process::Signal::TERM);
    running.finish().expect_code(143).within(DEFAULT_TIMEOUT);
}

/// A user who can write to the backup directory replaces the file that pg_dump is to write.
#[test]
fn pg_dump_does_not_write_through_a_link_that_somebody_has_made() {
    let (database, run) = with_data("backup_link");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    let victim = run.dir().join("victim");
    for replace in ["ln -s '{victim}' \"$file\"", "ln '{victim}' \"$file\"", "mkfifo \"$file\""] {
        fs::write(&victim, "mine").expect("a file");
        let replace = replace.replace("{victim}", &victim.display().to_string());
        let tool = run.dir().join("tool");
        let backups = run.dir().join("backups").display().to_string();
        script(
            &tool,
            &format!(
                "[ \"$1\" = --version ] && exec {pg_dump} --version\nfor file in '{backups}'/*.dump.partial; do rm \"$file\"; {replace}; done\nexec {pg_dump} \"$@\""
            ),
        );
        let finished = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).output();
        assert_eq!(fs::read_to_string(&victim).expect("the file"), "mine", "{replace}: {finished}");
        finished.expect_code(85).says("was replaced by another file");
        expect_unchanged(&database, &finished);
    }
}
