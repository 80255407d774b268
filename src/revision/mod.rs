//! Revisions, their scripts and the plan of a run. Everything here is computed from plain values: no code reads a file,
//! a clock or a database.

pub(crate) mod backslash;
pub mod batch;
pub(crate) mod catalog_effect;
pub(crate) mod checksum;
pub(crate) mod classify;
mod direction;
pub(crate) mod graph;
pub mod history;
pub(crate) mod journal;
mod keywords;
pub(crate) mod lexer;
pub(crate) mod literals;
pub(crate) mod migration;
pub(crate) mod needed_mode;
pub(crate) mod other_tools;
pub(crate) mod outward;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod render;
pub(crate) mod script_problem;
pub(crate) mod sections;
pub(crate) mod sqlite_functions;
mod statement_batch;
pub(crate) mod statements;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod variables;
pub(crate) mod version;

pub(crate) use backslash::Backslash;
pub use batch::{Batch, BatchLimit, Batches};
pub(crate) use checksum::{Checksum, Fingerprint};
pub(crate) use classify::Classified;
pub(crate) use direction::Direction;
pub(crate) use graph::Graph;
pub(crate) use migration::{DirectedScript, Migration, Section, SectionOptions};
pub(crate) use plan::Coverage;
pub use plan::{Applied, Completed, Goal, Plan, RecordedState, Step};
pub use policy::Policy;
pub use script_problem::TransactionMode;
pub(crate) use target::Target;
pub(crate) use version::Version;
