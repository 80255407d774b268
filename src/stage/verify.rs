//! Reads the history again, and checks that the database is at the target and that nothing is newly invalid.

use crate::database::{Database, Locked, SchemaDefects};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Goal, Plan, plan};

/// Warns of SQLite tables that reference a table that does not exist, when there is nothing to do: the run that has
/// left such a reference has reported it (exit code 87), but nobody can find out any more which references existed
/// before it.
pub(crate) async fn warn_of_missing_parents(database: &mut Database) {
    let Database::Sqlite(database) = database else { return };
    match database.defects().await {
        Ok(defects) => defects.invalid.iter().for_each(|defect| tracing::warn!("{defect}")),
        Err(fault) => tracing::debug!("references to missing tables could not be looked for: {fault}"),
    }
}

/// Compares the database with the plan. Returns a new plan, in which nothing is left to do.
///
/// # Errors
/// Fails with the revisions that are not recorded as they should be and with the objects that are newly invalid (exit
/// code 87), or when the session is lost.
pub(crate) async fn verify(
    locked: &mut Locked,
    directory: &MigrationDir,
    goal: &Goal,
    defects_before: &SchemaDefects,
) -> Result<Plan, Failure> {
    let failed = |cause| Failure::new(Stage::Verify, cause);
    let database_failure = |fault| failed(Cause::Database(fault));
    let applied = locked.database().history().await.map_err(database_failure)?;
    let mut remaining = plan::plan(&directory.graph, &directory.migrations, &applied, goal)
        .map_err(|objections| failed(Cause::Mismatch(objections.iter().map(ToString::to_string).collect())))?;
    plan::add_repeatables(&mut remaining, &directory.graph, &directory.repeatables, goal, &applied);
    let mut problems: Vec<String> = remaining
        .steps
        .iter()
        .map(|step| {
            format!(
                "revision {} is not recorded as {}",
                directory.migration(step.migration).version,
                goal.direction().done()
            )
        })
        .collect();
    let defects = locked.defects().await.map_err(database_failure)?;
    problems.extend(defects.invalid.into_iter().filter(|defect| !defects_before.invalid.contains(defect)));
    // NOT VALID skips the check of the existing rows, as is usual where there is traffic: this is no reason to fail.
    for constraint in defects.unvalidated.iter().filter(|constraint| !defects_before.unvalidated.contains(constraint)) {
        tracing::warn!("{constraint} was added with NOT VALID: rows of before may break it until VALIDATE CONSTRAINT");
    }
    match problems.is_empty() {
        true => Ok(remaining),
        false => Err(failed(Cause::Mismatch(problems))),
    }
}
