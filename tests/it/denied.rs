//! Tests of missing privileges: each error names the GRANT that is missing, and with exactly that GRANT the run
//! succeeds.

use rustix::process::Signal;

use crate::backup::{backups, last_line};
use crate::contract::expect_end;
use crate::support::binary::{Finished, Run};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, unique, wait_until};

/// A role with all privileges in the database's `public` and none on the objects that others own there.
struct Denied {
    database: PgDatabase<'static>,
    role: String,
}

impl Denied {
    fn new() -> Self {
        let (database, role) = (Postgres::shared().database("denied"), unique("denied"));
        database.execute(&format!("create role {role} login password '{PASSWORD}'"));
        database.execute(&format!("grant usage, create on schema public to {role}"));
        Self { database, role }
    }

    fn run(&self) -> Run {
        Run::new().url(&self.database.url_as(&self.role, PASSWORD)).env("LOCKKEEPER_BACKUP", "off")
    }

    /// Grants what the last line says, as it is written there.
    #[track_caller]
    fn grant(&self, finished: &Finished) -> String {
        let line = last_line(finished);
        let hint = line.split("hint: ").nth(1).and_then(|rest| rest.split(';').next());
        let hint = hint.unwrap_or_else(|| panic!("no hint: {finished}"));
        let one = hint.split(", or ").next().expect("a first part");
        assert!(one.contains(&format!("TO \"{}\"", self.role)) || one.contains("ROLE"), "{finished}");
        self.database.execute(one);
        one.replace(&self.role, "denied").replace(self.database.name(), "database")
    }
}

impl Drop for Denied {
    fn drop(&mut self) {
        let _ = self.database.try_query(&format!("drop owned by {0}; drop role {0}", self.role));
    }
}

/// The script's own statements end with 80; the message has the privileges that exist, the statement and what was
/// missing.
#[test]
fn a_statement_that_is_refused_names_its_grant() {
    let secret = "create table secret (id int primary key); insert into secret values (1)";
    let hidden = "create schema hidden; create table hidden.secret (id int)";
    let rows = [
        (secret, "create table mine as select * from secret", "GRANT SELECT ON TABLE \"secret\""),
        (secret, "insert into public.secret values (2)", "GRANT INSERT ON TABLE \"public\".\"secret\""),
        (secret, "insert into secret values (1) on conflict (id) do update set id = 3", "GRANT SELECT, INSERT, UPDATE"),
        (secret, "update secret set id = id + 1", "GRANT SELECT, UPDATE ON"),
        (secret, "delete from only secret where id = 1", "GRANT SELECT, DELETE ON"),
        (secret, "truncate secret", "GRANT TRUNCATE ON"),
        (secret, "lock table secret", "GRANT UPDATE ON"),
        (secret, "create table child (id int references secret)", "GRANT REFERENCES ON"),
        (secret, "do $$ begin\n insert into secret values (2);\nend $$", "GRANT INSERT ON"),
        (secret, "alter table secret add name text", "ALTER TABLE \"secret\" OWNER TO"),
        ("create view seen as select 1 as a", "select * from seen", "GRANT SELECT ON TABLE \"seen\""),
        ("create sequence numbers", "select nextval('numbers')", "GRANT USAGE ON SEQUENCE \"numbers\""),
        ("create sequence numbers", "select setval('numbers', 7)", "GRANT UPDATE ON SEQUENCE \"numbers\""),
        (hidden, "create table hidden.mine ()", "GRANT USAGE, CREATE ON SCHEMA \"hidden\""),
        (
            "create function f() returns int language sql as 'select 1'; revoke execute on function f() from public",
            "select f()",
            "GRANT EXECUTE ON FUNCTION \"f\"",
        ),
        (
            "create type mood as enum ('ok'); revoke usage on type mood from public",
            "create table mine (m mood)",
            "GRANT USAGE ON TYPE \"mood\"",
        ),
        ("select lo_from_bytea(4242, 'x')", "select lo_get(4242)", "GRANT SELECT ON LARGE OBJECT 4242"),
        ("select 1", "create schema mine", "GRANT CREATE ON DATABASE \"database\""),
        ("select 1", "set role pg_monitor", "GRANT \"pg_monitor\""),
    ];
    let denied = Denied::new();
    for (number, (setup, statement, grant)) in rows.iter().enumerate() {
        for (header, code) in [("", 80), ("-- no-transaction\n", 81)] {
            if code == 81 && number % 6 != 1 {
                continue;
            }
            denied.database.execute(&format!(
                "drop schema if exists hidden, mine cascade; drop owned by {0}; drop schema public cascade; \
                 create schema public; grant usage, create on schema public to {0}; \
                 select lo_unlink(oid) from pg_largeobject_metadata",
                denied.role
            ));
            denied.database.execute(setup);
            let run = denied.run().migrations(&[("0001_x.sql", &format!("{header}{statement};\n"))]);
            let finished = expect_end(&run, code, &["0001_x.sql:", "SQLSTATE 42501", "hint: ", "the privilege named"]);
            let granted = denied.grant(&finished);
            assert!(granted.starts_with(grant), "{granted}, not {grant}: {finished}");
            expect_end(&run, 0, &["up to date at 0001"]);
        }
    }
}

