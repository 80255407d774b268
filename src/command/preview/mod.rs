//! `--plan` and `--sql`: what would run.

mod list;
mod script;

use super::{Answer, Form};
use crate::cli::Look;
use crate::config::{BackupMode, Config};
use crate::entrypoint::unadopted;
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::render::identifier;
use crate::revision::target::Range;
use crate::revision::{Applied, Direction, Target};
use crate::signal::Cancel;
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
        let target = target.map_or(Ok(config.target.clone()), Target::parse).map_err(usage)?;
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
    let is_empty = database.is_empty().await;
    let is_empty = is_empty.map_err(|fault| Failure::new(Stage::Plan, Cause::Database(fault)))?;
    let backup = match config.backup.mode {
        _ if plan.steps.is_empty() => Backup::NothingToDo,
        BackupMode::Off => Backup::Off,
        BackupMode::Required if is_empty => Backup::NothingToSave,
        BackupMode::Required => Backup::Taken,
    };
    let (table, schema) = database.history_place();
    drop(database);
    let sheet = Sheet { config, errand: &errand, applied: &applied, table, schema };
    match look.sql {
        true => sheet.print(&plan, cancel),
        false => sheet.list(&plan, backup, form, cancel).await,
    }
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
    let name = &config.history;
    let table = identifier(&name.table);
    let table =
        name.schema.as_ref().map_or(table.clone(), |schema| format!("{}.{table}", identifier(schema)));
    let sheet = Sheet { config, errand: &errand, applied: &applied, table, schema: name.schema.clone() };
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
}

/// What a run would do for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backup {
    NothingToDo,
    NothingToSave,
    Off,
    Taken,
}
