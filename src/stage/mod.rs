//! One module for each stage of the pipeline, and for the other long operations such as transfers and exports.

mod atomic_file;
pub mod backup;
pub mod blocking;
pub mod compare;
pub mod export;
pub mod foreign_history;
pub mod import;
pub mod lock;
pub mod migrate;
pub mod rehearse;
pub mod restore;
pub mod rewrite_history;
pub mod schema_revision;
pub mod transfer;
pub mod verify;
pub mod wait;
pub mod with_lock;

pub use blocking::run;
