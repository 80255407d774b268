//! Tests of several commands at once on one database, in any order: each ends with a valid code, and history, schema
//! and backups agree.
//!
//! The long form. A failure prints the seed, which LOCKKEEPER_TEST_SEED sets:
//!
//! ```text
//! LOCKKEEPER_TEST_KILLS=100 tests/run --test it random_verbs -- --nocapture
//! ```

use std::thread;
use std::time::Duration;

use crate::contract::{expect_end, run_on};
use crate::support::binary::{Finished, Running};
use crate::support::either::Database;
use crate::support::kill::{repetitions, seed};
use crate::support::ledger::{self, REVISIONS};

/// The commands that are run at once, and the codes that they may end with: nothing here can fail.
const COMMANDS: [(&[&str], &[i32]); 11] = [
    (&["upgrade"], &[0]),
    (&["upgrade"], &[0]),
    (&["upgrade", "0005"], &[0]),
    (&["downgrade", "base"], &[0]),
    (&["upgrade", "--plan"], &[0]),
    (&["upgrade", "--sql"], &[0]),
    (&["check"], &[0, 2]),
    (&["backup"], &[0]),
    (&["history"], &[0]),
    (&["current"], &[0]),
    (&["repair", "--yes"], &[0]),
];
const AT_ONCE: usize = 6;

/// Commands that only read do so without the lock. A revision that another run is applying or undoing without a
/// transaction looks unfinished to them, and some plans are refused because of it.
const READING: [&[&str]; 3] = [&["upgrade", "--plan"], &["upgrade", "--sql"], &["check"]];

fn has_met_an_unfinished_revision(arguments: &[&str], finished: &Finished) -> bool {
    let words = ["is half undone; finish that first", "stopped part way; finish it"];
    READING.contains(&arguments)
        && finished.code == Some(65)
        && words.iter().any(|words| finished.stderr.contains(words))
}

fn commands_at_once_leave_history_schema_and_backups_in_agreement<D: Database>() {
    let mut random = fastrand::Rng::with_seed(seed());
    let database = D::create("verbs");
    ledger::prepare(&database);
    let files = ledger::files::<D>();
    let run = run_on(&database, &ledger::as_str_pairs(&files))
        .env("LOCKKEEPER_BACKUP", "required")
        .env("LOCKKEEPER_BACKUP_DIR", "backups")
        .env("LOCKKEEPER_BACKUP_KEEP", "1000");
    for round in 1..=repetitions(2) {
        let mut verbs = COMMANDS.to_vec();
        random.shuffle(&mut verbs);
        let mut started: Vec<(&[&str], &[i32], Running)> = Vec::new();
        for (arguments, codes) in verbs.into_iter().take(AT_ONCE) {
            started.push((arguments, codes, run.clone().args(arguments.iter().copied()).spawn()));
            thread::sleep(Duration::from_millis(random.u64(..60)));
        }
        let mut outputs = String::new();
        for (arguments, codes, running) in started {
            let finished = running.finish();
            outputs += &format!("--- {arguments:?} in round {round}\n{finished}\n");
            let allowed = finished.code.is_some_and(|code| codes.contains(&code));
            assert!(allowed || has_met_an_unfinished_revision(arguments, &finished), "{arguments:?}: {finished}");
        }
        ledger::expect_consistent(&database, &outputs);
    }
    expect_end(&run, 0, &["0012"]);
    ledger::expect_at(&database, REVISIONS, "after the last upgrade");
    ledger::expect_consistent(&database, "after the last upgrade");
    let listed = run.clone().arg("backups").output();
    listed.expect_code(0).does_not_say("unverified");
    assert!(listed.stdout.contains("verified"), "{listed}");
    let newest = listed.stdout.lines().last().and_then(|line| line.split_whitespace().last());
    let newest = newest.expect("a backup").to_owned();
    // The backup before the last change is restored, and an upgrade continues from there.
    expect_end(&run.clone().args(["restore", "--yes", &newest]), 0, &[]);
    ledger::expect_consistent(&database, "after the restore");
    expect_end(&run, 0, &["0012"]);
    ledger::expect_at(&database, REVISIONS, "after the upgrade of what was restored");
}

on_either!(commands_at_once_leave_history_schema_and_backups_in_agreement);
