//! The integration tests: one binary, so that they share one PostgreSQL server.
//!
//! Real parts only: a PostgreSQL server of the tests' own, a real pgbouncer, real SQLite files, and the real
//! `lockkeeper` as a child process. What is missing on the machine is a failure, never a silent skip: run `tests/run`.
//! `support` has the parts; each file under `it/` tests one matter.

mod support;

#[path = "it/apply.rs"]
mod apply;
#[path = "it/backup.rs"]
mod backup;
#[path = "it/connect.rs"]
mod connect;
#[path = "it/exit_codes.rs"]
mod exit_codes;
#[path = "it/files.rs"]
mod files;
#[path = "it/harness.rs"]
mod harness;
#[path = "it/house.rs"]
mod house;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/lock.rs"]
mod lock;
#[path = "it/output.rs"]
mod output;
#[path = "it/program.rs"]
mod program;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/signals.rs"]
mod signals;
#[path = "it/usage.rs"]
mod usage;
