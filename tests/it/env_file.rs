//! Tests of where the database's URL comes from: the environment, then a file `.env`, and no default.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::binary::Run;
use crate::support::postgres::{PASSWORD, Postgres, USER};
use crate::support::process::must_run;
use crate::support::sqlite;

/// A run without a database URL.
fn run() -> Run {
    Run::new().without_url().migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")])
}

fn has_table(run: &Run, file: &str) -> bool {
    run.dir().join(file).exists()
        && sqlite::value(&run.dir().join(file), "select count(*) from sqlite_schema where name = 't';") == "1"
}

#[test]
fn without_a_url_nothing_is_migrated_and_no_program_is_started() {
    let secret = "sqlite:///canary7secret.db";
    for (variables, words) in [
        (&[][..], "DATABASE_URL is not set: write DATABASE_URL=sqlite:///./app.db"),
        (&[("DATABASE_URL", "")], "DATABASE_URL is empty"),
        (&[("DATABSE_URL", secret), ("DB_URL", secret)], "DATABASE_URL is not set, but DATABSE_URL is"),
        (&[("DATABASE_URI", secret)], "DATABASE_URL is not set, but DATABASE_URI is"),
        (&[("DB_URL", secret), ("DATABASE_USER", "canary7secret")], "but DB_URL is"),
        (&[("POSTGRES_URL", "canary7secret")], "but POSTGRES_URL is"),
        (&[("LOCKKEEPER_DATABASE_URL", secret)], "but LOCKKEEPER_DATABASE_URL is"),
        (&[("MAIN_STORE", secret)], "but MAIN_STORE is"),
        (&[("PGHOST", "canary7secret")], "DATABASE_URL=postgresql:// uses the PG* variables"),
    ] {
        let run = variables.iter().fold(run(), |run, (name, value)| run.env(name, *value));
        let run = run.args(["--json", "--", "touch", "started"]);
        let finished = run.output();
        finished.expect_code(78).says(words).says("nothing was changed").does_not_say("canary7secret");
        let remaining: Vec<_> =
            fs::read_dir(run.dir()).expect("the directory").flatten().map(|it| it.file_name()).collect();
        assert_eq!(remaining, ["migrations"]);
    }
}

/// A missing variable of the environment is not replaced by a file in the working directory.
#[test]
fn an_empty_or_misspelt_variable_keeps_the_file_from_naming_another_database() {
    let other = "postgresql://canary7secret@h/d";
    for (variables, words) in [
        (&[("DATABASE_URL", "")][..], "DATABASE_URL is empty in the environment, which goes before .env"),
        (&[("DATABASE_URL_FILE", "")], "DATABASE_URL_FILE is empty in the environment"),
        (&[("DATABSE_URL", other)], "DATABASE_URL is not set in the environment, but DATABSE_URL is"),
        (&[("database_url", other)], "but database_url is"),
        (&[("DATABASE_URI", other)], "otherwise unset it, so that .env counts"),
    ] {
        for line in ["DATABASE_URL=sqlite:file.db", "LOCKKEEPER_DIRECT_URL=sqlite:file.db"] {
            let run = variables.iter().fold(run(), |run, (name, value)| run.env(name, *value));
            let run = run.file(".env", line).args(["--", "touch", "started"]);
            let finished = run.output();
            finished.expect_code(78).says(words).does_not_say("canary7secret").does_not_say("read from");
            assert!(!run.dir().join("file.db").exists() && !run.dir().join("started").exists(), "{finished}");
        }
    }
    // A URL in the environment or a flag, and names of other databases, are not ambiguous.
    let run = run().file(".env", "DATABASE_URL=sqlite:file.db");
    run.clone().env("DATABSE_URL", other).env("DATABASE_URL", "sqlite:own.db").output().expect_code(0);
    run.clone().env("DATABASE_URL", "").args(["--url", "sqlite:flag.db"]).output().expect_code(0);
    assert!(!run.dir().join("file.db").exists());
    run.env("TEST_DATABASE_URL", other).env("DATABASE_URL_RO", other).output().expect_code(0);
}

