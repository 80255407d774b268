//! Tests that a rehearsal changes nothing but its scratch database, and that nobody else can use that.

use std::fs;

use crate::contract::{ONE, expect_end, run_on};
use crate::restore_concurrent::with_gated_restore;
use crate::restore_postgres::{back_up, family};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres, USER, quoted};
use crate::support::{sqlite, unique};

/// Runs with backups and a rehearsal, on a database at 0001.
fn at_one(database: &PgDatabase<'_>) -> Run {
    let run = run_on(database, &[ONE]);
    expect_end(&run, 0, &["up to date at 0001"]);
    run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe").env("LOCKKEEPER_REHEARSE", "true")
}

/// Creates two databases; the first one has a foreign table that refers to a table of the second.
fn linked() -> (PgDatabase<'static>, PgDatabase<'static>) {
    let server = Postgres::shared();
    let (source, target) = (server.database("here"), server.database("there"));
    target.execute("create table target (id integer)");
    source.execute(&format!(
        "create extension postgres_fdw; create extension dblink;
         create server other foreign data wrapper postgres_fdw options (host '127.0.0.1', port '{port}', dbname '{name}');
         create user mapping for {USER} server other options (user '{USER}', password '{PASSWORD}');
         create user mapping for public server other options (user '{USER}', password '{PASSWORD}');
         create foreign table reached (id integer) server other options (table_name 'target');
         create server plain foreign data wrapper dblink_fdw options (host '127.0.0.1', port '{port}', dbname '{name}');
         create user mapping for {USER} server plain options (user '{USER}', password '{PASSWORD}')",
        port = server.port(),
        name = target.name()
    ));
    (source, target)
}

#[test]
fn a_step_that_writes_to_another_server_fails_in_the_rehearsal() {
    let (source, target) = linked();
    let run = at_one(&source);
    let address = format!(
        "host=127.0.0.1 port={} dbname={} user={USER} password={PASSWORD}",
        Postgres::shared().port(),
        target.name()
    );
    for statement in [
        "insert into reached values (1)".to_owned(),
        format!("select dblink_exec('{address}', 'insert into target values (2)')"),
        "select dblink_exec('plain', 'insert into target values (3)')".to_owned(),
    ] {
        for directive in ["", "-- no-transaction\n"] {
            let step = run.clone().file("migrations/0002_two.sql", format!("{directive}{statement};"));
            let finished = expect_end(&step, 80, &["rehears", "nothing was changed"]);
            finished.says("was cut off from other servers");
            assert_eq!(target.value("select count(*) from target"), "0", "{statement}");
        }
    }
    // Production still has all of it.
    let straight = run.clone().env("LOCKKEEPER_REHEARSE", "false");
    expect_end(
        &straight.file("migrations/0002_two.sql", "insert into reached values (1);"),
        0,
        &["up to date at 0002"],
    );
    assert_eq!(target.value("select count(*) from target"), "1");
    expect_end(&run.file("migrations/0003_three.sql", "create table three (id int);"), 0, &["up to date at 0003"]);
    assert_eq!(source.value("select count(*) from reached"), "1");
}

#[test]
fn statements_that_reach_beyond_the_scratch_database_are_refused() {
    let database = Postgres::shared().database("leads_out");
    let run = at_one(&database);
    let file = run.dir().join("written").display().to_string();
    for statement in [
        format!("copy one to program 'cat > {file}'"),
        format!("COPY (select 1) TO '{file}'"),
        "copy one from program 'echo 1'".to_owned(),
        "create user mapping for public server nowhere options (user 'x')".to_owned(),
        "alter user mapping for public server nowhere options (set user 'x')".to_owned(),
        "import foreign schema public from server nowhere into public".to_owned(),
        "alter subscription nothing enable".to_owned(),
    ] {
        for directive in ["", "-- no-transaction\n"] {
            let step = run.clone().file("migrations/0002_two.sql", format!("{directive}select 1;\n{statement};"));
            expect_end(&step, 80, &["this cannot be rehearsed, run it without a rehearsal", "nothing was changed"]);
        }
    }
    assert!(fs::metadata(&file).is_err());
    expect_end(&run.file("migrations/0002_two.sql", "create table copy (program text);"), 0, &["up to date at 0002"]);
}

