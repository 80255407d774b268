//! The histories that other migration tools leave in a database: what they record, and how Lockkeeper's own history can
//! continue them.

mod adoption;
mod adoption_error;
mod adoption_plan;
mod change;
mod mapping;
mod source;
mod tool;
mod version;

use std::fmt;

pub(crate) use adoption::Adoption;
pub(crate) use adoption_error::AdoptionError;
pub(crate) use adoption_plan::{AdoptionInput, AdoptionPlan};
pub(crate) use change::{HistoryMove, ToolHistories};
pub(crate) use mapping::{DirectoryRevisions, ParseVersion};
pub(crate) use source::SourceChoice;
pub(crate) use tool::{Tool, names, recognise, tables};

/// The number of history tables that are read and named, of all that are found.
pub(crate) const READ: usize = 3;

/// A history table of another tool.
#[derive(Clone, Debug)]
pub(crate) struct ForeignHistory {
    /// The tool that the table belongs to.
    pub(crate) tool: &'static Tool,
    /// The name of the table as people write it, with its schema where the database has schemas.
    pub(crate) table: String,
    /// The rows of the table, or the reason why they were not read.
    pub(crate) recorded: RecordedVersions,
}

/// A layout that fits the directory, and the history table of its tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutByTable {
    /// The name of the layout.
    pub(crate) layout: &'static str,
    /// The name of the table as people write it.
    pub(crate) table: String,
}

impl ForeignHistory {
    /// Returns whether the table is in a schema. On SQLite there are none.
    pub(crate) fn is_in_schema(&self, schema: &str) -> bool {
        self.table.strip_prefix(schema).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The content of another tool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordedVersions {
    /// The table was not read: the role may not read it, it is locked, the query failed, or there are too many such
    /// tables.
    Unread,
    /// The table, or the function of a trigger on it, belongs to a role that is not trusted with a history.
    Untrusted,
    /// The rows of the table.
    Rows(Vec<RecordedRow>),
}

/// One row of another tool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedRow {
    /// The version as the tool records it.
    pub(crate) version: String,
    /// The description that the row has of the version; empty where the tool records none.
    pub(crate) description: String,
    /// The progress of the version.
    pub(crate) state: RowState,
}

/// The progress of the version of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    /// The version is applied.
    Applied,
    /// The version stopped part way.
    Unfinished,
    /// Flyway's row for all versions up to this one, which were there before Flyway.
    Baseline,
}

impl RecordedVersions {
    /// Creates the rows from the result of the query [`Tool::question`].
    pub(crate) fn from_answers(answers: Vec<[String; 3]>) -> RecordedVersions {
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

    /// Returns the versions that stopped part way.
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
