//! Why nothing was transferred.

use crate::database::Fault;
use crate::transfer::plan::Objection;

/// Why nothing was transferred. The target is as it was before the copying began.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file cannot be read.
    #[error("the source: {0}")]
    Source(Fault),
    /// Tables or columns have no place, or no value.
    #[error("{}", joined(.0))]
    Unmapped(Vec<Objection>),
    #[error("the target has rows already: {}", .0.join(", "))]
    NotEmpty(Vec<String>),
    /// Values that do not fit their columns, a line each.
    #[error("values that do not fit: {}", .0.join("; "))]
    Bad(Vec<String>),
    /// The server has something against a row.
    #[error("{table}: {fault}")]
    Refused { table: String, fault: Fault },
    /// Rows without a parent, or there twice.
    #[error("{}", .0.join("; "))]
    Violated(Vec<String>),
    /// The two sides are not the same, a line each.
    #[error("{}", first(.0))]
    Differs(Vec<String>),
}

fn joined(objections: &[Objection]) -> String {
    objections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn first(lines: &[String]) -> String {
    match lines {
        [first, more @ ..] if !more.is_empty() => format!("{first}; and {} more, named above", more.len()),
        lines => lines.concat(),
    }
}
