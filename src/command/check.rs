//! The `check` command: checks whether the database is at the target, or whether the files alone are valid. It only
//! reads.

use crate::config::DatabaseConfig;
use crate::dialect::Dialect;
use crate::directory::{MigrationDir, dialects};
use crate::entrypoint::{self, MigratedDatabase};
use crate::error::{Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::plan::ScriptCount;
use crate::revision::{Backslash, Direction, Migration, Version, plan};
use crate::signal::Cancel;
use crate::stage::foreign_history::refuse_foreign_history;
use crate::stage::wait::wait;

/// Makes the plan and reports whether any revision is pending.
///
/// # Errors
/// Fails with [`Cause::Pending`] if revisions are pending, or with the cause that prevents the plan from being made.
pub(crate) async fn check(config: &DatabaseConfig, cancel: &Cancel) -> Result<MigratedDatabase, Failure> {
    let request = MigrationRequest::new(config, &config.target, Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let (_, plan) = request.resolve(&applied)?;
    if plan.steps.is_empty() {
        return Ok(entrypoint::migrated_database(&plan));
    }
    request.inspect(&plan, &applied, database.server().backslash)?;
    refuse_foreign_history(&mut database, &request.directory).await?;
    for step in &plan.steps {
        tracing::info!("pending: {}", request.directory.migration(step.migration).up.file);
    }
    Err(Failure::new(Stage::Plan, Cause::Pending { steps: plan.count() }))
}

/// Reads all migration files of every dialect that has a directory to their ends, without a database.
///
/// # Errors
/// Fails with every problem that would prevent the files from being run, up or down.
pub(crate) fn offline(config: &DatabaseConfig) -> Result<String, Failure> {
    let answers = dialects::for_each_dialect(&config.dir, config.dialect, |dialect| check_offline(config, dialect))
        .map_err(|cause| Failure::new(Stage::Load, cause))?;
    Ok(format!("the files are fine: {}", answers.join("; ")))
}

/// Checks one dialect's directory, and returns a summary of its revisions and heads if all its files are valid.
fn check_offline(config: &DatabaseConfig, dialect: Dialect) -> Result<String, Cause> {
    let directory = MigrationDir::load(&config.dir, dialect, config.layout_choice)?;
    let MigrationDir { graph, migrations, repeatables, .. } = &directory;
    let mut backslash = Backslash::Ordinary;
    let inspect_both = |migration| inspect_both_directions(&directory, migration, &mut backslash);
    let mut problems: Vec<String> = migrations.iter().chain(repeatables).flat_map(inspect_both).collect();
    match plan::find(graph, migrations, &config.target, Direction::Up) {
        Err(error) if problems.is_empty() => return Err(Cause::from_plan_errors(&[error])),
        Err(error) => problems.insert(0, error.to_string()),
        Ok(_) => {}
    }
    if !problems.is_empty() {
        return Err(Cause::Invalid(problems));
    }
    let heads: Vec<Version> = graph.heads().into_iter().map(|index| migrations[index].version.clone()).collect();
    let count = ScriptCount { revisions: migrations.len(), repeatables: repeatables.len() };
    let head = if heads.len() == 1 { "head" } else { "heads" };
    Ok(format!("{} {count}, {head} {}", dialects::name(dialect), plan::list(&heads)))
}

/// Returns the problems of both files of a revision, one line each.
fn inspect_both_directions(directory: &MigrationDir, migration: &Migration, backslash: &mut Backslash) -> Vec<String> {
    let mut problems = directory.inspect(&migration.up, Direction::Up, backslash).err().unwrap_or_default();
    match directory.load_down(migration) {
        Ok(Some(down)) => {
            problems
                .extend(directory.inspect(&down, Direction::Down, &mut backslash.clone()).err().unwrap_or_default());
        }
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    problems
}
