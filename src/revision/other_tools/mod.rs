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
pub struct ForeignHistory {
    pub tool: &'static Tool,
    /// As people write it, with its schema where there are schemas.
    pub table: String,
    pub recorded: RecordedVersions,
}

/// What another tool's table records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedVersions {
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

impl RecordedVersions {
    /// Takes the answers to [`Tool::question`].
    pub fn from_answers(answers: Vec<[String; 3]>) -> RecordedVersions {
        let row = |[version, description, state]: [String; 3]| {
            let state = match state.as_str() {
                "unfinished" => RowState::Unfinished,
                "baseline" => RowState::Baseline,
                _ => RowState::Applied,
            };
            RecordedRow { version, description, state }
        };
        RecordedVersions::Rows(answers.into_iter().map(row).collect())
    }

    fn rows(&self) -> &[RecordedRow] {
        match self {
            RecordedVersions::Unread | RecordedVersions::Untrusted => &[],
            RecordedVersions::Rows(rows) => rows,
        }
    }

    /// The versions that stopped part way.
    fn unfinished(&self) -> Vec<&str> {
        let rows = self.rows().iter().filter(|row| row.state == RowState::Unfinished);
        rows.map(|row| row.version.as_str()).collect()
    }
}

impl fmt::Display for ForeignHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.tool.name, self.table)?;
        let unfinished = self.recorded.unfinished();
        match &self.recorded {
            RecordedVersions::Unread => f.write_str(", not readable)"),
            RecordedVersions::Untrusted => f.write_str(", not read: it belongs to a role that is not trusted)"),
            RecordedVersions::Rows(rows) if rows.is_empty() => f.write_str(", empty)"),
            RecordedVersions::Rows(_) if !unfinished.is_empty() => {
                write!(f, ", stopped within {})", unfinished.join(", "))
            }
            RecordedVersions::Rows(rows) => write!(f, ", at {})", self.tool.newest(rows).join(", ")),
        }
    }
}
