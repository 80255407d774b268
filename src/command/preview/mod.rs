//! `--plan` and `--sql`: show the revisions that a run would apply or roll back.

mod list;
mod script;

use super::{CommandOutput, OutputFormat};
use crate::cli::PreviewFlags;
use crate::config::{BackupWays, DatabaseConfig};
use crate::database::Database;
use crate::error::{Cause, Failure, Stage};
use crate::request::MigrationRequest;
use crate::revision::target::TargetRange;
use crate::revision::{Applied, Backslash, Direction, Plan, Target};
use crate::signal::Cancel;
use crate::stage::foreign_history::refuse_foreign_history;
use crate::stage::wait::wait;

/// Shows the steps of a run without running them.
///
/// # Errors
/// Fails with the cause that would prevent the run, or when the output is not read to its end.
pub(crate) async fn preview(
    config: &DatabaseConfig,
    target: Option<&str>,
    direction: Direction,
    flags: PreviewFlags,
    format: OutputFormat,
    cancel: &Cancel,
) -> Result<CommandOutput, Failure> {
    let usage = |reason| Failure::new(Stage::Configure, Cause::Usage(reason));
    let result =
        if let Some(range) = target.and_then(|text| TargetRange::parse(text, |text| config.layout.version(text))) {
            if !flags.sql {
                return Err(usage("FROM:TO goes with --sql".into()));
            }
            offline(config, &range.map_err(usage)?, direction, cancel)
        } else {
            let target = target.map_or_else(|| Ok(config.target.clone()), |text| super::target(config, text))?;
            let listing = online(config, &target, direction, flags, format, cancel).await;
            match (listing, flags.plan) {
                (Err(failure), _) if matches!(failure.cause, Cause::Layout(_)) => Err(failure),
                (Err(failure), true) => Err(list::refused(failure, format, cancel).await),
                (listing, _) => listing,
            }
        };
    result.map(CommandOutput::Printed)
}

/// Shows the plan that starts at the current revision of the database.
async fn online(
    config: &DatabaseConfig,
    target: &Target,
    direction: Direction,
    flags: PreviewFlags,
    format: OutputFormat,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let request = MigrationRequest::new(config, target, direction)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let (_, plan) = request.resolve(&applied)?;
    if direction == Direction::Up && !plan.steps.is_empty() {
        refuse_foreign_history(&mut database, &request.directory).await?;
    }
    let (table, schema) = database.history_place();
    let backslash = database.server().backslash;
    let context = PreviewContext { config, request: &request, applied: &applied, table, schema, backslash };
    if flags.sql {
        // The session is closed first, because the reader of the script may be slow.
        drop(database);
        return context.print(&plan, cancel);
    }
    let backup = PlannedBackup::for_plan(&config.backup.ways, &plan, &mut database).await?;
    drop(database);
    context.list(&plan, backup, format, cancel).await
}

/// Shows the plan of a range `FROM:TO`, as if exactly FROM and the revisions on which it depends were applied.
fn offline(
    config: &DatabaseConfig,
    range: &TargetRange,
    direction: Direction,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let request = MigrationRequest::new(config, &range.to, direction)?;
    let applied = request.as_if_at(&range.from)?;
    let (_, plan) = request.resolve(&applied)?;
    if plan.steps.is_empty() && !request.is_at_target(&plan) {
        let TargetRange { from, to } = range;
        let reason = format!("{to} comes before {from}; to roll back, use lockkeeper downgrade --sql {from}:{to}");
        return Err(Failure::new(Stage::Configure, Cause::Usage(reason)));
    }
    let (table, schema) = (config.history.quoted(), config.history.schema.clone());
    // The server that will run the script is not known; psql interprets backslashes as that server does.
    let backslash = Backslash::Ordinary;
    let context = PreviewContext { config, request: &request, applied: &applied, table, schema, backslash };
    context.print(&plan, cancel)
}

/// The data from which a plan is shown.
struct PreviewContext<'a> {
    /// The configuration of the run.
    config: &'a DatabaseConfig,
    /// The migration directory and the target.
    request: &'a MigrationRequest,
    /// The applied revisions, or those that are assumed to be applied.
    applied: &'a [Applied],
    /// The history table's name, quoted.
    table: String,
    /// The history table's schema, if it is known.
    schema: Option<String>,
    /// The server's interpretation of backslashes in string literals in a new session.
    backslash: Backslash,
}

/// The backup that a run would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlannedBackup {
    /// The plan is empty, so no backup is needed.
    NothingToDo,
    /// The database is empty, so no backup is taken.
    NothingToSave,
    /// Backups are switched off.
    Off,
    /// A backup would be taken.
    Taken,
}

impl PlannedBackup {
    /// Finds the backup that a run of the plan would take.
    async fn for_plan(ways: &BackupWays, plan: &Plan, database: &mut Database) -> Result<PlannedBackup, Failure> {
        if plan.steps.is_empty() {
            return Ok(PlannedBackup::NothingToDo);
        }
        if ways.is_off() {
            return Ok(PlannedBackup::Off);
        }
        let is_empty = database.is_empty().await;
        match is_empty.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))? {
            true => Ok(PlannedBackup::NothingToSave),
            false => Ok(PlannedBackup::Taken),
        }
    }
}
