//! Tests of secrets in scripts: no log shows them, whatever a server or a tool repeats of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::binary::{Finished, Run};
use crate::support::postgres::Postgres;
use crate::support::process::postgres_program;
use crate::support::scripted::{Answer, Scripted};

/// A secret that is not the password of the tests' server, which is masked by its value.
const CANARY: &str = "Zc4nary";

/// Runs in both formats of the log; expects that nothing that is printed, or written to files, has the canary.
#[track_caller]
fn expect_masked(run: &Run, code: i32) -> Finished {
    let mut last = None;
    for format in ["json", "text"] {
        let run = run.clone().arg("--json").env("LOCKKEEPER_LOG_FORMAT", format).env("LOCKKEEPER_LOG", "debug");
        let finished = run.env("LOCKKEEPER_TERMINATION_LOG", "termination").output();
        finished.expect_code(code).does_not_say(CANARY);
        last = Some(finished);
    }
    let message = fs::read_to_string(run.dir().join("termination")).expect("a termination message");
    assert!(!message.contains(CANARY), "{message}");
    last.expect("two runs")
}

#[test]
fn no_failing_statement_prints_its_secrets() {
    let database = Postgres::shared().database("literals");
    database.execute("create table accounts (id int, password text check (length(password) > 50))");
    let padding = "x".repeat(280);
    for (script, words) in [
        ("ALTER ROLE nosuch PASSWORD U&'Zc4nary'", "does not exist (SQLSTATE 42704)"),
        ("ALTER ROLE nosuch PASSWORD U&'!005ac4nary' UESCAPE '!'", "SQLSTATE 42704"),
        ("ALTER ROLE nosuch PASSWORD /*c*/ 'Zc4nary'", "role \"nosuch\" does not exist"),
        ("ALTER ROLE nosuch PASSWORD -- 'Zc4nary'\n 'b'", "role \"nosuch\" does not exist"),
        ("ALTER ROLE nosuch PASSWORD 'a'\n  'Zc4nary'", "role \"nosuch\" does not exist"),
        ("ALTER ROLE nosuch PASSWORD $a$Zc4nary$a$", "role \"nosuch\" does not exist"),
        ("ALTER ROLE nosuch PASSWORD Zc4nary", "syntax error at or near"),
        ("ALTER ROLE nosuch PASSWORD \"Zc4nary\"", "syntax error at or near"),
        ("ALTER ROLE nosuch PASSWORD 'a' 'Zc4nary'", "syntax error at or near"),
        (&format!("ALTER ROLE {padding} PASSWORD 'Zc4naryZc4naryZc4nary'"), "does not exist"),
        ("INSERT INTO accounts VALUES (1, 'Zc4nary') -- the password", "detail: Failing row contains"),
        ("INSERT INTO accounts (id, password) VALUES (1, E'\\x5ac4nary')", "detail: Failing row contains ***"),
        ("SELECT dblink_exec('host=h password=Zc4nary', 'x')", "dblink_exec(unknown, unknown) does not exist"),
        ("SELECT http_get('https://u:Zc4nary@h/')", "http_get(unknown) does not exist"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=h Zc4nary' PUBLICATION p WITH (connect = false)", "missing \"=\""),
        ("DO $$ BEGIN EXECUTE 'ALTER ROLE nosuch PASSWORD ''a'' ''Zc4nary'''; END $$", "syntax error at or near"),
        ("DO $$ BEGIN EXECUTE 'ALTER ROLE nosuch PASSWORD ''Zc4nary'''; END $$", "context: SQL statement"),
        ("DO $$ BEGIN RAISE NOTICE 'ALTER ROLE x PASSWORD ''Zc4nary'''; END $$; SELECT 1 / 0", "server: ALTER ROLE x"),
    ] {
        let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
        expect_masked(&run.migrations(&[("0001_a.sql", script)]), 80).says(words);
    }
}

/// The connection is opened when the statement runs: its error is that of another server.
#[test]
fn a_subscription_to_a_missing_server_does_not_print_its_password() {
    let database = Postgres::shared().database("subscription");
    let script =
        "-- no-transaction\nCREATE SUBSCRIPTION s CONNECTION\n 'host=127.0.0.1 port=1 password=Zc4nary' PUBLICATION p;";
    let run = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off").migrations(&[("0001_a.sql", script)]);
    let finished = run.arg("--json").output();
    assert_ne!(finished.code, Some(0), "{finished}");
    finished.says("Connection refused").does_not_say(CANARY);
}

#[test]
fn a_sqlite_statement_does_not_print_its_secrets() {
    for script in
        ["INSERT INTO nosuch (password) VALUES ('Zc4nary')", "SELECT a FROM nosuch WHERE a = 'https://u:Zc4nary@h'"]
    {
        expect_masked(&Run::new().url("sqlite:///some.db").migrations(&[("0001_a.sql", script)]), 80);
    }
}

/// The answer to the login has no password, but a reader of the log could compare guesses with it.
#[test]
fn an_answer_that_the_server_repeats_is_masked() {
    let server = Scripted::start(vec![Answer::Repeat]);
    let run = Run::new().url(&server.url("d")).args(["--auth-grace", "100ms"]);
    let run = run.migrations(&[("0001_t.sql", "SELECT 1;")]).env("LOCKKEEPER_LOG", "debug");
    for format in ["text", "json"] {
        let finished = run.clone().env("LOCKKEEPER_LOG_FORMAT", format).output();
        finished.expect_code(77).says("error *** ***").says("notice *** ***");
    }
}

/// A tool quotes a statement over several lines.
#[test]
fn a_tool_that_prints_a_statement_does_not_print_its_secrets() {
    let database = Postgres::shared().database("tool_literals");
    database.execute("create table precious (a int)");
    let tool = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {} \"$@\"\n\
         printf '%s\\n' 'pg_dump: error: query failed: ERROR:  relation \"t\" does not exist' \\\n\
         \"LINE 1: ...nary', 'Zc4nary\" \"Command was: CREATE SUBSCRIPTION s CONNECTION 'host=h\" \\\n\
         ' password=Zc4nary' \" x' PUBLICATION p;\" >&2\nexit 1\n",
        postgres_program("pg_dump").display()
    );
    let run = Run::new().url(&database.url()).file("tools/pg_dump", tool);
    let path = run.dir().join("tools/pg_dump");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    let run = run.env("LOCKKEEPER_PG_DUMP", path.display().to_string());
    let run = run.migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]);
    let finished = expect_masked(&run, 84);
    finished.says("relation \"t\" does not exist").says("CONNECTION '***'").says("'***' PUBLICATION p;");
}

