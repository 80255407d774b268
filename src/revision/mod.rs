//! Revisions, their scripts and the plan of a run. Everything here is computed from plain values: no code reads a file,
//! a clock or a database.

pub mod backslash;
pub mod batch;
pub mod catalog_effect;
pub mod checksum;
pub mod classify;
mod direction;
pub mod graph;
pub mod history;
mod keywords;
pub(crate) mod lexer;
pub mod literals;
pub mod migration;
pub mod other_tools;
pub mod outward;
pub mod place;
pub mod plan;
pub mod render;
pub mod script_problem;
pub mod sections;
pub mod statements;
pub mod target;
pub mod text;
pub mod version;

pub use backslash::Backslash;
pub use batch::{Batch, BatchLimit, Batches};
pub use checksum::{Checksum, Fingerprint};
pub use classify::Classified;
pub use direction::Direction;
pub use graph::Graph;
pub use migration::{DirectedScript, Migration, Section, SectionOptions};
pub use plan::{Applied, Completed, Goal, Plan, RecordedState, Step};
pub use script_problem::TransactionMode;
pub use target::Target;
pub use version::Version;
