//! Tests of `--plan`: what would run, or why it would not; and of the messages of the commands of a release.

use crate::contract::{ONE, THREE, TWO, expect_end, run_on};
use crate::support::binary::{Finished, Run};
use crate::support::either::Database;
use crate::verbs_stamp::{MASKS, history};

const DOWN_TWO: (&str, &str) = ("0002_two.down.sql", "drop table two;\n");
const DOWN_THREE: (&str, &str) = ("0003_three.down.sql", "-- statement-timeout: 3s\ndrop table three;\n");

/// Compares the output and the log of a run with a snapshot.
macro_rules! assert_output {
    ($name:expr, $finished:expr) => {{
        let finished: Finished = $finished.clone();
        insta::with_settings!({filters => MASKS.iter().copied()}, {
            insta::assert_snapshot!($name, format!("{}----\n{}", finished.stdout, finished.stderr));
        })
    }};
}

fn plan(run: &Run, arguments: &[&str]) -> Finished {
    run.clone().args(arguments.iter().copied()).arg("--plan").output()
}

fn a_plan_shows_what_would_run_and_changes_nothing<D: Database>() {
    let database = D::create("plan");
    let run = run_on(&database, &[ONE, TWO, THREE, DOWN_TWO, DOWN_THREE]);
    let finished = plan(&run, &["upgrade"]);
    assert_output!("fresh", finished.expect_code(0));
    assert!(!database.has_table("lockkeeper_history"), "{finished}");
    expect_end(&run.clone().args(["upgrade", "0002"]), 0, &["up to date at 0002"]);
    let before = database.query("select * from lockkeeper_history");
    let careful = run.clone().env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    assert_output!("next", plan(&careful, &["upgrade"]).expect_code(0));
    assert_output!("next_json", plan(&careful, &["--json", "upgrade", "+1"]).expect_code(0));
    assert_output!("back", plan(&careful, &["downgrade", "-1"]).expect_code(0));
    assert_output!("nothing", plan(&careful, &["upgrade", "0002"]).expect_code(0));
    assert_eq!(database.query("select * from lockkeeper_history"), before);
    assert!(!run.dir().join("safe").exists(), "a plan takes no backup");
}

fn a_plan_shows_why_nothing_would_run<D: Database>() {
    let database = D::create("plan");
    let run = run_on(&database, &[ONE, TWO, ("0003_three.up.sql", "begin;\nvacuum;\n")]);
    assert_output!("refused", plan(&run, &["upgrade"]).expect_code(65));
    assert!(!database.has_table("lockkeeper_history"));
    let run = run.migrations(&[("0003_three.up.sql", "-- irreversible: rows are gone\nselect 1;\n")]);
    expect_end(&run, 0, &["up to date at 0003"]);
    assert_output!("no_way_back", plan(&run, &["downgrade", "base"]).expect_code(65));
    assert_output!("past_base", plan(&run, &["downgrade", "-4"]).expect_code(64));
    assert_eq!(history(&database), "0001 applied, 0002 applied, 0003 applied");
}

fn a_plan_shows_where_an_unfinished_file_resumes<D: Database>() {
    let database = D::create("plan");
    let unfinished =
        "-- no-transaction\n-- lock-timeout: 2s\ncreate table two (id int);\nselect nothing from nowhere;\n";
    let run = run_on(&database, &[ONE, ("0002_two.up.sql", unfinished)]);
    expect_end(&run, 81, &["0002_two.up.sql:4"]);
    assert_output!("unfinished", plan(&run, &["upgrade"]).expect_code(0));
    assert_output!("unfinished_json", plan(&run, &["upgrade", "--json"]).expect_code(0));
}

fn the_commands_of_a_release_report_what_they_did<D: Database>() {
    let database = D::create("verbs");
    let run = run_on(&database, &[ONE, TWO, THREE, DOWN_TWO, DOWN_THREE]);
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", "safe");
    for (name, arguments, code) in [
        ("wait", &["wait"][..], 0),
        ("check_pending", &["check"], 2),
        ("upgrade_fresh", &["upgrade", "0002"], 0),
        ("upgrade_next", &["upgrade"], 0),
        ("upgrade_nothing", &["upgrade"], 0),
        ("check_settled", &["check"], 0),
        ("wait_migrated", &["wait", "--migrated"], 0),
        ("downgrade", &["downgrade", "-2"], 0),
        ("downgrade_nothing", &["downgrade", "0001"], 0),
        ("backup", &["backup"], 0),
    ] {
        assert_output!(name, run.clone().args(arguments.iter().copied()).output().expect_code(code));
    }
    let json = run.clone().args(["upgrade", "--json"]).output();
    insta::with_settings!({filters => [MASKS, &[(r#""duration_ms":\d+"#, r#""duration_ms":[n]"#)]].concat()}, {
        insta::assert_snapshot!("upgrade_json", json.expect_code(0).stdout);
    });
}

on_either!(
    a_plan_shows_what_would_run_and_changes_nothing,
    a_plan_shows_why_nothing_would_run,
    a_plan_shows_where_an_unfinished_file_resumes,
    the_commands_of_a_release_report_what_they_did,
);
