//! Tests of the output and the environment of a guarded command.

use serde_json::Value;

use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::either::{Database, SqliteFile};
use crate::support::guarded::guard;
use crate::support::postgres::PASSWORD;

fn database() -> SqliteFile {
    SqliteFile::create("guard_output")
}

/// Returns the lines of the log that are the output of the command, without their time.
fn lines(finished: &Finished) -> Vec<String> {
    let own = finished.stderr.lines().filter_map(|line| line.strip_suffix(" tool=\"sh\""));
    own.filter_map(|line| line.split_once(" info  ").map(|(_, text)| text.to_owned())).collect()
}

#[test]
fn secrets_of_the_environment_are_masked_in_the_output() {
    let script = "echo \"$DB_PASSWORD\"; echo \"key=$API_KEY;\" >&2; echo \"$REDIS\"; echo \"$0\"; \
                  printf '%s\\n' \"ALTER ROLE app PASSWORD 'canary-in-sql'\"; printf '%s\\n' \"$PRIVATE_KEY\"; echo \"$HARMLESS\"";
    let finished = guard(&database(), script)
        .arg("tool://user:canary-in-argument@host/")
        .env("DB_PASSWORD", "canary-of-the-database")
        .env("API_KEY", "canary-of-the-api")
        .env("REDIS", "redis://:canary-in-url@cache:6379/0")
        .env("PRIVATE_KEY", "canary-line-one\ncanary-line-two")
        .env("HARMLESS", "all of this is seen")
        .output();
    finished.expect_code(0).does_not_say("canary").says("all of this is seen").says("redis://:***@cache:6379/0");
    assert!(lines(&finished).contains(&"key=***;".to_owned()), "{finished}");
}

#[test]
fn the_password_of_the_database_is_masked_in_the_output() {
    let database = PgDatabase::create("guard_secret");
    let finished = guard(&database, "echo \"$DATABASE_URL\"; echo \"$DATABASE_URL\" >&2").output();
    finished.expect_code(0).does_not_say(PASSWORD).says("postgresql://postgres:***@127.0.0.1");
}

#[test]
fn the_result_has_standard_output_for_itself() {
    let run = guard(&database(), "echo '{\"code\": 7}'").env("LOCKKEEPER_LOG_FORMAT", "json");
    let command = run.arg("--json");
    // After the first double dash everything is the command's.
    command.output().expect_code(0);
    let run = Run::new().url(&database().url()).env("LOCKKEEPER_LOG_FORMAT", "json");
    let finished =
        run.args(["guard", "--json", "--", "sh", "-c", "echo '{\"code\": 7}'; printf 'a\\033[2J\\a\\n{}'"]).output();
    let result: Value = serde_json::from_str(&finished.stdout).expect("one document");
    assert_eq!(result["code"], 0);
    let logged: Vec<Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let said = |text: &str| logged.iter().any(|line| line["message"] == text && line["tool"] == "sh");
    assert!(said("{\"code\": 7}") && said("{}"), "{finished}");
    assert!(!finished.stderr.contains('\u{1b}'), "{finished}");
}

#[test]
fn lines_are_bounded_and_cannot_forge_a_line_of_the_log() {
    let script = "head -c 300000 /dev/zero | tr '\\0' x; echo; printf 'one\\rtwo\\n'; \
                  printf '12:00:00Z error it is a lie \\033[2K\\n'; printf 'the last one'";
    let finished = guard(&database(), script).output();
    let lines = lines(finished.expect_code(0));
    assert!(lines[0].len() < 9000 && lines[0].ends_with("x ..."), "{}", lines[0].len());
    assert_eq!(lines[1..3], ["one", "two"]);
    assert!(lines[3].starts_with("12:00:00Z error it is a lie \\u001b"), "{finished}");
    assert_eq!(lines[4], "the last one");
}

