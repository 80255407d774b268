//! Lockkeeper is a migration runner: it changes the schema of a database when a release is deployed.
//!
//! A run waits until the database is really ready (`stage::wait`), takes an advisory lock (`stage::lock`), backs
//! up (`stage::backup`), applies the pending SQL migrations (`stage::migrate`), verifies the result
//! (`stage::verify`) and ends with an exit code that a scheduler can act on ([`exit`]). The module `entrypoint`
//! runs these stages in order.

#![warn(missing_docs, unreachable_pub)]

pub(crate) mod bucket;
pub(crate) mod byte_size;
pub mod cli;
pub(crate) mod clock;
pub mod command;
pub mod config;
pub mod context;
pub mod database;
pub mod dialect;
pub(crate) mod directory;
pub mod duration;
pub(crate) mod entrypoint;
pub mod error;
pub(crate) mod escape;
pub mod exit;
pub mod guarded_command;
pub mod layout;
pub mod masking;
pub mod outcome;
pub(crate) mod progress;
pub mod report;
pub(crate) mod request;
pub mod revision;
pub(crate) mod safe_file;
pub mod signal;
pub(crate) mod sql;
pub(crate) mod stage;
pub(crate) mod table;
pub mod transfer;
pub mod watchdog;
