//! `repair --done` and `repair --again`: record the outcome of a statement without a transaction if a run has left it
//! open, or of a revision that another tool has recorded as failed.

use std::time::Duration;

use crate::config::DatabaseConfig;
use crate::database::{ApplyError, Canceller, Locked};
use crate::directory::MigrationDir;
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::masking::excerpt;
use crate::revision::history::{Elapsed, HistoryChange, HistoryRow};
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::{
    Applied, BatchLimit, Direction, Fingerprint, Migration, RecordedState, Section, TransactionMode,
};
use crate::signal::Cancel;
use crate::stage::rewrite_history::rewrite_history;
use crate::stage::wait::wait;
use crate::stage::with_lock::with_lock;

use super::repair::{history, load};

/// The outcome of the statement as a person has found it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The statement took effect: the next run continues with the statement after it.
    Done,
    /// The statement did not take effect: the next run runs it again.
    Again,
}

/// Writes the decision into the history.
///
/// # Errors
/// Fails when the part of the file that has been done was edited since, or with the failure of the stage that could not
/// go on. The history is unchanged then.
pub(crate) async fn decide(config: &DatabaseConfig, decision: Decision, cancel: &Cancel) -> Result<String, Failure> {
    let directory = load(config)?;
    let (_, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    if open(&applied).is_none() && failed_in_tool(&applied).is_none() {
        return Ok("no statement is open".into());
    }
    with_lock(&lock_settings(config), cancel, async |locked: &mut Locked, canceller| {
        run_locked(&directory, decision, locked, canceller, cancel).await
    })
    .await
}

/// Writes the decision under the lock, so that no other run can write.
async fn run_locked(
    directory: &MigrationDir,
    decision: Decision,
    locked: &mut Locked,
    mut canceller: Canceller,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let applied = history(locked, Stage::Plan).await?;
    if let Some(row) = failed_in_tool(&applied) {
        return decide_revision(directory, row, decision, locked, &mut canceller, cancel).await;
    }
    let Some((row, direction, resume)) = open(&applied) else {
        return Ok("no statement is open any more".into());
    };
    let statement = statement(directory, find(directory, row)?, direction, resume)?;
    let (done, executed, effect) = match decision {
        Decision::Done => (resume.done + 1, statement.executed, "is marked as done, the next run goes on behind it"),
        Decision::Again => (resume.done, resume.executed, "will be run again by the next run"),
    };
    rewrite_history(locked, &mut canceller, &[HistoryChange::Decide { id: &row.id, done, executed }], cancel).await?;
    tracing::info!("lockkeeper {} goes on with revision {}", direction.verb(), row.id);
    Ok(format!("{} {effect}", statement.description))
}

/// Returns the migration of a row.
fn find<'a>(directory: &'a MigrationDir, row: &Applied) -> Result<&'a Migration, Failure> {
    let found = directory.migrations.binary_search_by(|migration| migration.version.cmp(&row.id));
    let missing = |_| {
        let message =
            format!("the file of revision {} is not in this directory: run this with the image that has it", row.id);
        Failure::new(Stage::Load, Cause::Invalid(vec![message]))
    };
    found.map(|index| &directory.migrations[index]).map_err(missing)
}

/// Returns the row of a revision that the tool of the history has recorded as failed.
fn failed_in_tool(applied: &[Applied]) -> Option<&Applied> {
    applied.iter().find(|row| row.state == RecordedState::Failed)
}

/// Records a revision that has failed in another tool as applied, or as not applied.
async fn decide_revision(
    directory: &MigrationDir,
    row: &Applied,
    decision: Decision,
    locked: &mut Locked,
    canceller: &mut Canceller,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let (migration, previous) = (find(directory, row)?, directory.previous(&row.id));
    let give_up = HistoryChange::GiveUp { id: &row.id, previous };
    let record = HistoryChange::Record(HistoryRow {
        direction: Direction::Up,
        id: &row.id,
        previous,
        migration,
        checksum: migration.up.checksum,
        executed: migration.up.fingerprint,
        down: None,
        progress: RecordedProgress::Whole { statements: 0 },
        // The row is inserted once, in whatever mode the script runs.
        mode: TransactionMode::Transaction,
        backup: None,
        elapsed: Elapsed::Known(Duration::ZERO),
    });
    let (changes, effect) = match decision {
        Decision::Done => (vec![give_up, record], "is recorded as applied"),
        Decision::Again => (vec![give_up], "will be run again by the next run"),
    };
    rewrite_history(locked, canceller, &changes, cancel).await?;
    Ok(format!("revision {} {effect}", row.id))
}

/// Returns the row with the open statement, the direction of its script, and the point at which to resume. There is at
/// most one such row, because a run ends at the first open statement.
fn open(applied: &[Applied]) -> Option<(&Applied, Direction, Resume)> {
    let row = applied.iter().find(|row| row.outcome == StatementOutcome::Open)?;
    let direction = match row.state {
        RecordedState::Undoing { .. } => Direction::Down,
        RecordedState::Partial { .. } | RecordedState::Applied | RecordedState::Failed => Direction::Up,
    };
    Some((row, direction, Resume::from_row(row, direction)?))
}

/// The open statement: the one after the statements that are done.
struct OpenStatement {
    /// A description of the statement: its place in the file, its number and its beginning.
    description: String,
    /// The fingerprint of the file's text up to the end of the statement.
    executed: Fingerprint,
}

/// Reads the open statement from its file, after a check that the statements before it are unchanged.
fn statement(
    directory: &MigrationDir,
    migration: &Migration,
    direction: Direction,
    resume: Resume,
) -> Result<OpenStatement, Failure> {
    let invalid = |text: String| Failure::new(Stage::Load, Cause::Invalid(vec![text]));
    let down: Option<Section>;
    let section = match direction {
        Direction::Up => &migration.up,
        Direction::Down => {
            down = directory.load_down(migration).map_err(invalid)?;
            let missing = || invalid(format!("{} has no down migration any more", migration.up.file));
            down.as_ref().ok_or_else(missing)?
        }
    };
    let file = &section.file;
    let step_failure = |error: ApplyError| Failure::new(Stage::Plan, Cause::Step { file: file.to_string(), error });
    let mut batches = directory.open(section).map_err(|error| step_failure(error.into()))?;
    let edited_error = ApplyError::ResumeEdited { done: resume.done };
    if batches.skip(resume.done, resume.executed).map_err(|error| step_failure(error.into()))?.is_none() {
        return Err(step_failure(edited_error));
    }
    let next = batches.next(BatchLimit::Statement).map_err(|error| step_failure(error.into()))?;
    let Some(batch) = next.filter(|batch| !batch.starts.is_empty()) else {
        return Err(invalid(format!("{file} has no statement behind the {} that are done", resume.done)));
    };
    let (position, number) = (batch.first(), resume.done + 1);
    let text = excerpt(batch.statement(0)).lines().collect::<Vec<_>>().join(" / ");
    let description = format!("{file}:{position}: statement {number} ({})", text.trim_end_matches(';'));
    Ok(OpenStatement { description, executed: batches.fingerprint() })
}
