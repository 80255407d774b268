//! `check`: is the database at the target, or are the files alone fine? Reads only.

use crate::config::Config;
use crate::directory::{Folder, dialects};
use crate::entrypoint::{self, Settled};
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Backslash, Dialect, Direction, Id, Script, plan};
use crate::signal::Cancel;
use crate::stage::baseline::unadopted;
use crate::stage::wait::wait;

/// Plans and says whether anything is left.
///
/// # Errors
/// [`Cause::Pending`], or whatever keeps the plan from being made.
pub async fn check(config: &Config, cancel: &Cancel) -> Result<Settled, Failure> {
    let errand = Errand::new(config, &config.target, Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, plan) = errand.settle(&applied)?;
    if plan.steps.is_empty() {
        return Ok(entrypoint::settled(&plan));
    }
    errand.inspect(&plan, &applied, database.server().backslash)?;
    unadopted(&mut database, &errand.folder).await?;
    for step in &plan.steps {
        tracing::info!("pending: {}", errand.folder.scripts[step.script].up);
    }
    Err(Failure::new(Stage::Plan, Cause::Pending { steps: plan.steps.len() }))
}

/// Reads all the files to their ends, those of every dialect that has a folder, without a database.
///
/// # Errors
/// Everything that would keep them from being run, up or down.
pub fn offline(config: &Config) -> Result<String, Failure> {
    let told = dialects::each(&config.dir, config.dialect, |dialect| whole(config, dialect))
        .map_err(|cause| Failure::new(Stage::Load, cause))?;
    Ok(format!("the files are fine: {}", told.join("; ")))
}

/// One dialect's folder, and what there is to say of it when it is fine.
fn whole(config: &Config, dialect: Dialect) -> Result<String, Cause> {
    let folder = Folder::load(&config.dir, dialect)?;
    let Folder { graph, scripts, .. } = &folder;
    let mut reading = Backslash::Ordinary;
    let both = |script| both_ways(&folder, script, &mut reading);
    let mut problems: Vec<String> = scripts.iter().flat_map(both).collect();
    match plan::find(graph, scripts, &config.target, Direction::Up) {
        Err(objection) if problems.is_empty() => return Err(Cause::objected(&[objection])),
        Err(objection) => problems.insert(0, objection.to_string()),
        Ok(_) => {}
    }
    if !problems.is_empty() {
        return Err(Cause::Invalid(problems));
    }
    let heads: Vec<Id> = graph.heads().into_iter().map(|at| scripts[at].id.clone()).collect();
    let revisions = if scripts.len() == 1 { "revision" } else { "revisions" };
    let head = if heads.len() == 1 { "head" } else { "heads" };
    Ok(format!("{} {} {revisions}, {head} {}", dialects::name(dialect), scripts.len(), plan::list(&heads)))
}

/// What is wrong with the files of a revision, a line each.
fn both_ways(folder: &Folder, script: &Script, reading: &mut Backslash) -> Vec<String> {
    let mut problems = folder.inspect(&script.up, &script.header, reading).err().unwrap_or_default();
    match (&script.down, folder.back(script)) {
        (Some(down), Ok(Some(back))) => {
            problems
                .extend(folder.inspect(down, &back.header, &mut reading.clone()).err().unwrap_or_default());
        }
        (_, Ok(_)) => {}
        (_, Err(problem)) => problems.push(problem),
    }
    problems
}
