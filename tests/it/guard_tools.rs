//! Tests of `lockkeeper guard` with the real Alembic, Django and ActiveRecord.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::binary::{Finished, Running};
use crate::support::either::Database;
use crate::support::guarded::{backups, expect_no_history_of_ours, guarded};
use crate::support::kill::{repetitions, seed};
use crate::support::migration_tools::MigrationTool;
use crate::support::process::send_signal;

on_either!(
    ten_starts_of_alembic_apply_once_and_take_one_backup,
    ten_starts_of_django_apply_once_and_take_one_backup,
    ten_starts_of_active_record_apply_once_and_take_one_backup,
    alembic_is_rehearsed_on_a_copy,
    django_is_rehearsed_on_a_copy,
    active_record_is_rehearsed_on_a_copy,
    a_failing_migration_of_alembic_is_rolled_back_and_its_output_is_logged,
    alembic_converges_whoever_is_killed,
    django_converges_whoever_is_killed,
    active_record_converges_whoever_is_killed,
);

/// Creates a database with a table that no tool has made.
fn database<D: Database>() -> D {
    let database = D::create("guard_tool");
    database.feed("create table kept (a int);").expect("a table");
    database
}

/// Panics unless the database has everything that the project makes, once.
#[track_caller]
fn expect_migrated<D: Database>(database: &D) {
    assert_eq!(database.query("select count(*) from item"), "300\n");
    assert_eq!(database.query("select count(*) from label"), "0\n");
}

fn ten_at_once<D: Database>(tool: MigrationTool) {
    let database = database::<D>();
    let (run, _) = tool.guard(&database.url(), &[]);
    let running: Vec<Running> = (0..10).map(|_| run.spawn()).collect();
    let finished: Vec<Finished> = running.into_iter().map(Running::finish).collect();
    for finished in &finished {
        finished.expect_code(0).does_not_say("without --pending-command");
    }
    let done = format!("{} ended with 0, the database has moved from base to {}, backup ", tool.shown(), tool.head());
    assert_eq!(finished.iter().filter(|finished| finished.stderr.contains(&done)).count(), 1);
    let [backup] = backups(&run).try_into().expect("one backup");
    assert_eq!(guarded(&backup)["to_revision"], tool.head());
    expect_migrated(&database);
    expect_no_history_of_ours(&database);
    let again = run.output();
    again.expect_code(0).says(&format!("nothing pending, the database is at {}", tool.head()));
}

fn ten_starts_of_alembic_apply_once_and_take_one_backup<D: Database>() {
    ten_at_once::<D>(MigrationTool::Alembic);
}

fn ten_starts_of_django_apply_once_and_take_one_backup<D: Database>() {
    ten_at_once::<D>(MigrationTool::Django);
}

fn ten_starts_of_active_record_apply_once_and_take_one_backup<D: Database>() {
    ten_at_once::<D>(MigrationTool::ActiveRecord);
}

fn rehearsed<D: Database>(tool: MigrationTool) {
    let database = database::<D>();
    let (run, _) = tool.guard(&database.url(), &["--rehearse"]);
    let finished = run.output();
    finished.expect_code(0).says(&format!("rehearsed on the backup: {} has led to {}", tool.shown(), tool.head()));
    expect_migrated(&database);
}

fn alembic_is_rehearsed_on_a_copy<D: Database>() {
    rehearsed::<D>(MigrationTool::Alembic);
}

fn django_is_rehearsed_on_a_copy<D: Database>() {
    rehearsed::<D>(MigrationTool::Django);
}

fn active_record_is_rehearsed_on_a_copy<D: Database>() {
    rehearsed::<D>(MigrationTool::ActiveRecord);
}

fn a_failing_migration_of_alembic_is_rolled_back_and_its_output_is_logged<D: Database>() {
    let database = database::<D>();
    let (run, _) = MigrationTool::Alembic.guard(&database.url(), &[]);
    let broken = "from alembic import op\nrevision = 'd4'\ndown_revision = 'c3'\n\ndef upgrade():\n    \
                  op.execute('create table half (a int)')\n    op.execute('insert into nosuch values (1)')\n";
    let finished = run.file("alembic/versions/d4.py", broken).output();
    finished.expect_code(80).says("nosuch").says("alembic upgrade head: it ended with the exit code 1");
    finished.says("its history has moved from base to c3; what it has committed is kept").says("lockkeeper restore ");
    assert!(!database.has_table("half"));
}

/// Kills Lockkeeper or the command at random moments, each time on a new database, until a run has ended well.
fn converges<D: Database>(tool: MigrationTool) {
    const KILLS: usize = 2;
    let mut random = fastrand::Rng::with_seed(seed());
    let mut left = repetitions(KILLS);
    let undisturbed = {
        let start = Instant::now();
        tool.guard(&database::<D>().url(), &[]).0.output().expect_code(0);
        start.elapsed()
    };
    while left > 0 {
        let database = database::<D>();
        let (run, _) = tool.guard(&database.url(), &[]);
        let mut log = String::new();
        while left > 0 {
            let mut running = run.spawn();
            let moment = Instant::now() + undisturbed.mul_f64(random.f64());
            while Instant::now() < moment && !running.has_ended() {
                thread::sleep(Duration::from_millis(1));
            }
            let command = command_of(&running).filter(|_| random.bool());
            let finished = match command {
                Some(command) => {
                    send_signal(command, Signal::KILL);
                    running.finish()
                }
                None => running.kill(),
            };
            left -= 1;
            log.push_str(&format!("--- killed {command:?}\n{finished}"));
            assert!(matches!(finished.code, None | Some(0 | 83)), "{log}");
            if finished.code == Some(0) {
                break;
            }
        }
        let last = run.output();
        assert_eq!(last.code, Some(0), "{log}--- last\n{last}");
        expect_migrated(&database);
    }
}

/// Returns the process id of the command that runs at the moment: the child of the supervisor.
fn command_of(running: &Running) -> Option<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let texts = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        texts
            .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
            .collect()
    };
    let is_supervisor =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("supervise"));
    children(running.pid()).into_iter().filter(is_supervisor).flat_map(children).next()
}

fn alembic_converges_whoever_is_killed<D: Database>() {
    converges::<D>(MigrationTool::Alembic);
}

fn django_converges_whoever_is_killed<D: Database>() {
    converges::<D>(MigrationTool::Django);
}

fn active_record_converges_whoever_is_killed<D: Database>() {
    converges::<D>(MigrationTool::ActiveRecord);
}