/// Our own statements on the history table end with 77 for each command that changes it, and nothing is changed.
#[test]
fn a_history_that_may_not_be_changed_names_its_grant() {
    let one = ("0001_one.up.sql", "create table if not exists one ();\n");
    let down = ("0001_one.down.sql", "select 1;\n");
    let two = ("0002_two.up.sql", "create table if not exists two ();\n");
    let alone = ("0002_two.up.sql", "-- no-transaction\ncreate table if not exists two ();\n");
    let edited = ("0001_one.up.sql", "-- edited\ncreate table if not exists one ();\n");
    let rows: [(&[&str], (&str, &str), &str); 6] = [
        (&["upgrade"], two, "select, update, delete"),
        (&["upgrade"], alone, "select, insert, delete"),
        (&["stamp", "0002"], two, "select, update, delete"),
        (&["stamp", "base"], one, "select, insert, update"),
        (&["downgrade", "base"], one, "select, insert, update"),
        (&["repair", "--yes"], edited, "select, insert, delete"),
    ];
    for (words, file, privileges) in rows {
        let denied = Denied::new();
        let run = denied.run().migrations(&[one, down]);
        expect_end(&run.clone().url(&denied.database.url()), 0, &["up to date at 0001"]);
        denied.database.execute(&format!("grant {privileges} on lockkeeper_history to {}", denied.role));
        let before = denied.database.query("select * from lockkeeper_history");
        let run = run.migrations(&[file]).args(words.iter().copied());
        let finished = expect_end(&run, 77, &["SQLSTATE 42501", "grant the privilege named"]);
        assert_eq!(denied.database.query("select * from lockkeeper_history"), before, "{finished}");
        let granted = denied.grant(&finished);
        let expected = "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"lockkeeper_history\" TO \"denied\"";
        assert_eq!(granted, expected, "{finished}");
        expect_end(&run, 0, &[]);
    }
}

/// A history table from before there were down migrations has to be altered, which only its owner may do.
#[test]
fn a_history_that_may_not_be_altered_names_its_owner() {
    let denied = Denied::new();
    let run = denied.run().migrations(&[("0001_one.sql", "create table one ();")]);
    expect_end(&run.clone().url(&denied.database.url()), 0, &["up to date at 0001"]);
    denied.database.execute(&format!(
        "alter table lockkeeper_history drop column down_checksum; grant all on lockkeeper_history to {}",
        denied.role
    ));
    let run = run.migrations(&[("0002_two.sql", "create table two ();")]);
    let finished = expect_end(&run, 77, &["must be owner of table lockkeeper_history", "SQLSTATE 42501"]);
    let hint = last_line(&finished).split("let the table's owner run ").nth(1).and_then(|rest| rest.split(';').next());
    denied.database.execute(hint.expect("a hint"));
    expect_end(&run, 0, &["up to date at 0002"]);
}

/// A script without a transaction needs the journal. Without it, nothing of the script runs.
#[test]
fn a_journal_that_may_not_be_created_names_the_grant_or_the_owner() {
    let denied = Denied::new();
    let (database, role) = (&denied.database, &denied.role);
    let run = denied.run().migrations(&[("0001_one.sql", "create table one ();")]);
    expect_end(&run.clone().url(&database.url()), 0, &["up to date at 0001"]);
    database.execute(&format!(
        "grant all on lockkeeper_history to {role}; revoke create on schema public from {role}; create sequence calls;
         grant all on sequence calls to {role}"
    ));
    let run = run.migrations(&[("0002_two.sql", "-- no-transaction\nselect nextval('calls');\n")]);
    let finished = expect_end(&run, 77, &["permission denied for schema public", "SQLSTATE 42501"]);
    assert_eq!(database.value("select is_called from calls"), "f");
    assert_eq!(denied.grant(&finished), "GRANT USAGE, CREATE ON SCHEMA \"public\" TO \"denied\"");
    expect_end(&run, 0, &["up to date at 0002"]);

    // The history of an earlier release has to be altered, which only its owner may do.
    database.execute(
        "alter table lockkeeper_history drop constraint unfinished_revisions_are_in_the_journal;
         drop table lockkeeper_history_journal; select setval('calls', 1, false)",
    );
    let run = run.migrations(&[("0003_three.sql", "-- no-transaction\nselect nextval('calls');\n")]);
    let finished = expect_end(&run, 77, &["must be owner of table lockkeeper_history", "SQLSTATE 42501"]);
    assert_eq!(database.value("select is_called from calls"), "f");
    let statements = last_line(&finished).split("let the table's owner run ").nth(1).expect("a hint");
    let statements = &statements[..statements.find("COMMIT").expect("an end")];
    database.execute(&format!("{statements}COMMIT"));
    let finished = expect_end(&run, 77, &["permission denied for table lockkeeper_history_journal"]);
    let granted = denied.grant(&finished);
    assert_eq!(
        granted,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"lockkeeper_history_journal\" TO \"denied\""
    );
    expect_end(&run, 0, &["up to date at 0003"]);
}

