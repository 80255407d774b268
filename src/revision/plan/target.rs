//! Resolves a target, with the graph and the applied revisions, to the revisions that a run has to apply or undo.

use super::{Direction, PlanError, TargetError};
use crate::revision::target::RevisionName;
use crate::revision::{Graph, Migration, Target, Version};

/// A target that was found in the directory. A relative one still depends on the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResolvedTarget {
    /// The positions of revisions; no position means base.
    At(Vec<usize>),
    /// A number of steps from the revision that the database is at.
    Relative(usize),
}

/// The revisions that a run has to apply or undo. The goal is computed once: a relative target would go further each
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Apply the revisions at these positions and their ancestors.
    Apply(Vec<usize>),
    /// Undo the revisions at these positions.
    Undo(Vec<usize>),
}

impl Goal {
    /// Returns the direction of a run to this goal.
    pub(crate) fn direction(&self) -> Direction {
        match self {
            Goal::Apply(_) => Direction::Up,
            Goal::Undo(_) => Direction::Down,
        }
    }
}

/// The directory, in which targets are looked up.
#[derive(Clone, Copy)]
struct TargetIndex<'a> {
    graph: &'a Graph,
    migrations: &'a [Migration],
}

/// Finds a target in the directory, without asking a database.
///
/// # Errors
/// Fails if no revision or several revisions have the name, or if the target is in the other direction.
pub(crate) fn find(
    graph: &Graph,
    migrations: &[Migration],
    target: &Target,
    direction: Direction,
) -> Result<ResolvedTarget, PlanError> {
    let map = TargetIndex { graph, migrations };
    let wrong_way = || PlanError::Target(TargetError::WrongWay { target: target.to_string(), direction });
    match target {
        Target::At(RevisionName::Base) if direction == Direction::Up => Err(wrong_way()),
        Target::At(name) => map.resolve_name(name).map(ResolvedTarget::At),
        Target::From(name, steps) => map.walk(name, *steps, target).map(ResolvedTarget::At),
        Target::Relative(steps) => match (direction, usize::try_from(steps.unsigned_abs())) {
            (Direction::Up, Ok(count)) if *steps > 0 => Ok(ResolvedTarget::Relative(count)),
            (Direction::Down, Ok(count)) if *steps < 0 => Ok(ResolvedTarget::Relative(count)),
            _ => Err(wrong_way()),
        },
    }
}

/// Computes the goal. `present` marks the revisions that the database has completely or in part, `applied` those that
/// it has completely.
///
/// # Errors
/// Fails if there are fewer steps than the target has, or if a downgrade is to end at a revision that is not applied.
pub(crate) fn resolve_goal(
    graph: &Graph,
    migrations: &[Migration],
    found: &ResolvedTarget,
    direction: Direction,
    present: &[bool],
    applied: &[bool],
) -> Result<Goal, TargetError> {
    let map = TargetIndex { graph, migrations };
    match (direction, found) {
        (Direction::Up, ResolvedTarget::At(positions)) => Ok(Goal::Apply(positions.clone())),
        (Direction::Up, ResolvedTarget::Relative(count)) => map.next(*count, applied).map(Goal::Apply),
        (Direction::Down, ResolvedTarget::At(positions)) => map.above(positions, present).map(Goal::Undo),
        (Direction::Down, ResolvedTarget::Relative(count)) => map.last(*count, present).map(Goal::Undo),
    }
}

