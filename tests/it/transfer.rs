//! Tests of `lockkeeper transfer` from end to end: afterwards every row of a SQLite file is in PostgreSQL, or none.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lock::lock_holders;
use crate::signals::wait_for_query;
use crate::support::binary::{Finished, Run, Running};
use crate::support::database::PgDatabase;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, TABLES, kill, sqlite, unique, wait_until};

/// The default grace period: Compose would kill a run that takes longer with SIGKILL.
const GRACE: Duration = Duration::from_secs(8);
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

/// Rows in all seven tables; the last event is deleted again, and its number is not used again.
const ROWS: &str = r#"
    insert into agents (id, name, domain, version, capabilities, metadata, created_at) values
        (1, 'Zoë 🚀', 'ops', '1.0', '["deploy", "scan"]', '{"b": 1.50, "a": {"x": null}}', '2026-01-02T03:04:05.678Z'),
        (40, 'it''s', 'ops', '2', '[]', '{}', '2026-01-02 03:04:05');
    insert into workflows (id, name, version, definition, is_enabled) values (1, 'w', 1, '{"steps": []}', 1), (2, 'w', 2, '{"steps": [1e2]}', 0);
    insert into workflow_executions (id, workflow_id, agent_id, status, started_at, finished_at, duration_ms, output)
        values (7, 2, 40, 'succeeded', '2026-01-01T00:00:00Z', '2026-01-01T00:00:01.5+00:00', 1500, '[true, "\u00e9"]'), (8, 1, null, 'pending', null, null, null, null);
    insert into events (id, event_type, source, agent_id, execution_id, payload)
        select value, 'tick', 'clock', 1, 7, json_object('n', value) from generate_series(1, 3000);
    insert into api_keys (id, name, key_prefix, key_hash, agent_id, scopes, is_active, created_at, last_used_at)
        values (3, 'k', 'abcd', printf('%064d', 3), 1, '["read"]', 0, '2026-01-02T03:04:05Z', '2026-02-01T10:00:00+02:00');
    insert into documentation_guides (id, slug, title, content, tags, is_published) values (5, 's', 'T', 'line
line', '["a"]', 1);
    insert into documentation_examples (id, guide_id, title, language, code) values (6, 5, 'e', 'sh', 'echo \N');
"#;

fn database() -> PgDatabase<'static> {
    Postgres::shared().database("transfer")
}

/// Transfers `source.db` in the run's directory.
fn transfer(database: &PgDatabase<'_>) -> Run {
    run_on(&database.url())
}

fn run_on(url: &str) -> Run {
    Run::new().url(url).env("LOCKKEEPER_BACKUP", "off").args(["transfer", "--from", "sqlite:///source.db"])
}

/// Transfers from DevOps Hub to DevOps Hub, with a source as its migrations create it, and these rows.
fn hub(database: &PgDatabase<'_>, rows: &str) -> Run {
    let run = transfer(database).env("LOCKKEEPER_DIR", SHIPPED);
    let made = Run::new().env("LOCKKEEPER_DIR", SHIPPED).env("LOCKKEEPER_BACKUP", "off");
    made.url(&format!("sqlite:///{}", source(&run).display())).output().expect_code(0);
    sqlite::query(&source(&run), rows);
    run
}

/// Transfers from these tables into those of a migration.
fn transfer_between(database: &PgDatabase<'_>, from: &str, to: &str) -> Run {
    let run = transfer(database).migrations(&[("0001_tables.sql", to)]);
    sqlite::query(&source(&run), from);
    run
}

fn source(run: &Run) -> PathBuf {
    run.dir().join("source.db")
}

/// Returns the tables of DevOps Hub with their numbers of rows.
fn counts(database: &PgDatabase<'_>) -> Vec<String> {
    TABLES.iter().map(|table| database.value(&format!("select count(*) from {table}"))).collect()
}

/// Expects these words and a suggestion in the last line.
#[track_caller]
pub fn expect_last_line(finished: &Finished, code: i32, words: &[&str]) {
    finished.expect_code(code).does_not_say(PASSWORD);
    let last = finished.stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "the last line lacks {word:?}: {finished}");
    }
    assert!(code == 0 || last.contains("; try: "), "the last line lacks what to try: {finished}");
}

