//! Revisions, pure: nothing here knows a disk, a clock or a database.

pub mod batch;
pub mod draft;
pub mod foreign;
pub mod graph;
pub mod id;
pub(crate) mod lexer;
pub mod literals;
pub mod objection;
pub mod outward;
pub mod place;
pub mod plan;
pub mod render;
pub mod script;
pub mod sections;
pub mod statements;
pub mod target;
pub mod text;
pub mod trace;

pub use batch::{Batch, Batches, Cut};
pub use graph::Graph;
pub use id::Id;
pub use literals::Backslash;
pub use objection::Mode;
pub use plan::{Applied, Direction, Done, Goal, Plan, State, Step};
pub use script::{Back, Checksum, Header, Script, Way};
pub use statements::Dialect;
pub use target::Target;
