//! Tests of an application that writes while runs migrate and are killed at random moments: every row that was
//! acknowledged to it exists in the end.
//!
//! The long form. A failure prints the seed, which LOCKKEEPER_TEST_SEED sets:
//!
//! ```text
//! LOCKKEEPER_TEST_KILLS=100 tests/run --test it random_writer -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::contract::run_on;
use crate::support::either::Database;
use crate::support::kill::Kills;
use crate::support::ledger::{self, REVISIONS};

/// The database's own shell, which writes a row and waits for the acknowledgement before the next one.
struct Application {
    program: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    acknowledged: BTreeSet<u64>,
}

impl Application {
    fn start<D: Database>(database: &D) -> Self {
        let mut command = database.shell();
        match D::DIALECT {
            "postgres" => command.args(["-q", "-A", "-t"]),
            _ => command.arg("-batch"),
        };
        let mut program =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a program");
        let input = program.stdin.take().expect("a piped stdin");
        let output = BufReader::new(program.stdout.take().expect("a piped stdout"));
        let mut application = Self { program, input, output, acknowledged: BTreeSet::new() };
        if D::DIALECT == "sqlite" {
            application.send_line(".timeout 30000");
        }
        application
    }

    fn send_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the application's program has ended");
        self.input.flush().expect("the application's program has ended");
    }

    /// Writes row after row until it is stopped, one in three in a transaction with a second statement.
    fn write(mut self, stop: &AtomicBool) -> BTreeSet<u64> {
        for number in 1.. {
            let insert = format!("insert into rows_of_app (id) values ({number});");
            let statements = match number % 3 {
                0 => format!("begin; update old set id = id where id = 1; {insert} commit;"),
                _ => insert,
            };
            // A COMMIT that fails leaves the transaction open in SQLite: then this BEGIN fails, and the row is lost.
            self.send_line(&format!(
                "{statements} begin; rollback; select id from rows_of_app where id = {number}; select 'end';"
            ));
            let mut answer = Vec::new();
            loop {
                let mut line = String::new();
                self.output.read_line(&mut line).expect("the application's output");
                match line.trim() {
                    "end" | "" => break,
                    other => answer.push(other.to_owned()),
                }
            }
            if answer == [number.to_string()] {
                self.acknowledged.insert(number);
            }
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        drop(self.input);
        let _ = self.program.wait();
        self.acknowledged
    }
}

fn all_rows_that_an_application_writes_meanwhile_exist<D: Database + Sync>() {
    let mut kills = Kills::new(4);
    let mut files = ledger::files::<D>();
    // Some revisions need the application's own table.
    for number in [3, 6, 9] {
        let up = format!("{number:04}_step.up.sql");
        let (_, text) = files.iter_mut().find(|(name, _)| *name == up).expect("the revision");
        text.insert_str(0, &format!("alter table rows_of_app add column added_{number} integer default {number};\n"));
    }
    while kills.has_moments_left() {
        let database = D::create("writer");
        ledger::prepare(&database);
        database.query("create table rows_of_app (id integer primary key)");
        let run = run_on(&database, &ledger::as_str_pairs(&files))
            .env("LOCKKEEPER_BACKUP", "required")
            .env("LOCKKEEPER_BACKUP_DIR", "backups")
            .env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "20s");
        let stop = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let application = Application::start(&database);
            let writer = scope.spawn(|| application.write(&stop));
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                kills.converge(&run, std::time::Duration::from_millis(1500));
            }));
            stop.store(true, Ordering::SeqCst);
            let acknowledged = writer.join().expect("the application");
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            acknowledged
        });
        let rows = database.query("select id from rows_of_app");
        let rows: BTreeSet<u64> = rows.lines().map(|line| line.parse().expect("a number")).collect();
        let lost: Vec<&u64> = acknowledged.difference(&rows).collect();
        assert!(lost.is_empty(), "{lost:?} of {} rows are lost{kills}", acknowledged.len());
        assert!(!acknowledged.is_empty(), "the application wrote nothing{kills}");
        assert_eq!(database.query("select count(*) from rows_of_app where added_9 = 9"), format!("{}\n", rows.len()));
        ledger::expect_at(&database, REVISIONS, &kills.to_string());
        ledger::expect_consistent(&database, &kills.to_string());
    }
}

on_either!(all_rows_that_an_application_writes_meanwhile_exist);
