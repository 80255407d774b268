//! One module for each stage of the pipeline, and for the other long operations such as transfers and exports.

mod atomic_file;
pub(crate) mod backup;
pub(crate) mod blocking;
mod cancellable;
pub(crate) mod command_run;
pub(crate) mod compare;
pub(crate) mod export;
pub(crate) mod foreign_history;
pub(crate) mod guard;
pub(crate) mod import;
pub(crate) mod inspected;
pub(crate) mod layout_tables;
pub(crate) mod lock;
pub(crate) mod migrate;
mod pending_steps;
pub(crate) mod rehearse;
pub(crate) mod restore;
pub(crate) mod rewrite_history;
pub(crate) mod schema_revision;
pub(crate) mod temporary_directory;
pub(crate) mod transfer;
pub(crate) mod verify;
pub(crate) mod wait;
pub(crate) mod with_lock;

pub(crate) use blocking::run;
