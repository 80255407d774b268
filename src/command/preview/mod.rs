//! `--plan` and `--sql`: what would run.

mod list;
mod script;

use super::{CommandOutput, OutputFormat};
use crate::cli::PreviewFlags;
use crate::config::{BackupMode, Config};
use crate::database::Database;
use crate::error::{Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::target::TargetRange;
use crate::revision::{Applied, Backslash, Direction, Plan, Target};
use crate::signal::Cancel;
use crate::stage::foreign_history::refuse_foreign_history;
use crate::stage::wait::wait;

/// Shows what a run would do, without doing it.
///
/// # Errors
/// Whatever would keep the run from being done; an output that is not read to its end.
pub async fn preview(
    config: &Config,
    target: Option<&str>,
    direction: Direction,
    look: PreviewFlags,
    form: OutputFormat,
    cancel: &Cancel,
) -> Result<CommandOutput, Failure> {
    let usage = |reason| Failure::new(Stage::Configure, Cause::Usage(reason));
    let said = if let Some(range) = target.and_then(TargetRange::parse) {
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
    said.map(CommandOutput::Printed)
}

/// From where the database is.
async fn online(
    config: &Config,
    target: &Target,
    direction: Direction,
    look: PreviewFlags,
    form: OutputFormat,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let request = MigrationRequest::new(config, target, direction)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, plan) = request.settle(&applied)?;
    if direction == Direction::Up && !plan.steps.is_empty() {
        refuse_foreign_history(&mut database, &request.folder).await?;
    }
    let (table, schema) = database.history_place();
    let reading = database.server().backslash;
    let sheet = PreviewContext { config, request: &request, applied: &applied, table, schema, reading };
    if look.sql {
        // A slow reader of the script keeps no session open.
        drop(database);
        return sheet.print(&plan, cancel);
    }
    let backup = PlannedBackup::for_plan(config.backup.mode, &plan, &mut database).await?;
    drop(database);
    sheet.list(&plan, backup, form, cancel).await
}

/// `FROM:TO`: as if exactly FROM and what it rests on were applied.
fn offline(config: &Config, range: &TargetRange, direction: Direction, cancel: &Cancel) -> Result<String, Failure> {
    let request = MigrationRequest::new(config, &range.to, direction)?;
    let applied = request.as_if_at(&range.from)?;
    let (_, plan) = request.settle(&applied)?;
    if plan.steps.is_empty() && !request.is_at_target(&plan) {
        let TargetRange { from, to } = range;
        let reason = format!("{to} comes before {from}; to roll back, use lockkeeper downgrade --sql {from}:{to}");
        return Err(Failure::new(Stage::Configure, Cause::Usage(reason)));
    }
    let (table, schema) = (config.history.quoted(), config.history.schema.clone());
    // The server that will run the script is not known; psql reads it as that server does.
    let reading = Backslash::Ordinary;
    let sheet = PreviewContext { config, request: &request, applied: &applied, table, schema, reading };
    sheet.print(&plan, cancel)
}

/// What a plan is shown with.
struct PreviewContext<'a> {
    config: &'a Config,
    request: &'a MigrationRequest,
    applied: &'a [Applied],
    /// The history table, quoted.
    table: String,
    schema: Option<String>,
    /// How the server reads string literals in a new session.
    reading: Backslash,
}

/// What a run would do for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlannedBackup {
    NothingToDo,
    NothingToSave,
    Off,
    Taken,
}

impl PlannedBackup {
    async fn for_plan(mode: BackupMode, plan: &Plan, database: &mut Database) -> Result<PlannedBackup, Failure> {
        if plan.steps.is_empty() {
            return Ok(PlannedBackup::NothingToDo);
        }
        if mode == BackupMode::Off {
            return Ok(PlannedBackup::Off);
        }
        let is_empty = database.is_empty().await;
        match is_empty.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))? {
            true => Ok(PlannedBackup::NothingToSave),
            false => Ok(PlannedBackup::Taken),
        }
    }
}