/// A statement that writes to another file would run twice: in the rehearsal and in the run.
#[test]
fn a_step_that_reaches_another_file_is_refused_on_sqlite() {
    for (script, place) in [
        ("attach 'other.db' as o;\ninsert into o.t values (2);\n", "1:1"),
        ("-- no-transaction\nattach database 'other.db' as o;\ninsert into o.t values (2);\n", "2:1"),
        ("-- no-transaction\nvacuum into 'other.db';\n", "2:1"),
    ] {
        let run = Run::new().url("sqlite:///app.db").migrations(&[ONE]).env("LOCKKEEPER_BACKUP", "off");
        expect_end(&run, 0, &["up to date at 0001"]);
        let other = run.dir().join("other.db");
        sqlite::query(&run.dir().join("app.db"), "insert into one values (1);");
        if !script.contains("vacuum") {
            sqlite::query(&other, "create table t (id int); insert into t values (1);");
        }
        let step = run.env("LOCKKEEPER_BACKUP", "required").file("migrations/0002_two.sql", script);
        let refused = step.clone().env("LOCKKEEPER_REHEARSE", "true");
        let place_in_file = format!("0002_two.sql:{place}: ");
        let words = ["this cannot be rehearsed, run it without a rehearsal", &place_in_file, "nothing was changed"];
        expect_end(&refused, 80, &words);
        let rows = || sqlite::value(&other, "select count(*) from t;");
        assert!(script.contains("vacuum") || rows() == "1", "{script}");
        assert!(!script.contains("vacuum") || !other.exists(), "{script}");
        expect_end(&step, 0, &["up to date at 0002"]);
    }
    let memory = "-- no-transaction\nattach ':memory:' as m;\ncreate table m.t (a);\nvacuum;\n";
    let run = Run::new().url("sqlite:///app.db").migrations(&[ONE]).env("LOCKKEEPER_REHEARSE", "true");
    expect_end(&run, 0, &["up to date at 0001"]);
    sqlite::query(&run.dir().join("app.db"), "insert into one values (1);");
    expect_end(&run.file("migrations/0002_two.sql", memory), 0, &["up to date at 0002"]);
}

/// Lets a new role create a table with a row, whose CHECK constraint counts its calls. Returns the role.
fn with_check_of_other_role(database: &PgDatabase<'_>) -> String {
    let stranger = unique("stranger");
    database.execute(&format!(
        "create role {stranger}; grant create on schema public to {stranger}; create sequence calls; grant all on calls to public;
         set role {stranger};
         create function checks(integer) returns boolean language sql as $$ select nextval('public.calls') > 0 $$;
         create table theirs (id integer check (checks(id))); insert into theirs values (1)"
    ));
    stranger
}

#[test]
fn a_superuser_runs_no_function_of_another_role_in_a_rehearsal() {
    let database = Postgres::shared().database("checked");
    let stranger = with_check_of_other_role(&database);
    let before = database.value("select last_value from calls");
    let run = at_one(&database).file("migrations/0002_two.sql", "create table two (id int);");
    let refused =
        format!("restoring the rows would run functions of {stranger} with the rights of {USER}, who is a superuser");
    expect_end(&run, 78, &[&refused, "nothing was changed"]);
    assert_eq!(database.value("select last_value from calls"), before);
    // An expression is code as well; a comparison alone is not refused.
    database.execute("alter table theirs drop constraint theirs_id_check; drop function checks; alter table theirs add check (lower(id::text) = id::text)");
    expect_end(&run, 78, &[&refused]);
    database.execute("alter table theirs drop constraint theirs_id_check; alter table theirs add check (id > 0)");
    expect_end(&run, 0, &["up to date at 0002"]);
    database.execute(&format!("drop owned by {stranger} cascade; drop role {stranger}"));
}