#[test]
fn a_url_with_a_variable_that_nothing_has_replaced_is_refused() {
    for url in ["sqlite:///${DATA}/app.db", "sqlite:////data/$(NAME).db", "postgresql://u@127.0.0.1:1/$(NAME)"] {
        let run = run().env("DATABASE_URL", url);
        run.output().expect_code(78).says("a variable that nothing has replaced").says("nothing was changed");
        assert!(!run.dir().join("${DATA}").exists());
    }
}

#[test]
fn commands_that_need_no_database_need_no_url() {
    let run = run();
    run.clone().args(["completions", "bash"]).output().expect_code(0);
    run.clone().args(["revision", "-m", "two"]).output().expect_code(0);
    // The dialect decides what is wrong with the files.
    run.clone().args(["check", "--offline"]).output().expect_code(78).says("DATABASE_URL is not set");
    let both = Run::new().without_url().file("migrations/postgres/0001_t.sql", "CREATE TABLE t (a int);");
    both.args(["check", "--offline"]).output().expect_code(0).says("postgres 1 revision");
    sqlite::query(&run.dir().join("source.db"), "create table t (id integer primary key);");
    let draft = ["transfer", "--write-revision", "--from", "sqlite:///source.db", "--dir", "draft"];
    fs::create_dir(run.dir().join("draft")).expect("a directory");
    run.args(draft).output().expect_code(0);
}

#[test]
fn the_file_in_the_working_directory_is_read_and_its_names_are_logged() {
    let text =
        "# comment\n\nexport DATABASE_URL=\"sqlite:///./from file.db\" # here\nLOCKKEEPER_BACKUP='off'\nOTHER=x\n";
    let run = run().file(".env", text);
    let finished = run.output();
    finished.expect_code(0).says("read from .env: DATABASE_URL, LOCKKEEPER_BACKUP\n");
    assert!(has_table(&run, "from file.db"));
    finished.does_not_say("OTHER");
    let other = run.clone().file("other.env", "DATABASE_URL=sqlite:other.db").args(["--env-file", "other.env"]);
    other.output().expect_code(0).says("read from other.env: DATABASE_URL\n");
    assert!(has_table(&run, "other.db"));
    run.args(["--env-file", ""]).output().expect_code(78).says("DATABASE_URL is not set");
}

/// Settings of the environment are not mixed with the file's settings for another database.
#[test]
fn the_environment_overrides_the_file() {
    let text = "DATABASE_URL=sqlite:file.db\nLOCKKEEPER_DIRECT_URL=sqlite:direct.db\nLOCKKEEPER_DIR=nowhere\n";
    let run = run().file(".env", text).env("LOCKKEEPER_DIR", "migrations").file("url", "sqlite:url.db");
    run.clone().env("DATABASE_URL", "sqlite:own.db").output().expect_code(0).does_not_say("read from");
    run.clone().env("DATABASE_URL_FILE", "url").output().expect_code(0);
    run.clone().args(["--url", "sqlite:flag.db"]).output().expect_code(0);
    run.output().expect_code(0).says("read from .env: DATABASE_URL, LOCKKEEPER_DIRECT_URL\n");
    for (file, is_there) in
        [("own.db", true), ("url.db", true), ("flag.db", true), ("direct.db", true), ("file.db", false)]
    {
        assert_eq!(has_table(&run, file), is_there, "{file}");
    }
}

