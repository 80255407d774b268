//! `repair`: accepts edited files, and gives up revisions of which nothing is done and whose files are gone.
//!
//! No backup is taken: the schema stays as it is, and the checksums that are replaced stand in the log.

use super::confirm::{Consent, agree};
use super::with_lock::behind_the_lock;
use crate::config::Config;
use crate::database::{Canceller, DatabaseError, Locked};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan::{self, PlanError};
use crate::revision::render::HistoryChange;
use crate::revision::{Applied, Checksum, Direction, Id, RecordedState, Script};
use crate::signal::Cancel;
use crate::stage::rewrite_history::restate;
use crate::stage::wait::wait;

/// What can be done when nobody agrees.
const INSTEAD: &str = "put the files back as they were applied, or accept them with lockkeeper repair --yes";

/// A file that is not what was applied.
#[derive(Debug, PartialEq, Eq)]
struct EditedFile {
    /// As the history spells it.
    id: Id,
    direction: Direction,
    file: Box<str>,
    recorded: Option<Checksum>,
    now: Checksum,
}

/// What a repair changes in the history.
#[derive(Default, PartialEq, Eq)]
struct Repairs {
    edited: Vec<EditedFile>,
    /// Revisions that another image has begun, of which nothing is done, and whose files are gone.
    untouched: Vec<Id>,
}

/// The history laid over the files.
#[derive(Default)]
struct RepairComparison {
    repairs: Repairs,
    /// What cannot be repaired, a line each.
    beyond: Vec<String>,
}

/// Makes the history hold the checksums of the files as they are now, and no row of which nothing is done and whose file is
/// gone.
///
/// # Errors
/// Nobody has agreed; the failure of the stage that could not go on. The history is as it was then.
pub async fn repair(config: &Config, consent: Consent, cancel: &Cancel) -> Result<String, Failure> {
    let folder = load(config)?;
    let (_, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let shown = compare(&folder, &applied)?;
    for line in &shown.beyond {
        tracing::warn!("not repaired: {line}");
    }
    let repairs = shown.repairs;
    if repairs.is_empty() {
        return Ok("nothing to repair".into());
    }
    for line in repairs.lines() {
        tracing::warn!("{line}");
    }
    if consent == Consent::Ask {
        let (question, instead) = repairs.question();
        agree(&question, instead, cancel).await?;
    }
    behind_the_lock(config, cancel, async |locked: &mut Locked, canceller| {
        run_locked(config, &repairs, locked, canceller, cancel).await
    })
    .await
}

/// The part in which nobody else can write. Nothing but what was shown is accepted.
async fn run_locked(
    config: &Config,
    shown: &Repairs,
    locked: &mut Locked,
    mut canceller: Canceller,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let folder = load(config)?;
    let now = compare(&folder, &history(locked, Stage::Plan).await?)?.repairs;
    if now.is_empty() {
        return Ok("nothing to repair any more".into());
    }
    if now != *shown {
        let message = "what is edited has changed since it was shown; run lockkeeper repair again";
        return Err(Failure::new(Stage::Plan, Cause::Invalid(vec![message.into()])));
    }
    let changes: Vec<HistoryChange<'_>> =
        now.edited.iter().map(EditedFile::accepted).chain(now.untouched.iter().map(HistoryChange::Remove)).collect();
    restate(locked, &mut canceller, &changes, cancel).await?;
    let left = compare(&folder, &history(locked, Stage::Verify).await?)?.repairs;
    match left.is_empty() {
        true => Ok(format!("repaired: {}", now.summary())),
        false => Err(Failure::new(Stage::Verify, Cause::Mismatch(left.lines()))),
    }
}

pub(super) fn load(config: &Config) -> Result<MigrationDir, Failure> {
    MigrationDir::load(&config.dir, config.dialect).map_err(|cause| Failure::new(Stage::Load, cause))
}

pub(super) async fn history(locked: &mut Locked, stage: Stage) -> Result<Vec<Applied>, Failure> {
    let failed = |fault: DatabaseError| Failure::new(stage, Cause::Database(fault));
    locked.database().history().await.map_err(failed)
}

impl Repairs {
    fn is_empty(&self) -> bool {
        self.edited.is_empty() && self.untouched.is_empty()
    }

    /// Says what is repaired, a line each.
    fn lines(&self) -> Vec<String> {
        let untouched = self.untouched.iter().map(|id| {
            format!("revision {id} was begun, nothing of it is done, and its file is not in this folder: its row is to be removed")
        });
        self.edited.iter().map(EditedFile::describe).chain(untouched).collect()
    }

    /// Returns the question to a person, and what can be done when the answer is no.
    fn question(&self) -> (String, &'static str) {
        let files = (!self.edited.is_empty()).then(|| format!("accept {}", these(self.edited.len())));
        let rows = (!self.untouched.is_empty()).then(|| format!("give up {}", revisions(self.untouched.len())));
        let parts: Vec<String> = files.into_iter().chain(rows).collect();
        let instead = match self.edited.is_empty() {
            true => "deploy the image that has the file and run again, or remove the row with lockkeeper repair --yes",
            false => INSTEAD,
        };
        (format!("{}?", parts.join(" and ")), instead)
    }

    fn summary(&self) -> String {
        let files = (!self.edited.is_empty()).then(|| format!("{} accepted", files(self.edited.len())));
        let rows = (!self.untouched.is_empty()).then(|| format!("{} given up", revisions(self.untouched.len())));
        files.into_iter().chain(rows).collect::<Vec<_>>().join(", ")
    }
}

impl EditedFile {
    fn describe(&self) -> String {
        let EditedFile { id, file, recorded, now, .. } = self;
        let recorded = recorded.map_or("something else".into(), |sum| sum.to_string());
        format!("{file} was edited after revision {id} was applied: recorded {recorded}, now {now}")
    }

    fn accepted(&self) -> HistoryChange<'_> {
        let EditedFile { ref id, direction, recorded, now, .. } = *self;
        HistoryChange::Accept { id, direction, recorded, now }
    }
}

