//! Revisions, their scripts and the plan of a run. Everything here is computed from plain values: no code reads a file,
//! a clock or a database.

pub mod batch;
pub mod catalog_effect;
pub mod graph;
pub mod id;
pub(crate) mod lexer;
pub mod literals;
pub mod new_revision;
pub mod other_tools;
pub mod outward;
pub mod place;
pub mod plan;
pub mod render;
pub mod script;
pub mod script_problem;
pub mod sections;
pub mod statements;
pub mod target;
pub mod text;

pub use batch::{Batch, BatchLimit, Batches};
pub use graph::Graph;
pub use id::Id;
pub use literals::Backslash;
pub use plan::{Applied, Completed, Direction, Goal, Plan, RecordedState, Step};
pub use script::{Checksum, DirectedScript, DownScript, Header, Script};
pub use script_problem::TransactionMode;
pub use target::Target;