#[test]
fn nothing_of_the_file_reaches_the_program_or_a_tool() {
    let database = Postgres::shared().database("env_file");
    database.execute("create table precious (a int)");
    let port = Postgres::shared().port();
    let text = format!(
        "DATABASE_URL=postgresql://127.0.0.1:{port}/{}\nPGUSER={USER}\nPGPASSWORD={PASSWORD}\nPGAPPNAME=canary\nOTHER=canary\n",
        database.name()
    );
    let tool = "#!/bin/sh\nenv >>tool-environment\nexec /usr/bin/env pg_dump \"$@\"\n";
    let run = run().file(".env", text).file("tools/pg_dump", tool);
    let tool = run.dir().join("tools/pg_dump");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("chmod");
    let programs = crate::support::process::postgres_program("pg_dump");
    let path = format!("{}:/usr/bin:/bin", programs.parent().expect("a directory").display());
    let run = run.env("PATH", path).env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    let finished = run.clone().args(["--", "env"]).output();
    finished.expect_code(0).says("read from .env: DATABASE_URL, PGAPPNAME, PGPASSWORD, PGUSER\n");
    let tools = fs::read_to_string(run.dir().join("tool-environment")).expect("the tool ran");
    for text in [&finished.stdout, &tools] {
        assert!(!text.contains("canary") || !text.contains("OTHER") && !text.contains("PGAPPNAME=canary"), "{text}");
    }
    assert!(!["DATABASE_URL", "PGUSER", "PGPASSWORD"].iter().any(|name| finished.stdout.contains(name)), "{finished}");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_never_waited_for() {
    for (text, words) in [
        ("DATABASE_URL=sqlite:x.db\nnot canary7secret\n", ".env:2: it is not NAME=value"),
        ("DATABASE_URL='sqlite:canary7secret.db\n\n\n", ".env:1: it is not NAME=value"),
    ] {
        run().file(".env", text).output().expect_code(78).says(words).does_not_say("canary7secret");
    }
    let fifo = run();
    let mut make = std::process::Command::new("mkfifo");
    make.arg(fifo.dir().join(".env"));
    must_run(make);
    fifo.output().expect_code(78).says(".env cannot be read: ").says("not a regular file");
    let circle = run();
    symlink(".env", circle.dir().join(".env")).expect("a link");
    circle.output().expect_code(78).says(".env cannot be read: it is a symbolic link");
    let run = run().url("sqlite:some.db");
    run.clone().args(["--env-file", "/dev/zero"]).output().expect_code(78).says("not a regular file");
    run.clone().args(["--env-file", "missing"]).output().expect_code(78).says("missing cannot be read: No such file");
    // A Python environment of that name is not read.
    fs::create_dir(run.dir().join(".env")).expect("a directory");
    run.clone().args(["--env-file", ".env"]).output().expect_code(78).says("not a regular file");
    run.output().expect_code(0);
}

#[test]
fn the_first_and_the_last_line_name_the_database() {
    let database = Postgres::shared().database("named");
    let shown_database = format!("127.0.0.1:{}/{}", Postgres::shared().port(), database.name());
    let sqlite = "sub/some.db".to_owned();
    for (url, shown_database) in [(database.url(), shown_database), ("sqlite:///sub/some.db".into(), sqlite)] {
        let run = Run::new().url(&url).env("LOCKKEEPER_BACKUP", "off");
        let run = run.migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]).env("LOCKKEEPER_NO_SETTING", "x");
        let failing = run.clone().file("bad/0001_t.sql", "SELECT * FROM nosuch;").args(["--dir", "bad"]);
        for (run, code) in [(run.clone(), 0), (run.clone(), 0), (run.clone().arg("current"), 0), (failing, 65)] {
            let run = run.env("LOCKKEEPER_TERMINATION_LOG", "termination");
            let text = run.output();
            let lines: Vec<&str> = text.expect_code(code).stderr.lines().collect();
            assert!(lines[0].ends_with(&format!(" using the database {shown_database}")), "{text}");
            assert!(lines[lines.len() - 1].contains(&format!(" database=\"{shown_database}\"")), "{text}");
            let message = fs::read_to_string(run.dir().join("termination")).expect("a message");
            assert!(
                message.starts_with(&format!("lockkeeper: exit {code} ("))
                    && message.contains(&format!(") on {shown_database}: ")),
                "{message}"
            );
            let json = run.clone().env("LOCKKEEPER_LOG_FORMAT", "json").output();
            let last: serde_json::Value =
                serde_json::from_str(json.stderr.lines().last().expect("a line")).expect("JSON");
            assert_eq!(last["database"], *shown_database);
            text.does_not_say(USER).does_not_say(PASSWORD);
        }
        let result: serde_json::Value = serde_json::from_str(&run.arg("--json").output().stdout).expect("JSON");
        assert_eq!(result["database"], *shown_database);
    }
}

/// The repository's own file makes `cargo run` work in a new clone.
#[test]
fn a_fresh_clone_has_its_database_from_its_file() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(".env")).expect("the repository's file");
    let run = run().file(".env", text);
    run.output().expect_code(0).says("using the database ./data/devops_hub.db\n");
    assert!(has_table(&run, "data/devops_hub.db"));
}
