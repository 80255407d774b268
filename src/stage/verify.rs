//! Reads the history again: are we at the target, and is nothing left invalid?

use crate::database::{Database, Locked, SchemaDefects};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Goal, Plan, plan};

/// Warns of SQLite tables that reference one that does not exist, when there is nothing to do: a run that has left such a
/// reference has reported it (87), but nobody can tell any more which references were there before that run.
pub async fn warn_of_missing_parents(database: &mut Database) {
    let Database::Sqlite(database) = database else { return };
    match database.defects().await {
        Ok(defects) => defects.invalid.iter().for_each(|defect| tracing::warn!("{defect}")),
        Err(fault) => tracing::debug!("references to missing tables could not be looked for: {fault}"),
    }
}

/// Compares what the database says with what was planned.
///
/// # Errors
/// Revisions that are not recorded as they should be, and invalid indexes that were not there before (87).
pub async fn verify(
    locked: &mut Locked,
    folder: &MigrationDir,
    goal: &Goal,
    before: &SchemaDefects,
) -> Result<Plan, Failure> {
    let failed = |cause| Failure::new(Stage::Verify, cause);
    let database = |fault| failed(Cause::Database(fault));
    let applied = locked.database().history().await.map_err(database)?;
    let left = plan::plan(&folder.graph, &folder.scripts, &applied, goal)
        .map_err(|objections| failed(Cause::Mismatch(objections.iter().map(ToString::to_string).collect())))?;
    let mut wrong: Vec<String> = left
        .steps
        .iter()
        .map(|step| {
            format!("revision {} is not recorded as {}", folder.scripts[step.script].id, goal.direction().done())
        })
        .collect();
    let defects = locked.defects().await.map_err(database)?;
    wrong.extend(defects.invalid.into_iter().filter(|defect| !before.invalid.contains(defect)));
    // Added without looking at the rows of before, as one does where there is traffic: no reason to fail.
    for constraint in defects.unvalidated.iter().filter(|constraint| !before.unvalidated.contains(constraint)) {
        tracing::warn!("{constraint} was added with NOT VALID: rows of before may break it until VALIDATE CONSTRAINT");
    }
    match wrong.is_empty() {
        true => Ok(left),
        false => Err(failed(Cause::Mismatch(wrong))),
    }
}
