//! Repeatable scripts: they have no place among the revisions, and run after them whenever they are new or changed.

use std::collections::HashMap;

use super::{Applied, Goal, Plan, Step};
use crate::revision::{Checksum, Graph, Migration, Version};

/// Adds a step to a plan for each repeatable script that is new, or whose text differs from the recorded one. There is
/// none in a downgrade, for a goal that leaves revisions out, and for a database that is ahead of the directory: the
/// scripts may need all revisions, and those of a newer release stay as they are.
pub(crate) fn add_repeatables(
    plan: &mut Plan,
    graph: &Graph,
    repeatables: &[Migration],
    goal: &Goal,
    applied: &[Applied],
) {
    let Goal::Apply(positions) = goal else { return };
    if !plan.ahead.is_empty() || graph.with_ancestors(positions).contains(&false) {
        return;
    }
    let recorded: HashMap<&Version, Option<Checksum>> = applied.iter().map(|row| (&row.id, row.checksum)).collect();
    let is_pending = |script: &Migration| match recorded.get(&script.version) {
        Some(&checksum) => script.up.changed_from(checksum).is_some(),
        None => true,
    };
    let revisions = graph.order().len();
    let pending = repeatables.iter().enumerate().filter(|(_, script)| is_pending(script));
    let before = plan.steps.len();
    plan.steps.extend(pending.map(|(at, _)| Step { migration: revisions + at, resume: None, recorded: None }));
    plan.repeatables = plan.steps.len() - before;
}

/// Returns the newest version of the recorded revisions.
pub(crate) fn newest(applied: &[Applied]) -> Option<&Version> {
    applied.iter().map(|row| &row.id).filter(|id| !id.is_repeatable()).max()
}
