//! Computes the rows that a layout's history lacks to have what another tool has recorded.

use std::collections::{HashMap, HashSet};

use super::mapping::{DirectoryRevisions, RecordedRevisions, recorded_revisions};
use super::{AdoptionError, ForeignHistory};
use crate::revision::plan::{self, Applied, PlanError};
use crate::revision::policy::LateRevisions;
use crate::revision::{Goal, RecordedState, Version};

/// The rows that are to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct AdoptionPlan {
    /// The revisions to record, parents first.
    pub(crate) rows: Vec<AdoptedRow>,
    /// The heads of the recorded revisions when they are recorded.
    pub(crate) heads: Vec<Version>,
}

/// A row that is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct AdoptedRow {
    /// The position of the revision in the directory.
    pub(crate) at: usize,
    /// The version in the row of the other tool that says that the revision is applied.
    pub(crate) version: String,
}

/// A history that is adopted, and the history that is to have its rows.
#[derive(Clone, Copy)]
pub(crate) struct AdoptionInput<'a> {
    /// The history of the other tool.
    pub(crate) source: &'a ForeignHistory,
    /// The directory in its new layout.
    pub(crate) directory: DirectoryRevisions<'a>,
    /// The rows that the history of the layout has.
    pub(crate) applied: &'a [Applied],
    /// The name of the table of the layout, as people write it.
    pub(crate) target_table: &'a str,
}

impl AdoptionInput<'_> {
    /// Returns the rows to record: none if all of them are there.
    ///
    /// # Errors
    /// Fails if a row of the other tool has no revision, if the layout could not go on from what would be recorded, and
    /// if the layout's history has rows that do not agree.
    pub(crate) fn plan(&self) -> Result<AdoptionPlan, AdoptionError> {
        let DirectoryRevisions { graph, migrations, .. } = self.directory;
        let recorded = recorded_revisions(self.source, self.directory)?;
        let applied = plan::each_revision(migrations, self.applied);
        let there: HashMap<&Version, &Applied> = applied.iter().map(|row| (&row.id, row)).collect();
        let is_there = |at: usize| there.contains_key(&migrations[at].version);
        let order = graph.order().iter().copied();
        let missing = order.filter(|&at| recorded.contains_key(&at) && !is_there(at));
        let rows: Vec<AdoptedRow> = missing.map(|at| AdoptedRow { at, version: recorded[&at].clone() }).collect();
        self.check_differences(&recorded, &applied, &rows)?;
        let done: Vec<bool> = (0..migrations.len()).map(|at| is_there(at) || recorded.contains_key(&at)).collect();
        self.check_holes(&done)?;
        self.check_plan(&applied, &rows)?;
        let heads = graph.heads_among(&done).into_iter().map(|at| migrations[at].version.clone()).collect();
        Ok(AdoptionPlan { rows, heads })
    }

    /// Checks that the rows of the layout's history agree. More rows than those of the other tool are no difference once
    /// all of those are there: the layout has gone on.
    fn check_differences(
        &self,
        recorded: &RecordedRevisions,
        applied: &[Applied],
        missing: &[AdoptedRow],
    ) -> Result<(), AdoptionError> {
        let migrations = self.directory.migrations;
        let versions: HashSet<&Version> = recorded.keys().map(|&at| &migrations[at].version).collect();
        let difference = |row: &Applied| match row.state {
            RecordedState::Applied if !missing.is_empty() && !versions.contains(&row.id) => {
                Some(format!("{} is applied in it, and {} has no such row", row.id, self.source.tool.name))
            }
            RecordedState::Applied => None,
            _ => Some(format!("{} is not finished in it", row.id)),
        };
        self.refuse_differences(applied.iter().filter_map(difference).collect())
    }

    /// Checks that no revision is missing before one that is applied, if the layout refuses that.
    fn check_holes(&self, done: &[bool]) -> Result<(), AdoptionError> {
        let DirectoryRevisions { graph, migrations, layout, .. } = self.directory;
        if graph.late_revisions() == LateRevisions::Applied {
            return Ok(());
        }
        let applied: Vec<usize> = (0..done.len()).filter(|&at| done[at]).collect();
        let needed = graph.with_ancestors(&applied);
        let holes = (0..done.len()).filter(|&at| needed[at] && !done[at]);
        let files: Vec<String> = holes.map(|at| migrations[at].up.file.to_string()).collect();
        match files.is_empty() {
            true => Ok(()),
            false => Err(AdoptionError::Holes { tool: self.source.tool.name, layout: layout.into(), files }),
        }
    }

    /// Checks that an upgrade can go on from the history as it would be.
    fn check_plan(&self, applied: &[Applied], rows: &[AdoptedRow]) -> Result<(), AdoptionError> {
        let DirectoryRevisions { graph, migrations, .. } = self.directory;
        let new = rows.iter().map(|row| {
            let migration = &migrations[row.at];
            Applied { checksum: migration.up.checksum, ..Applied::new(migration.version.clone()) }
        });
        let all: Vec<Applied> = applied.iter().cloned().chain(new).collect();
        match plan::plan(graph, migrations, &all, &Goal::Apply(graph.heads())) {
            Ok(_) => Ok(()),
            Err(errors) => self.refuse_differences(errors.iter().map(PlanError::to_string).collect()),
        }
    }

    /// Fails with the differences, if there are any.
    fn refuse_differences(&self, differences: Vec<String>) -> Result<(), AdoptionError> {
        match differences.is_empty() {
            true => Ok(()),
            false => {
                let history = format!("{} ({})", self.directory.layout, self.target_table);
                Err(AdoptionError::Disagrees { history, differences })
            }
        }
    }
}
