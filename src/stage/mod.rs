//! One room for each stage, one public function each.

mod atomic_file;
pub mod backup;
mod blocking;
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

pub use blocking::run;