/// A password with characters that URLs encode, in every form of the URL, and one in a setting of the session.
#[test]
fn the_forms_of_a_secret_in_a_url_are_masked() {
    let database = Postgres::shared().database("url_forms");
    for text in ["app:Zc4nary/x", "app%3AZc4nary%2Fx", "app%3aZc4nary%2fx", "app%3AZc4nary%2fx"] {
        for url in [
            "postgresql://u:app%3AZc4nary%2fx@127.0.0.1:1/d",
            "postgresql://u@127.0.0.1:1/d?password=app%3AZc4nary%2fx",
        ] {
            let run = Run::new().url(url).arg("--dir").arg(text);
            expect_masked(&run, 66).says("*** cannot be read");
        }
    }
    let url = format!("{}?options=-c%20app.key%3DZc4nary%20-capp.other%3Dx", database.url());
    let script = "DO $$ BEGIN RAISE EXCEPTION 'the key is % and is wrong', current_setting('app.key'); END $$";
    let run = Run::new().url(&url).env("LOCKKEEPER_BACKUP", "off");
    expect_masked(&run.migrations(&[("0001_a.sql", script)]), 80).says("the key is *** and is wrong");
}

/// A line of 14 MB: masking in several passes over the whole line would take hours.
#[test]
fn a_huge_statement_with_passwords_is_masked_quickly() {
    let values: Vec<&str> = std::iter::repeat_n("'password x'", 1_000_000).collect();
    let script = format!("insert into nosuch values ({});", values.join(","));
    let run = Run::new().url("sqlite:///some.db").migrations(&[("0001_a.sql", &script)]);
    run.output().expect_code(80).says("insert into nosuch values ('***','***'");
}
