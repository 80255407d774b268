//! The `repair` command: accepts edited files, and removes rows of revisions of which no statement has run and whose
//! files are gone.
//!
//! No backup is taken, because the schema stays as it is; the log contains the checksums that are replaced.

use super::confirm::{Consent, agree};
use crate::config::DatabaseConfig;
use crate::database::{Canceller, DatabaseError, Locked};
use crate::directory::MigrationDir;
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::revision::history::HistoryChange;
use crate::revision::plan::{self, PlanError};
use crate::revision::{Applied, Checksum, Direction, Migration, RecordedState, Version};
use crate::signal::Cancel;
use crate::stage::rewrite_history::rewrite_history;
use crate::stage::wait::wait;
use crate::stage::with_lock::with_lock;

/// The advice for a user who does not agree.
const DECLINED_ADVICE: &str = "put the files back as they were applied, or accept them with lockkeeper repair --yes";

/// A file whose checksum differs from the recorded one.
#[derive(Debug, PartialEq, Eq)]
struct EditedFile {
    /// The revision's number as the history spells it.
    id: Version,
    /// The direction of the file: up or down.
    direction: Direction,
    /// The name of the file.
    file: Box<str>,
    /// The checksum in the history; `None` if the row has no readable one.
    recorded: Option<Checksum>,
    /// The checksum of the file as it is now.
    current: Checksum,
}

/// The changes that a repair makes to the history.
#[derive(Default, PartialEq, Eq)]
struct Repairs {
    /// The files to accept.
    edited: Vec<EditedFile>,
    /// Revisions that a run of another image has begun, of which no statement is done, and whose files are gone.
    untouched: Vec<Version>,
}

/// The result of a comparison of the history with the files.
#[derive(Default)]
struct RepairComparison {
    /// The changes that a repair can make.
    repairs: Repairs,
    /// The problems that cannot be repaired, one line each.
    not_repairable: Vec<String>,
}

/// Writes the present checksums of the files into the history, and removes each row of which no statement is done and
/// whose file is gone.
///
/// # Errors
/// Fails when the user does not agree, or with the failure of the stage that could not go on. The history is unchanged
/// then.
pub(crate) async fn repair(config: &DatabaseConfig, consent: Consent, cancel: &Cancel) -> Result<String, Failure> {
    let directory = load(config)?;
    let (_, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let comparison = compare(&directory, &applied)?;
    for line in &comparison.not_repairable {
        tracing::warn!("not repaired: {line}");
    }
    let repairs = comparison.repairs;
    if repairs.is_empty() {
        return Ok(match comparison.not_repairable.len() {
            0 => "nothing to repair".into(),
            1 => "nothing to repair; the warning above says what is left".into(),
            _ => "nothing to repair; the warnings above say what is left".into(),
        });
    }
    for line in repairs.lines() {
        tracing::warn!("{line}");
    }
    if consent == Consent::Ask {
        let (question, instead) = repairs.question();
        agree(&question, instead, cancel).await?;
    }
    with_lock(&lock_settings(config), cancel, async |locked: &mut Locked, canceller| {
        run_locked(config, &repairs, locked, canceller, cancel).await
    })
    .await
}

/// Makes the changes under the lock, so that no other run can write. Fails if they are not the ones that the user was
/// shown.
async fn run_locked(
    config: &DatabaseConfig,
    confirmed: &Repairs,
    locked: &mut Locked,
    mut canceller: Canceller,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let directory = load(config)?;
    let repairs = compare(&directory, &history(locked, Stage::Plan).await?)?.repairs;
    if repairs.is_empty() {
        return Ok("nothing to repair any more".into());
    }
    if repairs != *confirmed {
        let message = "what is edited has changed since it was shown; run lockkeeper repair again";
        return Err(Failure::new(Stage::Plan, Cause::Invalid(vec![message.into()])));
    }
    let changes: Vec<HistoryChange<'_>> = repairs
        .edited
        .iter()
        .map(EditedFile::accept)
        .chain(repairs.untouched.iter().map(|id| HistoryChange::GiveUp { id, previous: directory.previous(id) }))
        .collect();
    rewrite_history(locked, &mut canceller, &changes, cancel).await?;
    let remaining = compare(&directory, &history(locked, Stage::Verify).await?)?.repairs;
    match remaining.is_empty() {
        true => Ok(format!("repaired: {}", repairs.summary())),
        false => Err(Failure::new(Stage::Verify, Cause::Mismatch(remaining.lines()))),
    }
}

/// Loads the migration directory.
pub(super) fn load(config: &DatabaseConfig) -> Result<MigrationDir, Failure> {
    config.load_migrations().map_err(|cause| Failure::new(Stage::Load, cause))
}

/// Reads the history under the lock; `stage` is the stage to which a failure belongs.
pub(super) async fn history(locked: &mut Locked, stage: Stage) -> Result<Vec<Applied>, Failure> {
    let failed = |fault: DatabaseError| Failure::new(stage, Cause::Database(fault));
    locked.database().history().await.map_err(failed)
}

impl Repairs {
    fn is_empty(&self) -> bool {
        self.edited.is_empty() && self.untouched.is_empty()
    }

    /// Returns the changes as log lines, one for each.
    fn lines(&self) -> Vec<String> {
        let untouched = self.untouched.iter().map(|id| {
            format!("revision {id} was begun, nothing of it is done, and its file is not in this directory: its row is to be removed")
        });
        self.edited.iter().map(EditedFile::describe).chain(untouched).collect()
    }

    /// Returns the question for the user, and the advice for a user who does not agree.
    fn question(&self) -> (String, &'static str) {
        let files = (!self.edited.is_empty()).then(|| format!("accept {}", these_files(self.edited.len())));
        let rows = (!self.untouched.is_empty()).then(|| format!("give up {}", revisions(self.untouched.len())));
        let parts: Vec<String> = files.into_iter().chain(rows).collect();
        let declined_advice = match self.edited.is_empty() {
            true => "deploy the image that has the file and run again, or remove the row with lockkeeper repair --yes",
            false => DECLINED_ADVICE,
        };
        (format!("{}?", parts.join(" and ")), declined_advice)
    }

    /// Returns the summary of the changes for the last line.
    fn summary(&self) -> String {
        let files = (!self.edited.is_empty()).then(|| format!("{} accepted", files(self.edited.len())));
        let rows = (!self.untouched.is_empty()).then(|| format!("{} given up", revisions(self.untouched.len())));
        files.into_iter().chain(rows).collect::<Vec<_>>().join(", ")
    }
}

impl EditedFile {
    /// Returns the log line of the file, with both checksums.
    fn describe(&self) -> String {
        let EditedFile { id, file, recorded, current, .. } = self;
        let recorded = recorded.map_or("something else".into(), |checksum| checksum.to_string());
        format!("{file} was edited after revision {id} was applied: recorded {recorded}, now {current}")
    }

    /// Returns the change of the history that accepts the file.
    fn accept(&self) -> HistoryChange<'_> {
        let EditedFile { ref id, direction, recorded, current, .. } = *self;
        HistoryChange::Accept { id, direction, recorded, now: current }
    }
}