impl TargetIndex<'_> {
    fn ids(&self, positions: &[usize]) -> Vec<Version> {
        positions.iter().map(|&at| self.migrations[at].version.clone()).collect()
    }

    fn resolve_name(&self, name: &RevisionName) -> Result<Vec<usize>, PlanError> {
        match name {
            RevisionName::Base => Ok(Vec::new()),
            RevisionName::Heads => Ok(self.graph.heads()),
            RevisionName::Head => {
                let heads = self.graph.heads();
                match heads.len() {
                    0 | 1 => Ok(heads),
                    _ => Err(PlanError::heads(self.migrations, &heads)),
                }
            }
            RevisionName::Revision(version) => self.revision(version).map(|at| vec![at]).map_err(PlanError::Target),
        }
    }

    /// Returns the revision of this version, or else the only one whose version begins with this text.
    fn revision(&self, version: &Version) -> Result<usize, TargetError> {
        if let Some(at) = self.migrations.iter().position(|migration| migration.version == *version) {
            return Ok(at);
        }
        let begins = |&at: &usize| self.migrations[at].version.as_str().starts_with(version.as_str());
        let found: Vec<usize> = (0..self.migrations.len()).filter(begins).collect();
        match found[..] {
            [] => Err(TargetError::Unknown { name: version.to_string() }),
            [at] => Ok(at),
            _ => Err(TargetError::Ambiguous { name: version.to_string(), candidates: self.ids(&found) }),
        }
    }

    /// Follows the graph from a revision for a number of steps, as long as there is only one next revision.
    fn walk(&self, name: &RevisionName, steps: i64, target: &Target) -> Result<Vec<usize>, PlanError> {
        let mut place = match self.resolve_name(name)?[..] {
            [] => None,
            [at] => Some(at),
            [..] => return Err(PlanError::heads(self.migrations, &self.graph.heads())),
        };
        let beyond = || PlanError::Target(TargetError::Beyond { target: target.to_string() });
        for _ in 0..steps.unsigned_abs() {
            let next = match place {
                _ if steps > 0 => self.graph.children(place),
                Some(at) => self.graph.parents(at).to_vec(),
                None => return Err(beyond()),
            };
            place = match next[..] {
                [at] => Some(at),
                [] if steps < 0 => None,
                [] => return Err(beyond()),
                [..] => {
                    let candidates = self.ids(&next);
                    return Err(PlanError::Target(TargetError::Fork { target: target.to_string(), candidates }));
                }
            };
        }
        Ok(place.into_iter().collect())
    }

    /// Returns the next revisions that an upgrade to all heads would apply.
    fn next(&self, count: usize, applied: &[bool]) -> Result<Vec<usize>, TargetError> {
        let pending: Vec<usize> = self.graph.order().iter().copied().filter(|&at| !applied[at]).collect();
        match pending.get(..count) {
            Some(next) => Ok(next.to_vec()),
            None => Err(TargetError::TooFar {
                target: Target::Relative(count as i64).to_string(),
                steps: pending.len(),
                direction: Direction::Up,
            }),
        }
    }

    /// Returns the descendants of these revisions.
    fn above(&self, positions: &[usize], present: &[bool]) -> Result<Vec<usize>, TargetError> {
        if positions.is_empty() {
            return Ok((0..self.migrations.len()).collect());
        }
        if let Some(&at) = positions.iter().find(|&&at| !present[at]) {
            return Err(TargetError::NotApplied { id: self.migrations[at].version.clone() });
        }
        let stays: Vec<bool> = (0..self.migrations.len()).map(|at| positions.contains(&at)).collect();
        let rests = self.graph.with_descendants(positions);
        Ok((0..self.migrations.len()).filter(|&at| rests[at] && !stays[at]).collect())
    }

    /// Returns the newest revisions, as long as there is a single newest one.
    fn last(&self, count: usize, present: &[bool]) -> Result<Vec<usize>, TargetError> {
        let mut left = present.to_vec();
        let mut undone = Vec::new();
        let target = || Target::Relative(-(count as i64)).to_string();
        while undone.len() < count {
            let heads = self.graph.heads_among(&left);
            match heads[..] {
                [at] => {
                    left[at] = false;
                    undone.push(at);
                }
                [] => {
                    let (steps, direction) = (undone.len(), Direction::Down);
                    return Err(TargetError::TooFar { target: target(), steps, direction });
                }
                [..] => return Err(TargetError::Fork { target: target(), candidates: self.ids(&heads) }),
            }
        }
        Ok(undone)
    }
}

impl PlanError {
    /// Creates the error for several heads where the target is a single one.
    pub(crate) fn heads(migrations: &[Migration], heads: &[usize]) -> PlanError {
        PlanError::Heads {
            files: heads.iter().map(|&at| migrations[at].up.file.clone()).collect(),
            ids: heads.iter().map(|&at| migrations[at].version.clone()).collect(),
        }
    }
}