/// A command that asks a question must not wait for an answer that nobody gives.
#[test]
fn a_command_has_neither_input_nor_a_terminal() {
    let script = "read line || echo no input; (: </dev/tty) 2>/dev/null || echo no terminal";
    // `script` gives the run a terminal.
    let run = guard(&database(), script).under(["setsid", "--wait"]);
    let finished = run.output();
    assert_eq!(lines(finished.expect_code(0)), ["no input", "no terminal"]);
}

#[test]
fn the_environment_is_that_of_the_run_without_the_settings_of_lockkeeper() {
    let run = guard(&database(), "env").env("LOCKKEEPER_STATEMENT_TIMEOUT", "1s").env("APP_SETTING", "kept");
    let finished = run.output();
    let lines = lines(finished.expect_code(0));
    let has = |name: &str| lines.iter().any(|line| line.starts_with(&format!("{name}=")));
    assert!(has("APP_SETTING") && has("DATABASE_URL") && has("HOME"), "{finished}");
    assert!(!lines.iter().any(|line| line.starts_with("LOCKKEEPER_")), "{finished}");
}

#[test]
fn the_command_starts_with_the_signals_that_the_run_was_started_with() {
    let masks = |run: Run, command: &str| {
        let finished = run.output();
        let text = finished.expect_code(0).stdout.clone() + &finished.stderr;
        let line = |name: &str| {
            let line =
                text.lines().find_map(|line| line.split_once(name)).unwrap_or_else(|| panic!("{command}: {text}"));
            // A tab is escaped in the log.
            let mask = line.1.trim_start_matches(|c: char| !c.is_ascii_hexdigit());
            mask.split_whitespace().next().expect("a mask").to_owned()
        };
        ["SigBlk:", "SigIgn:"].map(line)
    };
    let plain = Run::new().under(["sh", "-c", "exec cat /proc/self/status"]);
    let guarded = guard(&database(), "exec cat /proc/self/status");
    assert_eq!(masks(guarded, "guarded"), masks(plain, "plain"));
    let ignoring =
        |script: &str| ["sh".to_owned(), "-c".into(), format!("trap '' PIPE HUP; exec {script}"), "sh".into()];
    let plain = Run::new().under(ignoring("cat /proc/self/status"));
    let guarded = guard(&database(), "exec cat /proc/self/status").under(ignoring("\"$@\""));
    assert_eq!(masks(guarded, "guarded"), masks(plain, "plain"));
}

/// The output is logged as information; a failure has to be understood with a quieter log, too.
#[test]
fn the_output_of_a_failed_command_is_logged_at_every_level() {
    let run = guard(&database(), "echo the reason >&2; exit 1").env("LOCKKEEPER_LOG", "error");
    run.output().expect_code(80).says("error the reason tool=\"sh\"");
    let run = guard(&database(), "echo all is well").env("LOCKKEEPER_LOG", "error");
    run.output().expect_code(0).does_not_say("all is well");
}

#[test]
fn the_name_of_the_database_is_no_secret_whatever_a_variable_says() {
    let database = PgDatabase::create("guard_named");
    let finished =
        guard(&database, "exit 0").env("POSTGRES_PASSWORD", database.name()).env("USE_TOKEN", "true").output();
    let place = format!("database=\"127.0.0.1:{}/{}\"", database.server().port(), database.name());
    finished.expect_code(0).says(&place).says("sh ended with 0");
}

/// No history of Lockkeeper is made, so that the role needs no place for one.
#[test]
fn a_role_that_may_not_create_tables_can_guard_a_command() {
    let database = PgDatabase::create("guard_role");
    let role = crate::support::unique("guard_role");
    database.execute(&format!(
        "create role {role} login password '{PASSWORD}'; revoke create on schema public from public"
    ));
    let run = guard(&database, "echo migrated by another role").url(&database.url_as(&role, PASSWORD));
    let finished = run.env("LOCKKEEPER_BACKUP", "off").output();
    database.execute(&format!("drop role {role}"));
    finished.expect_code(0).says("migrated by another role");
}