/// Formats a number of revisions.
fn revisions(count: usize) -> String {
    if count == 1 { "1 revision".into() } else { format!("{count} revisions") }
}

/// Formats a number of files.
fn files(count: usize) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Compares both files of every applied revision with its row.
///
/// # Errors
/// Fails when files cannot be read.
fn compare(directory: &MigrationDir, applied: &[Applied]) -> Result<RepairComparison, Failure> {
    let applied = &plan::each_revision(&directory.migrations, applied);
    let mut rows: Vec<&Applied> = applied.iter().collect();
    rows.sort_by_key(|row| &row.id);
    let mut comparison = RepairComparison::default();
    let mut unreadable = Vec::new();
    let without_file = plan::unfinished_without_file(&directory.graph, &directory.migrations, applied);
    comparison.not_repairable.extend(without_file.iter().map(ToString::to_string));
    for row in rows {
        let id = row.id.clone();
        let migration = directory.migrations.binary_search_by(|migration| migration.version.cmp(&row.id));
        match (migration, row.state) {
            (Ok(index), RecordedState::Applied) => {
                let result = comparison.compare(directory, &directory.migrations[index], row);
                unreadable.extend(result.err());
            }
            (Ok(index), _) => {
                let unfinished = plan::unfinished(&directory.graph, &directory.migrations, index, row);
                comparison.not_repairable.extend(unfinished.map(|error| error.to_string()));
            }
            (Err(_), _) if plan::is_untouched(row) => comparison.repairs.untouched.push(id),
            (Err(_), RecordedState::Partial { .. } | RecordedState::Undoing { .. } | RecordedState::Failed) => {}
            (Err(index), RecordedState::Applied) if index == directory.migrations.len() => {
                comparison.not_repairable.push(format!("revision {id} is newer than this directory"));
            }
            (Err(_), RecordedState::Applied) => comparison.not_repairable.push(PlanError::Missing { id }.to_string()),
        }
    }
    match unreadable.is_empty() {
        true => Ok(comparison),
        false => Err(Failure::new(Stage::Load, Cause::Invalid(unreadable))),
    }
}

/// Compares both files of one applied revision with its row, and adds the differences.
impl RepairComparison {
    fn compare(&mut self, directory: &MigrationDir, migration: &Migration, row: &Applied) -> Result<(), String> {
        let edited = |direction, file: &str, recorded, current| EditedFile {
            id: row.id.clone(),
            direction,
            file: file.into(),
            recorded,
            current,
        };
        if let Some(now) = row.changed(&migration.up) {
            self.repairs.edited.push(edited(Direction::Up, &migration.up.file, row.checksum, now));
        }
        // A row without a down checksum is left alone: the down migration may have been added since.
        let Some(recorded) = row.down else {
            return Ok(());
        };
        match directory.load_down(migration)? {
            Some(down) => {
                let now = down.changed_from(Some(recorded));
                let change = now.map(|now| edited(Direction::Down, &down.file, Some(recorded), now));
                self.repairs.edited.extend(change);
            }
            None => self.not_repairable.push(format!(
                "the down migration of {} was there when it was applied (checksum {recorded}); put the file back",
                migration.up.file
            )),
        }
        Ok(())
    }
}

/// Formats a number of files as the object of a question.
fn these_files(count: usize) -> String {
    if count == 1 { "this file".into() } else { format!("these {count} files") }
}
