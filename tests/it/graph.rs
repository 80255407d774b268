//! Tests of the graph that `-- depends:` makes of the revisions: its errors, and the order in which it is applied.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::contract::{expect_end, remove, run_on};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::free_port;
use crate::support::postgres::PASSWORD;

/// A run that must not connect to a server: this one does not exist.
fn without_server(files: &[(&str, &str)]) -> Run {
    let url = format!("postgresql://someone:{PASSWORD}@127.0.0.1:{}/nowhere", free_port());
    Run::new().url(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "1ms").migrations(files)
}

const COMMANDS: [&[&str]; 4] = [&["upgrade"], &["downgrade", "base"], &["check"], &["upgrade", "--sql", "base:head"]];

/// Returns a script that creates a table and inserts its name into `log`, so that the order can be checked.
fn step(id: &str, header: &str) -> (String, String) {
    let text = format!(
        "{header}\ncreate table if not exists log (n integer primary key, id text);\n\
         insert into log select count(*), '{id}' from log;\n"
    );
    (format!("{id}_x.sql"), text)
}

fn steps(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(id, header)| step(id, header)).collect()
}

fn as_str_pairs(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

fn order(database: &impl Database) -> String {
    database.query("select id from log order by n").replace('\n', " ").trim_end().to_owned()
}

/// One message names all errors of the graph and of the files.
#[test]
fn all_errors_of_a_graph_and_its_files_are_named_at_once_without_a_server() {
    let files = [
        ("0001_a.sql", ""),
        ("0002_b.sql", ""),
        ("0002_c.sql", ""),
        ("0003_d.sql", "-- depends: 0005\n"),
        ("0004_e.sql", "-- depends: 0003\n"),
        ("0005_f.sql", "-- depends: 0004\n"),
        ("0006_g.sql", "-- depends: 0077 0001\n"),
        ("0008_h.sql", "-- lock-timeout: never\n"),
        ("0009_i.sql", "-- depends: 0008\n"),
        ("0010_j.sql", "-- dependz: 0001\n"),
        ("strange.sql", ""),
    ];
    let parts = [
        "0002_b.sql, 0002_c.sql",
        "in a circle: 0003_d.sql, 0005_f.sql, 0004_e.sql",
        "0006_g.sql depends on 0077, which is not in the directory",
        "0008_h.sql:1: ",
        "0010_j.sql:1: ",
        "did you mean depends?",
        "strange.sql",
        "nothing was changed",
        "lockkeeper check",
    ];
    for command in COMMANDS {
        let finished = expect_end(&without_server(&files).args(command.iter().copied()), 65, &parts);
        // A file that exists but cannot be read is not reported as a missing parent.
        finished.does_not_say("depends on 0008");
        assert_eq!(finished.stdout, "", "{finished}");
    }
}

/// A cycle is named with its members, and not with revisions that only depend on it.
#[test]
fn every_cycle_is_named_without_the_revisions_that_only_depend_on_it() {
    let files = [
        ("0001_a.sql", "-- depends: 0002\n"),
        ("0002_b.sql", "-- depends: 0001\n"),
        ("0003_c.sql", ""),
        ("0004_d.sql", "-- depends: 0006\n"),
        ("0005_e.sql", "-- depends: 0004\n"),
        ("0006_f.sql", "-- depends: 0005\n"),
        ("0007_g.sql", "-- depends: 0007 0003\n"),
    ];
    for command in COMMANDS {
        let circle = "these revisions depend on each other in a circle: ";
        let finished = expect_end(
            &without_server(&files).args(command.iter().copied()),
            65,
            &[
                &format!("{circle}0001_a.sql, 0002_b.sql;"),
                &format!("{circle}0004_d.sql, 0006_f.sql, 0005_e.sql;"),
                &format!("{circle}0007_g.sql"),
            ],
        );
        finished.does_not_say("0003_c.sql");
    }
}

/// Every command that needs one head names three heads by their names.
#[test]
fn several_heads_are_named_with_the_command_that_merges_them() {
    let files =
        [("0001_a.sql", ""), ("0002_b.sql", ""), ("0003_c.sql", "-- depends: 1\n"), ("0004_d.sql", "-- depends: 1\n")];
    let parts = [
        "the directory has 3 heads: 0002_b.sql, 0003_c.sql, 0004_d.sql",
        "lockkeeper merge -m \"merge 0002 and 0003 and 0004\"",
    ];
    let commands: [&[&str]; 5] =
        [&[], &["upgrade", "head-1"], &["downgrade", "head"], &["check"], &["upgrade", "--sql", "base:head"]];
    for command in commands {
        expect_end(&without_server(&files).args(command.iter().copied()), 65, &parts);
    }
}

/// The order does not depend on the file numbers, the dates of files, or chance.
fn revisions_are_ordered_by_the_graph_and_then_by_number<D: Database>() {
    let files = steps(&[
        ("0009", "-- depends:"),
        ("0008", "-- depends: 0009"),
        ("0002", "-- depends: 0008"),
        ("0001", "-- depends: 0002"),
        ("0003", "-- depends: 0008 0008 8"),
        ("0010", "-- depends: 0001, 0003"),
        ("0011", ""),
    ]);
    let expected = "0009 0008 0002 0001 0003 0010 0011";
    let mut shuffled = as_str_pairs(&files);
    for turn in 0..3 {
        shuffled.rotate_left(2);
        let database = D::create("either");
        let run = run_on(&database, &shuffled);
        for (index, (name, _)) in shuffled.iter().enumerate() {
            let file = File::options().append(true).open(run.dir().join("migrations").join(name));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 * (index as u64 + 1));
            file.and_then(|file| file.set_modified(time)).expect("set the time of a file");
        }
        expect_end(&run, 0, &["up to date at 0011: 7 revisions applied"]);
        assert_eq!(order(&database), expected, "turn {turn}");
    }
}

