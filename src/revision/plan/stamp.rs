//! What the history says x what it is to say -> the rows that change, though nothing is run.

use std::collections::HashSet;

use super::{Applied, Direction, PlanError, Recorded, RecordedState, ResolvedTarget, TargetError, find};
use crate::revision::{Graph, Id, Script, Target};

/// The way from what a history says to what it is to say.
#[derive(Debug)]
pub struct Stamp<'a> {
    /// Positions of what is recorded, parents first, each with the unfinished row that makes room for it.
    pub record: Vec<(usize, Option<&'a Applied>)>,
    /// Rows that are removed, newest first.
    pub remove: Vec<&'a Applied>,
    /// Where the database then is.
    pub at: Vec<Id>,
}

impl Stamp<'_> {
    /// Whether the history says so already.
    pub fn is_empty(&self) -> bool {
        self.record.is_empty() && self.remove.is_empty()
    }
}

/// Finds where the schema is said to be; no position is base.
///
/// # Errors
/// No such revision, or several; a target that counts from where the database is.
pub fn place(graph: &Graph, scripts: &[Script], target: &Target) -> Result<Vec<usize>, PlanError> {
    // Of both directions the one that knows base.
    let found = match target {
        Target::Relative(_) => None,
        Target::At(_) | Target::From(..) => Some(find(graph, scripts, target, Direction::Down)?),
    };
    match found {
        Some(ResolvedTarget::At(positions)) => Ok(positions),
        Some(ResolvedTarget::Relative(_)) | None => {
            Err(PlanError::Target(TargetError::Unanchored { target: target.to_string() }))
        }
    }
}

/// What has to change before exactly `wanted` and what it rests on are recorded as applied.
///
/// # Errors
/// Recorded revisions that the folder does not have: nobody can tell what they rest on. Unfinished ones are removed.
pub fn stamp<'a>(
    graph: &Graph,
    scripts: &[Script],
    applied: &'a [Applied],
    wanted: &[usize],
) -> Result<Stamp<'a>, Vec<PlanError>> {
    let known: HashSet<&Id> = scripts.iter().map(|script| &script.id).collect();
    let (mut unfinished, unknown): (Vec<&Applied>, Vec<&Applied>) =
        applied.iter().filter(|row| !known.contains(&row.id)).partition(|row| row.state != RecordedState::Applied);
    if !unknown.is_empty() {
        let mut ids: Vec<Id> = unknown.iter().map(|row| row.id.clone()).collect();
        ids.sort();
        return Err(vec![PlanError::Unknown { ids }]);
    }
    let rows = Recorded::new(scripts, applied).rows;
    let stays = graph.with_ancestors(wanted);
    let whole = |at: usize| rows[at].is_some_and(|row| row.state == RecordedState::Applied);
    let order = graph.order().iter().copied();
    unfinished.sort_by(|one, other| other.id.cmp(&one.id));
    let others = order.clone().rev().filter(|&at| !stays[at]).filter_map(|at| rows[at]);
    Ok(Stamp {
        record: order.filter(|&at| stays[at] && !whole(at)).map(|at| (at, rows[at])).collect(),
        remove: unfinished.into_iter().chain(others).collect(),
        at: graph.heads_among(&stays).into_iter().map(|at| scripts[at].id.clone()).collect(),
    })
}