#[test]
fn every_row_of_devops_hub_is_transferred_and_the_schema_is_unchanged() {
    let (empty, filled) = (database(), database());
    let run = hub(&filled, ROWS);
    let migrate = |database: &PgDatabase<'_>| {
        let run = Run::new().env("LOCKKEEPER_DIR", SHIPPED).env("LOCKKEEPER_BACKUP", "off");
        run.url(&database.url()).output().expect_code(0);
    };
    migrate(&empty);
    let finished = run.output();
    expect_last_line(&finished, 0, &["transferred 7 tables, 3009 rows"]);
    assert_eq!(filled.dump_schema(), empty.dump_schema());
    assert_eq!(counts(&filled), ["2", "1", "1", "1", "3000", "2", "2"]);
    for (query, expected) in [
        ("select name from agents where metadata @> '{\"a\": {\"x\": null}}'", "Zoë 🚀"),
        ("select metadata ->> 'b' from agents where id = 1", "1.50"),
        ("select created_at = '2026-01-02 03:04:05.678+00' from agents where id = 1", "t"),
        ("select created_at = '2026-01-02 03:04:05+00' from agents where id = 40", "t"),
        ("select string_agg(is_enabled::text, ' ' order by id) from workflows", "true false"),
        ("select output ->> 1 from workflow_executions where id = 7", "é"),
        ("select last_used_at = '2026-02-01 08:00:00+00' from api_keys", "t"),
        ("select code from documentation_examples", "echo \\N"),
        ("select content = e'line\\nline' from documentation_guides", "t"),
        ("select sum((payload ->> 'n')::int) from events", "4501500"),
        ("insert into agents (name, domain, version) values ('next', 'd', '1') returning id", "41"),
        ("insert into events (event_type, source) values ('a', 'b') returning id", "3001"),
        ("delete from agents where id = 40 returning id", "40"),
        ("select agent_id is null from workflow_executions where id = 7", "t"),
    ] {
        assert_eq!(filled.value(query), expected, "{query}");
    }
    let orphan = "insert into events (event_type, source, agent_id) values ('a', 'b', 99)";
    assert!(filled.try_query(orphan).is_err());
}

#[test]
fn an_empty_source_leaves_empty_tables_whose_sequences_start_at_1() {
    let database = database();
    let run = hub(&database, "");
    // The schema is at head already: only the rows are left to transfer.
    let migrated = Run::new().env("LOCKKEEPER_DIR", SHIPPED).env("LOCKKEEPER_BACKUP", "off");
    migrated.url(&database.url()).output().expect_code(0);
    let before = database.dump_schema();
    expect_last_line(&run.output(), 0, &["transferred 7 tables, 0 rows"]);
    assert_eq!(database.dump_schema(), before);
    let first = "insert into agents (name, domain, version) values ('n', 'd', '1') returning id";
    assert_eq!(database.value(first), "1");
}