/// Two teams work on two branches: the other team's older revision came by a merge and declares its parent.
fn an_older_revision_of_a_merged_branch_is_applied_when_it_declares_its_parent<D: Database>() {
    let own_steps = steps(&[("0001", ""), ("0003", "-- depends: 0001")]);
    let database = D::create("either");
    let run = run_on(&database, &as_str_pairs(&own_steps));
    expect_end(&run, 0, &["up to date at 0003"]);
    let run = run.migrations(&as_str_pairs(&steps(&[("0002", "-- depends: 0001")])));
    expect_end(&run.clone().arg("check"), 65, &["2 heads: 0002_x.sql, 0003_x.sql"]);
    let run = run.migrations(&as_str_pairs(&steps(&[("0004", "-- depends: 0002 0003")])));
    expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    expect_end(&run, 0, &["up to date at 0004: 2 revisions applied"]);
    assert_eq!(order(&database), "0001 0003 0002 0004");

    // A database with the other branch ends in the same state.
    let database = D::create("either");
    let run = run.url(&database.url());
    remove(&run, "0003_x.sql");
    remove(&run, "0004_x.sql");
    expect_end(&run, 0, &["up to date at 0002"]);
    let run = run
        .migrations(&as_str_pairs(&own_steps))
        .migrations(&as_str_pairs(&steps(&[("0004", "-- depends: 0002 0003")])));
    expect_end(&run, 0, &["up to date at 0004: 2 revisions applied"]);
    assert_eq!(order(&database), "0001 0002 0003 0004");
}

/// The newer revision depends on the older one by its number, and was applied without it.
fn an_older_revision_of_a_merged_branch_is_refused_without_a_declared_parent<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &as_str_pairs(&steps(&[("0001", ""), ("0004", ""), ("0005", "")])));
    expect_end(&run, 0, &[]);
    let run = run.migrations(&as_str_pairs(&steps(&[("0002", ""), ("0003", "")])));
    let parts = [
        "0002_x.sql is out of order: 0004 is applied already and comes after 0002",
        "0003_x.sql is out of order: 0004 is applied already and comes after 0003",
        "newer number",
        "-- depends:",
        "nothing was changed",
    ];
    for command in [&["upgrade"][..], &["check"], &["upgrade", "0005"], &["upgrade", "--sql"]] {
        expect_end(&run.clone().args(command.iter().copied()), 65, &parts);
    }
    assert_eq!(order(&database), "0001 0004 0005");
    // Downgrading to before the gap is a solution, too.
    let down_files = [("0004_x.down.sql", "select 1;"), ("0005_x.down.sql", "select 1;")];
    let run = run.migrations(&down_files);
    for name in ["0004_x", "0005_x"] {
        let directory = run.dir().join("migrations");
        fs::rename(directory.join(format!("{name}.sql")), directory.join(format!("{name}.up.sql"))).expect("rename");
    }
    expect_end(&run.clone().args(["downgrade", "0001"]), 0, &["up to date at 0001: 2 revisions undone"]);
    expect_end(&run, 0, &["up to date at 0005: 4 revisions applied"]);
}

/// A second base is a history of its own that is merged later.
fn a_revision_may_have_no_parent<D: Database>() {
    let files = steps(&[("0001", ""), ("0002", "-- depends:"), ("0003", "-- depends: 0001 0002")]);
    let database = D::create("either");
    let run = run_on(&database, &as_str_pairs(&files));
    expect_end(&run.clone().args(["upgrade", "0002"]), 0, &["up to date at 0002: 1 revision applied"]);
    expect_end(&run.clone().args(["upgrade", "base+1"]), 64, &["base+1", "several ways (0001, 0002)"]);
    expect_end(&run, 0, &["up to date at 0003: 2 revisions applied"]);
    assert_eq!(order(&database), "0002 0001 0003");
}

/// The state of a database is the set of its applied revisions: two branches are two current revisions.
fn a_database_may_have_several_current_revisions<D: Database>() {
    let files = steps(&[("0001", ""), ("0002", "-- depends: 1"), ("0003", "-- depends: 1")]);
    let database = D::create("either");
    let run = run_on(&database, &as_str_pairs(&files));
    expect_end(&run.clone().args(["upgrade", "heads"]), 0, &["up to date at 0002, 0003: 3 revisions applied"]);
    expect_end(&run.clone().args(["upgrade", "heads"]), 0, &["nothing pending, the database is at 0002, 0003"]);
}

on_either!(
    revisions_are_ordered_by_the_graph_and_then_by_number,
    an_older_revision_of_a_merged_branch_is_applied_when_it_declares_its_parent,
    an_older_revision_of_a_merged_branch_is_refused_without_a_declared_parent,
    a_revision_may_have_no_parent,
    a_database_may_have_several_current_revisions,
);
