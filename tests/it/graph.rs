//! The graph that `-- depends:` makes of the revisions: what is wrong with it, and in which order it is applied.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::contract::{expect_end, remove, run_on};
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::free_port;
use crate::support::postgres::PASSWORD;

/// Runs that must not come as far as asking a server: this one is not there.
fn without_server(files: &[(&str, &str)]) -> Run {
    let url = format!("postgresql://someone:{PASSWORD}@127.0.0.1:{}/nowhere", free_port());
    Run::new().url(&url).env("LOCKKEEPER_WAIT_TIMEOUT", "1ms").migrations(files)
}

const COMMANDS: [&[&str]; 4] = [&["upgrade"], &["downgrade", "base"], &["check"], &["upgrade", "--sql", "base:head"]];

/// A script that leaves a table, and the order in which the tables were made in `log`.
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

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

fn order(database: &impl Database) -> String {
    database.query("select id from log order by n").replace('\n', " ").trim_end().to_owned()
}

/// 43
#[test]
fn everything_wrong_with_a_graph_and_its_files_is_said_at_once_without_a_server() {
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
        "0006_g.sql depends on 0077, which is not in the folder",
        "0008_h.sql:1: ",
        "0010_j.sql:1: ",
        "did you mean depends?",
        "strange.sql",
        "nothing was changed",
        "lockkeeper check",
    ];
    for command in COMMANDS {
        let finished = expect_end(&without_server(&files).args(command.iter().copied()), 65, &parts);
        // What is there, only not readable, is not missed as a parent.
        finished.does_not_say("depends on 0008");
        assert_eq!(finished.stdout, "", "{finished}");
    }
}

/// 43
#[test]
fn every_circle_is_named_and_what_merely_rests_on_one_is_not() {
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

/// 43: three heads are three names, whichever verb asks for the one head.
#[test]
fn several_heads_are_named_with_the_way_to_join_them() {
    let files =
        [("0001_a.sql", ""), ("0002_b.sql", ""), ("0003_c.sql", "-- depends: 1\n"), ("0004_d.sql", "-- depends: 1\n")];
    let parts = [
        "the folder has 3 heads: 0002_b.sql, 0003_c.sql, 0004_d.sql",
        "lockkeeper merge -m \"merge 0002 and 0003 and 0004\"",
    ];
    let commands: [&[&str]; 5] =
        [&[], &["upgrade", "head-1"], &["downgrade", "head"], &["check"], &["upgrade", "--sql", "base:head"]];
    for command in commands {
        expect_end(&without_server(&files).args(command.iter().copied()), 65, &parts);
    }
}

/// Numbers may go against the graph, dates of files say nothing, and nobody's choice depends on chance.
fn the_order_is_the_graphs_then_the_numbers<D: Database>() {
    let files = steps(&[
        ("0009", "-- depends:"),
        ("0008", "-- depends: 0009"),
        ("0002", "-- depends: 0008"),
        ("0001", "-- depends: 0002"),
        ("0003", "-- depends: 0008 0008 8"),
        ("0010", "-- depends: 0001, 0003"),
        ("0011", ""),
    ]);
    let wanted = "0009 0008 0002 0001 0003 0010 0011";
    let mut shuffled = borrowed(&files);
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
        assert_eq!(order(&database), wanted, "turn {turn}");
    }
}

/// Two teams, two branches: the other's older revision came by a merge, and says what it rests on.
fn a_merged_branchs_older_revision_is_applied_where_it_says_what_it_rests_on<D: Database>() {
    let ours = steps(&[("0001", ""), ("0003", "-- depends: 0001")]);
    let database = D::create("either");
    let run = run_on(&database, &borrowed(&ours));
    expect_end(&run, 0, &["up to date at 0003"]);
    let run = run.migrations(&borrowed(&steps(&[("0002", "-- depends: 0001")])));
    expect_end(&run.clone().arg("check"), 65, &["2 heads: 0002_x.sql, 0003_x.sql"]);
    let run = run.migrations(&borrowed(&steps(&[("0004", "-- depends: 0002 0003")])));
    expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    expect_end(&run, 0, &["up to date at 0004: 2 revisions applied"]);
    assert_eq!(order(&database), "0001 0003 0002 0004");

    // Whoever had the other branch gets to the same place.
    let database = D::create("either");
    let run = run.url(&database.url());
    remove(&run, "0003_x.sql");
    remove(&run, "0004_x.sql");
    expect_end(&run, 0, &["up to date at 0002"]);
    let run = run.migrations(&borrowed(&ours)).migrations(&borrowed(&steps(&[("0004", "-- depends: 0002 0003")])));
    expect_end(&run, 0, &["up to date at 0004: 2 revisions applied"]);
    assert_eq!(order(&database), "0001 0002 0003 0004");
}

/// 42: the newer one rests on it by its number, and was applied without it.
fn a_merged_branchs_older_revision_is_refused_where_nothing_is_said<D: Database>() {
    let database = D::create("either");
    let run = run_on(&database, &borrowed(&steps(&[("0001", ""), ("0004", ""), ("0005", "")])));
    expect_end(&run, 0, &[]);
    let run = run.migrations(&borrowed(&steps(&[("0002", ""), ("0003", "")])));
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
    // Going back to before the gap is a way out, too.
    let back = [("0004_x.down.sql", "select 1;"), ("0005_x.down.sql", "select 1;")];
    let run = run.migrations(&back);
    for name in ["0004_x", "0005_x"] {
        let folder = run.dir().join("migrations");
        fs::rename(folder.join(format!("{name}.sql")), folder.join(format!("{name}.up.sql"))).expect("rename");
    }
    expect_end(&run.clone().args(["downgrade", "0001"]), 0, &["up to date at 0001: 2 revisions undone"]);
    expect_end(&run, 0, &["up to date at 0005: 4 revisions applied"]);
}

/// A second base: a history of its own that is joined later.
fn a_revision_may_rest_on_nothing<D: Database>() {
    let files = steps(&[("0001", ""), ("0002", "-- depends:"), ("0003", "-- depends: 0001 0002")]);
    let database = D::create("either");
    let run = run_on(&database, &borrowed(&files));
    expect_end(&run.clone().args(["upgrade", "0002"]), 0, &["up to date at 0002: 1 revision applied"]);
    expect_end(&run.clone().args(["upgrade", "base+1"]), 64, &["base+1", "several ways (0001, 0002)"]);
    expect_end(&run, 0, &["up to date at 0003: 2 revisions applied"]);
    assert_eq!(order(&database), "0002 0001 0003");
}

/// The state is the set of what is applied: two branches are two places at once.
fn the_place_of_a_database_may_be_several_revisions<D: Database>() {
    let files = steps(&[("0001", ""), ("0002", "-- depends: 1"), ("0003", "-- depends: 1")]);
    let database = D::create("either");
    let run = run_on(&database, &borrowed(&files));
    expect_end(&run.clone().args(["upgrade", "heads"]), 0, &["up to date at 0002, 0003: 3 revisions applied"]);
    expect_end(&run.clone().args(["upgrade", "heads"]), 0, &["nothing pending, the database is at 0002, 0003"]);
}

on_either!(
    the_order_is_the_graphs_then_the_numbers,
    a_merged_branchs_older_revision_is_applied_where_it_says_what_it_rests_on,
    a_merged_branchs_older_revision_is_refused_where_nothing_is_said,
    a_revision_may_rest_on_nothing,
    the_place_of_a_database_may_be_several_revisions,
);
