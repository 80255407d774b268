//! The `stamp` command: records revisions as applied without running them, through the stages of an upgrade.

use super::ChangeSummary;
use super::recorded_rows::{load_down_scripts, recorded_row};
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::{Canceller, Database, Locked};
use crate::directory::MigrationDir;
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::revision::history::HistoryChange;
use crate::revision::plan::{self, Stamp, list};
use crate::revision::{Applied, RecordedState, Section, Target};
use crate::stage::backup::{RevisionRange, Safety, backup, note_success};
use crate::stage::rewrite_history::rewrite_history;
use crate::stage::with_lock::{LockDecision, with_lock_unless_done};

/// Makes the history say that exactly the target and the revisions on which it depends are applied. The scripts are not
/// run, and need not be runnable.
///
/// # Errors
/// Fails with the failure of the stage that could not go on; the history is unchanged then.
pub(crate) async fn stamp(
    config: &DatabaseConfig,
    target: &Target,
    context: &RunContext,
) -> Result<ChangeSummary, Failure> {
    let failed = |cause| Failure::new(Stage::Load, cause);
    let directory = config.load_migrations().map_err(failed)?;
    let positions = plan::resolve(&directory.graph, &directory.migrations, target)
        .map_err(|error| failed(Cause::from_plan_errors(&[error])))?;
    let work = StampWork { config, directory, positions };
    // An empty history table counts as a history: it says that no revision of the directory is in the schema.
    let answer = |has_history: &bool, applied: &[Applied]| {
        let stamp = work.plan(applied).ok().filter(|stamp| *has_history && stamp.is_empty())?;
        Some(nothing_to_record(&stamp))
    };
    let decide = async |database: Database, applied: Vec<Applied>| {
        work.plan(&applied)?;
        let has_history = database.has_history();
        Ok(match answer(&has_history, &applied) {
            Some(summary) => LockDecision::Answer(summary),
            None => LockDecision::Lock(database, has_history),
        })
    };
    let run = async |locked: &mut Locked, canceller, _| work.run_locked(locked, canceller, context).await;
    with_lock_unless_done(&lock_settings(config), &context.cancel, decide, answer, run).await
}

/// Turns an error of the database into a failure of the plan stage.
fn planning_failure(fault: crate::database::DatabaseError) -> Failure {
    Failure::new(Stage::Plan, Cause::Database(fault))
}

/// The stamp to record.
struct StampWork<'a> {
    /// The configuration of the run.
    config: &'a DatabaseConfig,
    /// The migration directory.
    directory: MigrationDir,
    /// The target's positions among the directory's scripts; empty for base.
    positions: Vec<usize>,
}