/// The functions for advisory locks may be called by every role, until somebody revokes that.
#[test]
fn a_lock_that_may_not_be_taken_names_its_grant() {
    for function in ["pg_try_advisory_lock", "pg_advisory_unlock"] {
        let denied = Denied::new();
        denied.database.execute(&format!("revoke execute on function {function}(bigint) from public"));
        let run = denied.run().migrations(&[("0001_one.sql", "create table one ();")]);
        let finished = expect_end(&run, 77, &[&format!("permission denied for function {function}")]);
        assert_eq!(denied.database.value("select to_regclass('one') is null"), "t");
        let granted = denied.grant(&finished);
        assert_eq!(granted, format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function}(bigint) TO \"denied\""));
        expect_end(&run, 0, &["up to date at 0001"]);
    }
}

/// Without the right to cancel statements, a signal ends the run at the end of its grace period; the log names what is
/// missing.
#[test]
fn a_statement_that_may_not_be_cancelled_names_its_grant() {
    let denied = Denied::new();
    denied.database.execute("revoke execute on function pg_cancel_backend(int) from public");
    let run = denied.run().migrations(&[("0001_sleep.sql", "select pg_sleep(600);")]);
    let running = run.env("LOCKKEEPER_SHUTDOWN_GRACE", "1s").spawn();
    let sleeps = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    wait_until("the statement runs", DEFAULT_TIMEOUT, || denied.database.value(sleeps) == "1");
    running.signal(Signal::TERM);
    let finished = running.finish();
    let grant = format!("GRANT EXECUTE ON FUNCTION \"pg_cancel_backend\" TO \"{}\"", denied.role);
    finished.expect_code(143).says(&grant).does_not_say(PASSWORD);
    wait_until("the server has noticed", DEFAULT_TIMEOUT, || denied.database.value(sleeps) == "0");
}

/// A table that pg_dump may not read ends the run with 84 and the GRANT, and no file remains; once all are granted a
/// backup is taken.
#[test]
fn a_backup_that_is_refused_names_its_grant() {
    let denied = Denied::new();
    denied.database.execute(
        "create table secret (id int); create sequence numbers; create schema hidden; \
         create table hidden.other (id int); select lo_from_bytea(4242, 'x'); \
         create table guarded (id int); alter table guarded enable row level security",
    );
    let denied_role = &denied.role;
    denied.database.execute(&format!("grant select on hidden.other, guarded to {denied_role}"));
    let run = denied.run().env("LOCKKEEPER_BACKUP", "required").migrations(&[("0001_one.sql", "create table one ();")]);
    let mut granted = Vec::new();
    let finished = loop {
        let finished = run.output();
        if finished.code == Some(0) || granted.len() > 5 {
            break finished;
        }
        finished.expect_code(84).says("pg_dump failed").does_not_say(PASSWORD);
        assert!(last_line(&finished).contains("nothing was changed"), "{finished}");
        assert!(backups(&run.dir().join("backups")).is_empty(), "{finished}");
        // pg_dump 18 leaves out the schema of a sequence.
        granted.push(denied.grant(&finished).replace("SEQUENCE \"numbers\"", "SEQUENCE \"public\".\"numbers\""));
    };
    finished.expect_code(0);
    granted.sort();
    assert_eq!(
        granted,
        [
            "ALTER ROLE \"denied\" BYPASSRLS",
            "GRANT SELECT ON LARGE OBJECT 4242 TO \"denied\"",
            "GRANT SELECT ON SEQUENCE \"public\".\"numbers\" TO \"denied\"",
            "GRANT SELECT ON TABLE \"public\".\"secret\" TO \"denied\"",
            "GRANT USAGE ON SCHEMA \"hidden\" TO \"denied\"",
        ]
    );
    assert_eq!(backups(&run.dir().join("backups")).len(), 1);
}