/// The backup decides, not the database: the owner may have removed the function since.
#[test]
fn a_superuser_runs_no_function_of_another_role_in_a_restore() {
    let database = Postgres::shared().database("restored_checks");
    let stranger = with_check_of_other_role(&database);
    let run = at_one(&database).env("LOCKKEEPER_REHEARSE", "false");
    let backup = back_up(&run);
    database.execute("drop table theirs; drop function checks");
    let refused = format!("would run functions of {stranger} with the rights of {USER}, who is a superuser");
    let grant = format!("GRANT {} TO {}", quoted(&stranger), quoted(USER));
    for how in [&["--yes"][..], &["--yes", "--in-place"]] {
        let before = database.value("select last_value from calls");
        let restore = run.clone().args(["restore", &backup]).args(how.iter().copied());
        expect_end(&restore, 78, &[&refused, &grant, "the database is as it was"]);
        assert_eq!(database.value("select last_value from calls"), before);
        assert_eq!(family(&database), [database.name()], "{how:?}");
    }
    database.execute(&grant);
    expect_end(&run.args(["restore", &backup, "--yes", "--in-place"]), 0, &["restored"]);
    assert_eq!(database.value("select count(*) from theirs"), "1");
    database.execute(&format!("drop owned by {stranger} cascade; drop role {stranger}"));
}

#[test]
fn nobody_can_connect_to_a_database_that_is_being_restored() {
    let database = Postgres::shared().database("entered");
    let guest = unique("guest");
    database.execute(&format!("create role {guest} login password '{PASSWORD}'"));
    let (run, gate) = with_gated_restore(at_one(&database).file("migrations/0002_two.sql", "select 2;"));
    let running = run.spawn();
    running.wait_for("into the database");
    let copies = format!("from pg_database where starts_with(datname, '{}_lockkeeper_')", database.name());
    assert_eq!(database.value(&format!("select count(*) {copies}")), "1");
    let may = format!("has_database_privilege('{guest}', datname, 'CONNECT')");
    assert_eq!(database.value(&format!("select {may} {copies}")), "f");
    assert_eq!(
        database.value(&format!("select has_database_privilege('{guest}', '{}', 'CONNECT')", database.name())),
        "t"
    );
    fs::write(gate, "").expect("open the gate");
    running.finish().expect_code(0);
    // The database that replaces the old one gets its privileges.
    let backup = fs::read_dir(run.dir().join("safe")).expect("a directory").flatten();
    let backup = backup.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "dump"));
    let backup = backup.expect("a backup").display().to_string();
    let restore = run.clone().env("LOCKKEEPER_REHEARSE", "false").args(["restore", "--yes", &backup]);
    expect_end(&restore, 0, &[]);
    assert_eq!(
        database.value(&format!("select has_database_privilege('{guest}', '{}', 'CONNECT')", database.name())),
        "t"
    );
    let family = format!("{}%", database.name());
    for name in database
        .query(&format!("select datname from pg_database where datname like '{family}_before_restore%'"))
        .lines()
    {
        Postgres::shared().execute(&format!("drop database {}", quoted(name)));
    }
    Postgres::shared().execute(&format!("drop role {guest}"));
}

/// A program, a file and a subscription outlast the scratch database; a subscription would also prevent its removal.
#[test]
fn a_block_that_reaches_beyond_the_scratch_database_is_refused() {
    let database = Postgres::shared().database("block");
    let run = at_one(&database);
    for statement in [
        "copy one to program 'cat >&2'",
        "execute 'copy one to program ''cat >&2'' '",
        "copy one to '/nonexistent/file'",
        "create subscription sub connection 'host=127.0.0.1' publication p with (connect = false)",
        "create extension dblink; perform dblink_connect('host=127.0.0.1')",
    ] {
        for directive in ["", "-- no-transaction\n"] {
            let step = format!("{directive}do $$ begin {statement}; end $$;\n");
            let finished = expect_end(&run.clone().file("migrations/0002_two.sql", step), 80, &["rehears"]);
            finished.says("cannot be rehearsed").says("nothing was changed");
        }
    }
    let copies = format!(
        "select count(*) from pg_database where starts_with(datname, '{}_lockkeeper_rehearsal')",
        database.name()
    );
    assert_eq!(database.value(&copies), "0");
}
