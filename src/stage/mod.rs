//! One room for each stage, one public function each.

mod aside;
pub mod backup;
pub mod baseline;
pub mod compare;
pub mod draft;
pub mod export;
pub mod import;
pub mod lock;
pub mod migrate;
mod publish;
pub mod rehearse;
pub mod restate;
pub mod restore;
pub mod transfer;
pub mod verify;
pub mod wait;

pub use aside::aside;
