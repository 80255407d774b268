//! `--plan` and `--sql`: what would run.

mod list;
mod script;

use super::{Answer, Form};
use crate::cli::Look;
use crate::config::{BackupMode, Config};
use crate::database::Database;
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::target::Range;
use crate::revision::{Applied, Backslash, Direction, Plan, Target};
use crate::signal::Cancel;
use crate::stage::baseline::unadopted;
use crate::stage::wait::wait;

/// Shows what a run would do, without doing it.
///
/// # Errors
/// Whatever would keep the run from being done; an output that is not read to its end.
pub async fn preview(
    config: &Config,
    target: Option<&str>,
    direction: Direction,
    look: Look,
    form: Form,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let usage = |reason| Failure::new(Stage::Configure, Cause::Usage(reason));
    let said = if let Some(range) = target.and_then(Range::parse) {
        if !look.sql {
            return Err(usage("FROM:TO goes with --sql".into()));
        }
        offline(config, &range.map_err(usage)?, direction, cancel)
    } else {
        let target = target.map_or(Ok(config.target.clone()), super::target)?;
        let shown = online(config, &target, direction, look, form, cancel).await;
        match (shown, look.plan) {
            (Err(failure), true) => Err(list::refused(failure, form, cancel).await),
            (shown, _) => shown,
        }
    };
    said.map(Answer::Printed)
}

/// From where the database is.
async fn online(
    config: &Config,
    target: &Target,
    direction: Direction,
    look: Look,
    form: Form,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let errand = Errand::new(config, target, direction)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, plan) = errand.settle(&applied)?;
    if direction == Direction::Up && !plan.steps.is_empty() {
        unadopted(&mut database, &errand.folder).await?;
    }
    let (table, schema) = database.history_place();
    let reading = database.server().backslash;
    let sheet = Sheet { config, errand: &errand, applied: &applied, table, schema, reading };
    if look.sql {
        // A slow reader of the script keeps no session open.
        drop(database);
        return sheet.print(&plan, cancel);
    }
    let backup = Backup::of(config.backup.mode, &plan, &mut database).await?;
    drop(database);
    sheet.list(&plan, backup, form, cancel).await
}

/// `FROM:TO`: as if exactly FROM and what it rests on were applied.
fn offline(config: &Config, range: &Range, direction: Direction, cancel: &Cancel) -> Result<String, Failure> {
    let errand = Errand::new(config, &range.to, direction)?;
    let applied = errand.as_if_at(&range.from)?;
    let (_, plan) = errand.settle(&applied)?;
    if plan.steps.is_empty() && !errand.is_at_target(&plan) {
        let Range { from, to } = range;
        let reason =
            format!("{to} comes before {from}; the way back is lockkeeper downgrade --sql {from}:{to}");
        return Err(Failure::new(Stage::Configure, Cause::Usage(reason)));
    }
    let (table, schema) = (config.history.quoted(), config.history.schema.clone());
    // The server that will run the script is not known; psql reads it as that server does.
    let reading = Backslash::Ordinary;
    let sheet = Sheet { config, errand: &errand, applied: &applied, table, schema, reading };
    sheet.print(&plan, cancel)
}

/// What a plan is shown with.
struct Sheet<'a> {
    config: &'a Config,
    errand: &'a Errand,
    applied: &'a [Applied],
    /// The history table, quoted.
    table: String,
    schema: Option<String>,
    /// How the server reads string literals in a new session.
    reading: Backslash,
}

/// What a run would do for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backup {
    NothingToDo,
    NothingToSave,
    Off,
    Taken,
}

impl Backup {
    async fn of(mode: BackupMode, plan: &Plan, database: &mut Database) -> Result<Backup, Failure> {
        if plan.steps.is_empty() {
            return Ok(Backup::NothingToDo);
        }
        if mode == BackupMode::Off {
            return Ok(Backup::Off);
        }
        let is_empty = database.is_empty().await;
        match is_empty.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))? {
            true => Ok(Backup::NothingToSave),
            false => Ok(Backup::Taken),
        }
    }
}
