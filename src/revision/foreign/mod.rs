//! The histories that other migration tools leave in a database: what they record, and how the database goes on with ours.

mod adoption;
mod tool;
mod version;

use std::fmt;

pub use adoption::Adoption;
pub use tool::{Tool, recognise, tables};

/// So many of the tables found are read and named.
pub const READ: usize = 3;

/// A history table of another tool.
#[derive(Clone, Debug)]
pub struct Foreign {
    pub tool: &'static Tool,
    /// As people write it, with its schema where there are schemas.
    pub table: String,
    pub recorded: Recorded,
}

/// What another tool's table records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Not allowed, or not worth it.
    Unread,
    /// Somebody who is not trusted with a history owns it, or a trigger's function on it.
    Untrusted,
    Rows(Vec<RecordedRow>),
}

/// One row of another tool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRow {
    pub version: String,
    /// What the row says of the version in words; empty where the tool records none.
    pub description: String,
    pub state: RowState,
}

/// How far the version of a row got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    Applied,
    /// It stopped part way.
    Unfinished,
    /// Flyway's row for everything up to a version that was there before it.
    Baseline,
}

impl Recorded {
    /// Takes the answers to [`Tool::question`].
    pub fn from_answers(answers: Vec<[String; 3]>) -> Recorded {
        let row = |[version, description, state]: [String; 3]| {
            let state = match state.as_str() {
                "unfinished" => RowState::Unfinished,
                "baseline" => RowState::Baseline,
                _ => RowState::Applied,
            };
            RecordedRow { version, description, state }
        };
        Recorded::Rows(answers.into_iter().map(row).collect())
    }

    fn rows(&self) -> &[RecordedRow] {
        match self {
            Recorded::Unread | Recorded::Untrusted => &[],
            Recorded::Rows(rows) => rows,
        }
    }

    /// The versions that stopped part way.
    fn unfinished(&self) -> Vec<&str> {
        let rows = self.rows().iter().filter(|row| row.state == RowState::Unfinished);
        rows.map(|row| row.version.as_str()).collect()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.tool.name, self.table)?;
        let unfinished = self.recorded.unfinished();
        match &self.recorded {
            Recorded::Unread => f.write_str(", not readable)"),
            Recorded::Untrusted => f.write_str(", not read: it belongs to a role that is not trusted)"),
            Recorded::Rows(rows) if rows.is_empty() => f.write_str(", empty)"),
            Recorded::Rows(_) if !unfinished.is_empty() => {
                write!(f, ", stopped within {})", unfinished.join(", "))
            }
            Recorded::Rows(rows) => write!(f, ", at {})", self.tool.newest(rows).join(", ")),
        }
    }
}
