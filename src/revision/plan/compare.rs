//! Compares the files of the directory with the rows of the history.

use super::{Applied, DowngradeError, PlanError, RecordedState};
use crate::revision::{Graph, Migration, Section, TransactionMode, Version};

/// Returns the error for a script that differs from its row. The finished statements of a partial one are compared when
/// it is resumed.
pub(super) fn changed(migration: &Migration, row: &Applied) -> Option<PlanError> {
    match row.state {
        RecordedState::Applied => row.changed(&migration.up).map(|now| PlanError::Edited {
            file: migration.up.file.clone(),
            id: migration.version.clone(),
            recorded: row.checksum,
            now,
        }),
        RecordedState::Partial { .. } if migration.up.options.mode == TransactionMode::Transaction => {
            Some(PlanError::ModeChanged { file: migration.up.file.clone() })
        }
        RecordedState::Partial { done } if done > 0 && row.executed.is_none() => {
            Some(PlanError::NoChecksum { file: migration.up.file.clone(), id: migration.version.clone() })
        }
        _ => None,
    }
}

/// Returns the error for an unfinished revision that has to be finished first. `below` in the error is the target of
/// the downgrade that undoes the revision.
pub(crate) fn unfinished(graph: &Graph, migrations: &[Migration], at: usize, row: &Applied) -> Option<PlanError> {
    let id = row.id.clone();
    let below = match graph.parents(at) {
        // A merge has several parents, so that one step down from it is ambiguous.
        [parent, _, ..] => migrations[*parent].version.to_string(),
        _ => format!("{id}-1"),
    };
    match row.state {
        RecordedState::Applied => None,
        RecordedState::Partial { .. } => Some(PlanError::HalfDone { id, below }),
        RecordedState::Undoing { .. } => Some(PlanError::HalfUndone { id, below }),
        RecordedState::Failed => Some(PlanError::FailedInTool { file: migrations[at].up.file.clone(), id }),
    }
}

/// Returns every reason why a revision cannot be undone. `back` is its down script, `row` its row in the history.
pub(crate) fn downgrade_errors(migration: &Migration, back: Option<&Section>, row: Option<&Applied>) -> Vec<PlanError> {
    let up = (&migration.up.file, &migration.up.options);
    let Some(back) = back else {
        return match &migration.up.options.irreversible {
            Some(reason) => {
                vec![PlanError::Back(DowngradeError::Irreversible { file: up.0.clone(), reason: reason.clone() })]
            }
            None => {
                vec![PlanError::Back(DowngradeError::NoFile { file: up.0.clone(), id: migration.version.clone() })]
            }
        };
    };
    let says_no = [up, (&back.file, &back.options)].into_iter().filter_map(|(file, options)| {
        let reason = options.irreversible.clone()?;
        Some(PlanError::Back(DowngradeError::Irreversible { file: file.clone(), reason }))
    });
    let mut objections: Vec<PlanError> = says_no.collect();
    let unfinished = row.is_some_and(|row| matches!(row.state, RecordedState::Undoing { .. }));
    if unfinished && back.options.mode == TransactionMode::Transaction {
        objections.push(PlanError::ModeChanged { file: back.file.clone() });
    }
    let recorded = row.and_then(|row| row.down).filter(|_| !unfinished);
    if let Some(now) = recorded.and_then(|_| back.changed_from(recorded)) {
        let (file, id) = (back.file.clone(), migration.version.clone());
        objections.push(PlanError::Edited { file, id, recorded, now });
    }
    objections
}

/// Returns an error for each ancestor of an applied revision that is not applied itself.
pub(super) fn out_of_order(graph: &Graph, migrations: &[Migration], done: &[bool]) -> Vec<PlanError> {
    let applied: Vec<usize> = (0..done.len()).filter(|&at| done[at]).collect();
    let needed = graph.with_ancestors(&applied);
    let may_come_late = |at: usize| migrations[at].up.options.may_come_late;
    let holes = (0..done.len()).filter(|&at| needed[at] && !done[at] && !may_come_late(at));
    holes
        .map(|at| {
            let rests_on_it = graph.with_descendants(&[at]);
            let after = applied.iter().find(|&&later| rests_on_it[later]).map_or(at, |&later| later);
            PlanError::OutOfOrder {
                file: migrations[at].up.file.clone(),
                id: migrations[at].version.clone(),
                after: migrations[after].version.clone(),
            }
        })
        .collect()
}

/// Returns an error for each revision left to apply that does not state its parents: a newer revision of another image
/// is applied already.
pub(super) fn overtaken(migrations: &[Migration], left: &[usize], newer: &Version) -> Vec<PlanError> {
    let plain = left
        .iter()
        .map(|&at| &migrations[at])
        .filter(|migration| migration.parents.is_none() && !migration.up.options.may_come_late);
    plain
        .map(|migration| PlanError::OutOfOrder {
            file: migration.up.file.clone(),
            id: migration.version.clone(),
            after: newer.clone(),
        })
        .collect()
}