impl StampWork<'_> {
    /// Compares the history with the target, and returns the rows to record and to remove.
    fn plan(&self, applied: &[Applied]) -> Result<Stamp, Failure> {
        plan::stamp(&self.directory.graph, &self.directory.migrations, applied, &self.positions)
            .map_err(|errors| Failure::new(Stage::Plan, Cause::from_plan_errors(&errors)))
    }

    /// Backs up and records under the lock, so that no other run can write.
    async fn run_locked(
        &self,
        locked: &mut Locked,
        mut canceller: Canceller,
        context: &RunContext,
    ) -> Result<ChangeSummary, Failure> {
        let applied = locked.database().history().await.map_err(planning_failure)?;
        let stamp = self.plan(&applied)?;
        if stamp.is_empty() && locked.database().has_history() {
            return Ok(nothing_to_record(&stamp));
        }
        let down_scripts = load_down_scripts(&self.directory, stamp.record.iter().map(|(index, _)| *index))?;
        if !stamp.record.is_empty() && locked.database().is_empty().await.map_err(planning_failure)? {
            tracing::warn!("the database is empty: nothing of what is recorded now is in it");
        }
        let newest = plan::newest(&applied).map(ToString::to_string);
        let range = RevisionRange { from: newest, to: revision(&stamp), guarded: None };
        let safety = backup(locked, &mut canceller, &self.config.backup, &range, context).await?;
        self.log_removed_rows(&stamp);
        rewrite_history(locked, &mut canceller, &self.changes(&stamp, &down_scripts, &safety), &context.cancel).await?;
        self.verify(locked).await?;
        for (index, unfinished) in &stamp.record {
            let extent = match unfinished.as_ref().map(|row| row.state) {
                Some(RecordedState::Partial { .. } | RecordedState::Failed) => "the rest of it",
                Some(RecordedState::Undoing { .. }) => "what was undone of it",
                Some(RecordedState::Applied) | None => "it",
            };
            tracing::info!("recorded {} without running {extent}", self.directory.migrations[*index].up.file);
        }
        note_success(&safety, None).await;
        let backup = safety.shown();
        Ok(ChangeSummary { message: message(&stamp, backup.as_deref()), revision: revision(&stamp), backup })
    }

    /// Logs the content of each row that is removed or replaced, because it is lost afterwards.
    fn log_removed_rows(&self, stamp: &Stamp) {
        let replaced = stamp.record.iter().filter_map(|(_, row)| row.as_ref().map(|row| ("replacing", row)));
        let removed = stamp.remove.iter().map(|row| ("removing", row));
        for (action, row) in removed.chain(replaced) {
            let state = match row.state {
                RecordedState::Applied => "applied".to_owned(),
                RecordedState::Partial { done } => format!("partial, statements done: {done}"),
                RecordedState::Undoing { done } => format!("half undone, statements undone: {done}"),
                RecordedState::Failed => "failed in another tool".to_owned(),
            };
            let executed = row.executed.map(|checksum| checksum.to_string());
            let checksum = row.checksum.map(|checksum| checksum.to_string()).or(executed).unwrap_or("none".into());
            let down = row.down.map_or(String::new(), |checksum| format!(", down_checksum {checksum}"));
            tracing::info!("{action} the row of revision {}: {state}, checksum {checksum}{down}", row.id);
        }
    }

    /// Returns the changes of the history: first the removed rows, then the recorded ones.
    fn changes<'a>(
        &'a self,
        stamp: &'a Stamp,
        down_scripts: &[Option<Section>],
        safety: &'a Safety,
    ) -> Vec<HistoryChange<'a>> {
        let unfinished = stamp.record.iter().filter_map(|(_, row)| row.as_ref());
        let removals = stamp.remove.iter().chain(unfinished).map(|row| {
            let (id, previous) = (&row.id, self.directory.previous(&row.id));
            match row.state {
                RecordedState::Applied => HistoryChange::Remove { id, previous },
                RecordedState::Partial { .. } | RecordedState::Undoing { .. } | RecordedState::Failed => {
                    HistoryChange::GiveUp { id, previous }
                }
            }
        });
        let records = stamp.record.iter().zip(down_scripts);
        let records = records.map(|((index, _), down)| recorded_row(&self.directory, *index, down.as_ref(), safety));
        removals.chain(records).collect()
    }

    /// Reads the history again, and fails if it differs from the target.
    async fn verify(&self, locked: &mut Locked) -> Result<(), Failure> {
        let failed = |cause| Failure::new(Stage::Verify, cause);
        let applied = locked.database().history().await.map_err(|fault| failed(Cause::Database(fault)))?;
        let remaining = self.plan(&applied).map_err(|failure| failed(failure.cause))?;
        let missing = remaining.record.iter().map(|(index, _)| {
            format!("revision {} is not recorded as applied", self.directory.migrations[*index].version)
        });
        let extra = remaining.remove.iter().map(|row| format!("revision {} is still recorded", row.id));
        let mismatches: Vec<String> = missing.chain(extra).collect();
        match mismatches.is_empty() {
            true => Ok(()),
            false => Err(failed(Cause::Mismatch(mismatches))),
        }
    }
}

/// Returns the numbers of the target's revisions; `None` is base.
fn revision(stamp: &Stamp) -> Option<String> {
    (!stamp.at.is_empty()).then(|| list(&stamp.at))
}

/// Returns the summary for a history that is already at the target.
fn nothing_to_record(stamp: &Stamp) -> ChangeSummary {
    let revision = revision(stamp);
    let current_revision = revision.as_deref().unwrap_or("base");
    ChangeSummary { message: format!("nothing to stamp, the history is at {current_revision}"), revision, backup: None }
}

/// Returns the last line, which states the assumption about the schema.
fn message(stamp: &Stamp, backup: Option<&str>) -> String {
    let current_revision = revision(stamp);
    let mut parts = Vec::new();
    match (stamp.record.len(), stamp.remove.len()) {
        (0, 0) => parts.push("an empty history was made".to_owned()),
        (recorded, removed) => {
            parts.extend((recorded > 0).then(|| format!("{recorded} recorded without running")));
            parts.extend((removed > 0).then(|| format!("{removed} removed")));
        }
    }
    parts.extend(backup.map(|backup| format!("backup {backup}")));
    let assumed = match (&current_revision, stamp.at.len()) {
        (None, _) => "nothing of the directory is in the schema".into(),
        (Some(current_revision), 1) => format!("the schema is what {current_revision} leaves"),
        (Some(current_revision), _) => format!("the schema is what {current_revision} leave"),
    };
    let current_revision = current_revision.as_deref().unwrap_or("base");
    format!("stamped at {current_revision}: {}; it is assumed that {assumed}", parts.join(", "))
}