#[test]
fn a_plan_shows_every_column_and_changes_nothing() {
    let database = database();
    let run = hub(&database, ROWS);
    let before = database.dump_schema();
    expect_last_line(
        &run.clone().arg("--plan").output(),
        65,
        &["agents: the target has no such table", "and 6 more", "nothing was changed"],
    );
    run.clone().arg("--plan").output().says("5 revisions pending");
    assert_eq!(database.dump_schema(), before);
    let migrated = Run::new().env("LOCKKEEPER_DIR", SHIPPED).env("LOCKKEEPER_BACKUP", "off");
    migrated.url(&database.url()).output().expect_code(0);
    let finished = run.clone().arg("--plan").output();
    expect_last_line(&finished, 0, &["7 tables would be transferred"]);
    for line in [
        r#"agents -> "public"."agents""#,
        "  metadata TEXT -> metadata jsonb: JSON texts",
        "  is_enabled INTEGER -> is_enabled boolean: ",
    ] {
        assert!(finished.stdout.contains(line), "{line}: {finished}");
    }
    let finished = run.clone().args(["--plan", "--only", "agents", "--json"]).output();
    expect_last_line(&finished, 0, &["1 table would be transferred"]);
    let document: serde_json::Value = serde_json::from_str(&finished.stdout).expect("one document");
    let agents = &document["tables"][0];
    assert_eq!(agents["target"], r#""public"."agents""#, "{finished}");
    assert_eq!(agents["columns"][0]["target_type"], "bigint", "{finished}");
    assert_eq!(counts(&database), ["0"; 7]);
}

const SPECIAL_SOURCE: &str = r#"
    create table "Parent Table" ("Id" integer primary key, "select" text, boss references "Parent Table");
    insert into "Parent Table" values (1, 'a', 2), (2, 'b', 1), (3, null, 3);
    create table pair (a text, b int, primary key (a, b)) without rowid;
    insert into pair values ('', 1), ('x', 1), ('x', 2);
    create table egg (id integer primary key, hen int references hen);
    create table hen (id integer primary key, egg int references egg, twice int generated always as (id * 2));
    insert into egg values (1, 2), (2, 1);
    insert into hen values (1, 1), (2, 2);
    create table kept (id integer primary key autoincrement, real_, blob_ blob, exact, "when" int);
    insert into kept values (5, 0.1, x'00ff', '12345678901234567890.5', 0), (6, 9e999, x'', 3, null), (9, null, null, null, 1700000000123);
    delete from kept where id = 9;
"#;
const SPECIAL_TARGET: &str = r#"
    create table "Parent Table" ("Id" bigint generated always as identity primary key, "select" text, boss bigint references "Parent Table");
    create table pair (a text, b int, primary key (a, b));
    create table egg (id int primary key, hen int);
    create table hen (id int primary key, egg int references egg, twice int generated always as (id * 2) stored);
    alter table egg add foreign key (hen) references hen;
    create table kept (id bigserial primary key, real_ double precision, blob_ bytea, exact numeric, "when" timestamptz);
"#;

#[test]
fn special_keys_cycles_and_generated_columns_are_transferred() {
    let database = database();
    let run = transfer_between(&database, SPECIAL_SOURCE, SPECIAL_TARGET).args(["--cast", "kept.when=unix-ms"]);
    expect_last_line(&run.output(), 0, &["transferred 5 tables, 12 rows"]);
    for (query, expected) in [
        (
            r#"select string_agg("Id" || coalesce("select", '-') || boss, ' ' order by "Id") from "Parent Table""#,
            "1a2 2b1 3-3",
        ),
        ("select string_agg(a || b, ' ' order by a, b) from pair", "1 x1 x2"),
        ("select string_agg(hen::text, ' ' order by id) from egg", "2 1"),
        ("select string_agg(twice::text, ' ' order by id) from hen", "2 4"),
        ("select real_ = 0.1 and blob_ = '\\x00ff' and exact = 12345678901234567890.5 from kept where id = 5", "t"),
        ("select real_ = 'Infinity' and blob_ = '' and exact = 3 from kept where id = 6", "t"),
        // The number of a deleted row is not used again.
        ("insert into kept (real_) values (1) returning id", "10"),
        (r#"insert into "Parent Table" ("select") values ('c') returning "Id""#, "4"),
        (r#"select extract(epoch from "when")::int from kept where id = 5"#, "0"),
    ] {
        assert_eq!(database.value(query), expected, "{query}");
    }
}

/// The next value follows the highest number, or there is none.
#[test]
fn sequences_continue_after_the_highest_number() {
    let database = database();
    let from = "create table a (id integer primary key); insert into a values (-5), (3); \
         create table b (id integer primary key); insert into b values (10); \
         create table c (id integer primary key autoincrement, n int); \
         create table d (id integer primary key); insert into d values (-7);";
    let to = "create table a (id int generated always as identity primary key); \
         create table b (id int generated by default as identity (maxvalue 10) primary key); \
         create table c (id serial primary key, n int); \
         create table d (id bigint generated by default as identity (start 100 increment 10) primary key);";
    expect_last_line(&transfer_between(&database, from, to).output(), 0, &["transferred 4 tables, 4 rows"]);
    for (table, next) in [("a", "4"), ("c", "1"), ("d", "100")] {
        assert_eq!(database.value(&format!("insert into {table} default values returning id")), next, "{table}");
    }
    let full = database.try_query("insert into b default values").expect_err("past its end");
    assert!(full.contains("reached maximum value of sequence"), "{full}");
}

/// A default may take its values from a sequence that belongs to no column, or to another one.
#[test]
fn a_sequence_of_several_tables_continues_after_all_of_them() {
    let database = database();
    let from = "create table a (id integer primary key); insert into a values (3); \
         create table b (id integer primary key); insert into b values (60); \
         create table c (id integer primary key); insert into c values (7); \
         create table d (id integer primary key); insert into d values (20), (-4);";
    let to = "create sequence numbers; create table a (id int default nextval('numbers') primary key); \
         create table b (id int default nextval('numbers') primary key); create table c (id serial primary key); \
         create table d (id int default nextval('c_id_seq') primary key); create table z (id int default nextval('c_id_seq')); \
         select setval('c_id_seq', 30);";
    expect_last_line(&transfer_between(&database, from, to).output(), 0, &["transferred 4 tables, 5 rows"]);
    for (table, next) in [("a", "61"), ("b", "62"), ("c", "31"), ("d", "32"), ("z", "33")] {
        let insert = format!("insert into {table} default values returning id");
        assert_eq!(database.value(&insert), next, "{table}");
    }
}

/// A value that the target's sequence can never reach is named.
#[test]
fn a_number_past_the_end_of_its_sequence_is_named() {
    let database = database();
    let from = "create table b (id integer primary key); insert into b values (11);";
    let to = "create table b (id int generated by default as identity (maxvalue 10) primary key);";
    expect_last_line(&transfer_between(&database, from, to).output(), 65, &["b_id_seq", "no row was transferred"]);
    assert_eq!(database.value("select count(*) from b"), "0");
}

/// Tables are selected and excluded by name, including tables that the other side does not have.
#[test]
fn tables_are_selected_and_excluded_by_name() {
    let database = database();
    let from = "create table a (id integer primary key); insert into a values (1); create table b (id int); insert into b values (2); create table extra (id int);";
    let run = transfer_between(
        &database,
        from,
        "create table a (id int primary key); create table b (id int); create table more (id int);",
    );
    expect_last_line(
        &run.output(),
        65,
        &["extra: the target has no such table", "--exclude", "revision 0001 was applied"],
    );
    expect_last_line(&run.clone().args(["--only", "b"]).output(), 0, &["transferred 1 table, 1 row,"]);
    assert_eq!(database.value("select (select count(*) from a) || ' ' || (select count(*) from b)"), "0 1");
    expect_last_line(
        &run.clone().args(["--exclude", "extra", "--exclude", "B"]).output(),
        0,
        &["transferred 1 table, 1 row,"],
    );
    assert_eq!(database.value("select (select count(*) from a) || ' ' || (select count(*) from b)"), "1 1");
}

#[test]
fn an_owner_who_is_no_superuser_transfers_everything() {
    let database = database();
    let owner = unique("owner");
    database.execute(&format!(
        "create role {owner} login password '{PASSWORD}'; alter database {} owner to {owner}; grant all on schema public to {owner}",
        database.name()
    ));
    let run = hub(&database, ROWS).url(&database.url_as(&owner, PASSWORD));
    expect_last_line(&run.output(), 0, &["transferred 7 tables, 3009 rows"]);
    assert_eq!(counts(&database), ["2", "1", "1", "1", "3000", "2", "2"]);
}

#[test]
fn rows_that_are_written_meanwhile_are_not_transferred() {
    let database = database();
    let from = "pragma journal_mode = wal; create table a (id integer primary key); create table b (a int); \
         insert into a select value from generate_series(1, 10); insert into b select id from a;";
    let to = "create table a (id int primary key); create table b (a int references a);";
    let run = transfer_between(&database, from, to);
    database.execute(to);
    let run = run.migrations(&[("0001_tables.sql", "select 1;")]);
    let mut lock_session = database.session();
    lock_session.run("begin; lock table a");
    let running = run.spawn();
    wait_for_query(&database, "IN ACCESS EXCLUSIVE MODE");
    sqlite::query(&source(&run), "insert into a values (11); insert into b values (11); delete from a where id = 1;");
    lock_session.run("commit");
    expect_last_line(&running.finish(), 0, &["transferred 2 tables, 20 rows"]);
    assert_eq!(database.value("select string_agg(id::text, ' ' order by id) from a"), "1 2 3 4 5 6 7 8 9 10");
}

/// Three targets that make a transfer wait: a check at each row, an index, or a lock on a table. Each has the statement
/// that blocks it and the query that shows the wait.
const HOLDS: [(&str, &str); 3] = [
    ("alter table a add check (slow(id))", "COPY"),
    ("create index on a (slow(id))", "CREATE INDEX"),
    ("", "IN ACCESS EXCLUSIVE MODE"),
];
const SLOW: &str = "create function slow(id int) returns boolean immutable language plpgsql as \
     $$ begin if id = 3 then perform pg_sleep(current_setting('test.pause')::int); end if; return true; end $$;";

/// Creates a transfer into a table that makes it wait.
fn waiting_transfer(hold: &str) -> (PgDatabase<'static>, Run) {
    let database = database();
    let from = "create table a (id integer primary key); insert into a select value from generate_series(1, 100000);";
    let run = transfer_between(&database, from, &format!("create table a (id int primary key); {SLOW} {hold}"));
    set_pause(&database, 0);
    let up = Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off");
    up.env("LOCKKEEPER_DIR", run.dir().join("migrations").display().to_string()).output().expect_code(0);
    set_pause(&database, 600);
    (database, run)
}

fn set_pause(database: &PgDatabase<'_>, seconds: u32) {
    database.execute(&format!("alter database {} set test.pause = {seconds}", database.name()));
}

#[test]
fn sigterm_in_the_middle_leaves_the_target_as_it_was_and_no_session() {
    for (hold, query) in HOLDS {
        let (database, run) = waiting_transfer(hold);
        let before = database.dump_schema();
        let mut lock_session = hold.is_empty().then(|| database.session());
        if let Some(lock_session) = &mut lock_session {
            lock_session.run("begin; lock table a");
        }
        let running = run.spawn();
        wait_for_query(&database, query);
        let start = Instant::now();
        running.signal(Signal::TERM);
        let finished = running.finish();
        assert!(start.elapsed() < GRACE, "{query}: {finished}");
        expect_last_line(&finished, 143, &["transfer: stopped by SIGTERM", "nothing was changed", "run again"]);
        drop(lock_session);
        database.expect_no_session();
        assert_eq!(database.dump_schema(), before);
        assert_eq!(database.value("select count(*) from a"), "0");
        set_pause(&database, 0);
        expect_last_line(&run.output(), 0, &["transferred 1 table, 100000 rows"]);
    }
}

#[test]
fn sigkill_in_the_middle_leaves_the_target_as_it_was_and_a_rerun_works() {
    for (hold, query) in &HOLDS[..2] {
        let (database, run) = waiting_transfer(hold);
        let before = database.dump_schema();
        let running = run.spawn();
        wait_for_query(&database, query);
        running.kill();
        database.terminate_all();
        database.expect_no_session();
        assert_eq!(database.dump_schema(), before);
        assert_eq!(database.value("select count(*) from a"), "0");
        set_pause(&database, 0);
        expect_last_line(&run.output(), 0, &["transferred 1 table, 100000 rows"]);
        assert_eq!(database.dump_schema(), before);
    }
}

#[test]
fn another_run_is_waited_for_until_the_timeout() {
    let (database, run) = waiting_transfer(HOLDS[0].0);
    let holder = run.spawn();
    wait_for_query(&database, "COPY");
    assert_eq!(lock_holders(&database).len(), 1);
    let late = run.clone().env("LOCKKEEPER_LOCK_TIMEOUT", "1s").output();
    expect_last_line(&late, 75, &["another run held the lock", "nothing was changed"]);
    // For new sessions; the holder's session keeps waiting.
    set_pause(&database, 0);
    let waiter = run.spawn();
    waiter.wait_for("waiting for the lock");
    holder.signal(Signal::INT);
    expect_last_line(&holder.finish(), 130, &["stopped by SIGINT", "nothing was changed"]);
    expect_last_line(&waiter.finish(), 0, &["transferred 1 table, 100000 rows"]);
}

#[test]
fn terminating_the_session_leaves_the_target_unchanged() {
    for (hold, query) in &HOLDS[..2] {
        let (database, run) = waiting_transfer(hold);
        let running = run.spawn();
        wait_for_query(&database, query);
        database.terminate_all();
        expect_last_line(&running.finish(), 69, &["transfer: ", "nothing was changed", "run again"]);
        assert_eq!(database.value("select count(*) from a"), "0");
    }
}

#[test]
fn a_table_that_is_locked_for_long_ends_the_transfer() {
    let (database, run) = waiting_transfer("");
    let mut lock_session = database.session();
    lock_session.run("begin; lock table a");
    let finished = run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "500ms").output();
    expect_last_line(&finished, 82, &["transfer: ", "in use", "LOCKKEEPER_DDL_LOCK_TIMEOUT", "nothing was changed"]);
}

/// Creates a target with an index for a file of 20,000 rows, and measures how long the transfer takes.
fn measured(database: &PgDatabase<'_>) -> (Run, Duration) {
    let from = "create table a (id integer primary key, words text); \
         insert into a select value, printf('%0100d', value) from generate_series(1, 20000);";
    let run =
        transfer_between(database, from, "create table a (id int primary key, words text); create index on a (words);");
    expect_last_line(&run.output(), 0, &["20000 rows"]);
    database.execute("truncate a");
    let finished = run.output();
    expect_last_line(&finished, 0, &["20000 rows"]);
    (run, finished.elapsed)
}

/// Starts a run and returns at a random moment of its usual duration, or at its end.
fn at_some_moment(run: &Run, whole: Duration, random: &mut fastrand::Rng) -> Running {
    let mut running = run.spawn();
    let moment = Instant::now() + whole.mul_f64(random.f64());
    wait_until("the moment", DEFAULT_TIMEOUT, || Instant::now() >= moment || running.has_ended());
    running
}

/// A transfer is killed at random moments: all rows are there, or none.
#[test]
fn a_transfer_killed_at_any_moment_has_transferred_everything_or_nothing() {
    let mut random = fastrand::Rng::with_seed(kill::seed());
    let database = database();
    let (run, whole) = measured(&database);
    let before = database.dump_schema();
    for _ in 0..kill::repetitions(6) {
        database.execute("truncate a");
        let running = at_some_moment(&run, whole, &mut random);
        let finished = running.kill();
        database.expect_no_session();
        let rows = database.value("select count(*) from a");
        assert!(rows == "0" || rows == "20000", "{rows} rows: {finished}");
        assert_eq!(database.dump_schema(), before);
        let (code, words) = if rows == "0" { (0, "20000 rows") } else { (78, "has rows already") };
        expect_last_line(&run.output(), code, &[words]);
    }
}

/// A transfer is stopped at random moments: the last line says whether the rows are there.
#[test]
fn a_transfer_stopped_at_any_moment_reports_the_actual_state() {
    let mut random = fastrand::Rng::with_seed(kill::seed());
    let database = database();
    let (run, whole) = measured(&database);
    let before = database.dump_schema();
    for _ in 0..kill::repetitions(6) {
        database.execute("truncate a");
        let mut running = at_some_moment(&run, whole, &mut random);
        if !running.has_ended() {
            running.signal(Signal::TERM);
        }
        let finished = running.finish();
        database.expect_no_session();
        let rows = database.value("select count(*) from a");
        assert_eq!(database.dump_schema(), before);
        match (finished.code, &*rows) {
            (Some(0), "20000") => {}
            (Some(143), "20000") => expect_last_line(&finished, 143, &["everything was done"]),
            (Some(143), "0") => expect_last_line(&finished, 143, &["nothing was changed"]),
            // The signal arrived before the run handled it.
            (None, "0") => assert_eq!(finished.signal, Some(15), "{finished}"),
            _ => panic!("{rows} rows: {finished}"),
        }
    }
}
