//! Case 25, the other way: a downgrade that is killed at any moment and started again ends as if nothing had happened.
//!
//! LOCKKEEPER_TEST_SEED repeats the moments of an earlier test, LOCKKEEPER_TEST_KILLS sets their number.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::contract::{ends, run_on};
use crate::support::either::Database;

const REVISIONS: usize = 15;
const KILLS: u64 = 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn is_transactional(number: usize) -> bool {
    number % 4 != 3
}

/// Every way back notes in `undone` that it was gone; those in a transaction may do so once only.
fn files(busy: &str) -> Vec<(String, String)> {
    let both = |number: usize| {
        let up = format!("create table t_{number} (id integer);\n");
        let down = match is_transactional(number) {
            true => format!("drop table t_{number};\n{busy};\ninsert into undone values ({number});\n"),
            false => format!(
                "-- no-transaction\ndrop table if exists t_{number};\n{busy};\n\
                 insert into again values ({number}) on conflict do nothing;\n"
            ),
        };
        [(format!("{number:04}_x.up.sql"), up), (format!("{number:04}_x.down.sql"), down)]
    };
    (1..=REVISIONS).flat_map(both).collect()
}

fn a_way_back_converges_however_often_it_is_killed<D: Database>() {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let seed = setting("LOCKKEEPER_TEST_SEED").unwrap_or(now);
    println!("LOCKKEEPER_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let busy = match D::DIALECT {
        "sqlite" => {
            "with recursive c (x) as (select 1 union all select x + 1 from c where x < 20000) select max(x) from c"
        }
        _ => "select pg_sleep(0.005)",
    };
    let files = files(busy);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let database = D::create("kill_back");
    let up = run_on(&database, &files);
    let down = up.clone().args(["downgrade", "base"]);
    database.query("create table undone (id integer primary key)");
    database.query("create table again (id integer primary key)");
    ends(&up, 0, &[]);
    let undisturbed = ends(&down, 0, &["15 revisions undone"]);
    let state = || {
        let notes =
            ["undone", "again"].map(|table| database.query(&format!("select id from {table} order by id")));
        (database.schema(), database.history(), notes)
    };
    let expected = state();
    let mut kills = 0;
    while kills < setting("LOCKKEEPER_TEST_KILLS").unwrap_or(KILLS) {
        database.query("delete from undone");
        database.query("delete from again");
        ends(&up, 0, &["15 revisions applied"]);
        let mut log = String::new();
        loop {
            let mut running = down.spawn();
            let moment = Instant::now() + undisturbed.elapsed.mul_f64(random.f64());
            while Instant::now() < moment && !running.has_ended() {
                thread::sleep(Duration::from_millis(1));
            }
            if running.has_ended() {
                running.finish().expect_code(0);
                break;
            }
            log.push_str(&format!("--- killed\n{}", running.kill()));
            kills += 1;
        }
        assert_eq!(state(), expected, "after {kills} kills with seed {seed}: {log}");
    }
}

on_either!(a_way_back_converges_however_often_it_is_killed);
