//! Computes the rows of the history that a `stamp` changes. A stamp runs no script.

use std::collections::HashSet;

use super::{Applied, Direction, PlanError, Recorded, RecordedState, ResolvedTarget, TargetError, each_revision, find};
use crate::revision::{Graph, Migration, Target, Version};

/// The changes that make a history record exactly the stamped revisions.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// The positions of the revisions to record, parents first, each with the unfinished row that it replaces.
    pub(crate) record: Vec<(usize, Option<Applied>)>,
    /// The rows to remove, newest first.
    pub(crate) remove: Vec<Applied>,
    /// The heads of the recorded revisions after the stamp.
    pub(crate) at: Vec<Version>,
}

impl Stamp {
    /// Returns whether the history records these revisions already.
    pub(crate) fn is_empty(&self) -> bool {
        self.record.is_empty() && self.remove.is_empty()
    }
}

/// Resolves the target of a stamp to positions; no position means base.
///
/// # Errors
/// Fails if no revision or several revisions have the name, or if the target counts from the revision that the database
/// is at.
pub(crate) fn resolve(graph: &Graph, migrations: &[Migration], target: &Target) -> Result<Vec<usize>, PlanError> {
    // Of both directions, only this one accepts base.
    let found = match target {
        Target::Relative(_) => None,
        Target::At(_) | Target::From(..) => Some(find(graph, migrations, target, Direction::Down)?),
    };
    match found {
        Some(ResolvedTarget::At(positions)) => Ok(positions),
        Some(ResolvedTarget::Relative(_)) | None => {
            Err(PlanError::Target(TargetError::Unanchored { target: target.to_string() }))
        }
    }
}

/// Computes the changes after which exactly `wanted` and its ancestors are recorded as applied.
///
/// # Errors
/// Fails with the applied revisions that the directory does not have: their parents are not known. Unfinished ones are
/// removed instead.
pub(crate) fn stamp(
    graph: &Graph,
    migrations: &[Migration],
    applied: &[Applied],
    wanted: &[usize],
) -> Result<Stamp, Vec<PlanError>> {
    let applied = &each_revision(migrations, applied);
    let known: HashSet<&Version> = migrations.iter().map(|migration| &migration.version).collect();
    let (mut unfinished, unknown): (Vec<&Applied>, Vec<&Applied>) =
        applied.iter().filter(|row| !known.contains(&row.id)).partition(|row| row.state != RecordedState::Applied);
    if !unknown.is_empty() {
        let mut ids: Vec<Version> = unknown.iter().map(|row| row.id.clone()).collect();
        ids.sort();
        return Err(vec![PlanError::Unknown { ids }]);
    }
    let rows = Recorded::new(migrations, applied).rows;
    let stays = graph.with_ancestors(wanted);
    let whole = |at: usize| rows[at].is_some_and(|row| row.state == RecordedState::Applied);
    let order = graph.order().iter().copied();
    unfinished.sort_by(|one, other| other.id.cmp(&one.id));
    let others = order.clone().rev().filter(|&at| !stays[at]).filter_map(|at| rows[at]);
    Ok(Stamp {
        record: order.filter(|&at| stays[at] && !whole(at)).map(|at| (at, rows[at].cloned())).collect(),
        remove: unfinished.into_iter().chain(others).cloned().collect(),
        at: graph.heads_among(&stays).into_iter().map(|at| migrations[at].version.clone()).collect(),
    })
}