fn revisions(count: usize) -> String {
    if count == 1 { "1 revision".into() } else { format!("{count} revisions") }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Compares both files of every applied revision with its row.
///
/// # Errors
/// Files that cannot be read.
fn compare(folder: &MigrationDir, applied: &[Applied]) -> Result<RepairComparison, Failure> {
    let mut rows: Vec<&Applied> = applied.iter().collect();
    rows.sort_by_key(|row| &row.id);
    let mut found = RepairComparison::default();
    let mut unreadable = Vec::new();
    let fileless = plan::unfinished_without_file(&folder.graph, &folder.scripts, applied);
    found.beyond.extend(fileless.iter().map(ToString::to_string));
    for row in rows {
        let id = row.id.clone();
        let script = folder.scripts.binary_search_by(|script| script.id.cmp(&row.id));
        match (script, row.state) {
            (Ok(at), RecordedState::Applied) => {
                let result = found.compare(folder, &folder.scripts[at], row);
                unreadable.extend(result.err());
            }
            (Ok(at), _) => {
                let left = plan::unfinished(&folder.graph, &folder.scripts, at, row);
                found.beyond.extend(left.map(|objection| objection.to_string()));
            }
            (Err(_), _) if plan::is_untouched(row) => found.repairs.untouched.push(id),
            (Err(_), RecordedState::Partial { .. } | RecordedState::Undoing { .. }) => {}
            (Err(at), RecordedState::Applied) if at == folder.scripts.len() => {
                found.beyond.push(format!("revision {id} is newer than this folder"));
            }
            (Err(_), RecordedState::Applied) => found.beyond.push(PlanError::Missing { id }.to_string()),
        }
    }
    match unreadable.is_empty() {
        true => Ok(found),
        false => Err(Failure::new(Stage::Load, Cause::Invalid(unreadable))),
    }
}

impl RepairComparison {
    fn compare(&mut self, folder: &MigrationDir, script: &Script, row: &Applied) -> Result<(), String> {
        let edited = |direction, file: &str, recorded, now| EditedFile {
            id: row.id.clone(),
            direction,
            file: file.into(),
            recorded,
            now,
        };
        if row.checksum != Some(script.checksum) {
            self.repairs.edited.push(edited(Direction::Up, &script.up, row.checksum, script.checksum));
        }
        // A row that knows of no down migration is left alone: there may be one since.
        let Some(recorded) = row.down else {
            return Ok(());
        };
        match (&script.down, folder.load_down(script)?) {
            (Some(file), Some(back)) if back.checksum != recorded => {
                self.repairs.edited.push(edited(Direction::Down, file, Some(recorded), back.checksum));
            }
            (Some(_), Some(_)) => {}
            _ => self.beyond.push(format!(
                "the down migration of {} was there when it was applied (checksum {recorded}); put the file back",
                script.up
            )),
        }
        Ok(())
    }
}

fn these(count: usize) -> String {
    if count == 1 { "this file".into() } else { format!("these {count} files") }
}
