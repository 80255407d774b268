//! `--plan` and `--sql`: what would run.

use std::io::BufWriter;

use super::{Answer, Form};
use crate::cli::Look;
use crate::config::Config;
use crate::database::Broken;
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::report::Page;
use crate::revision::plan::list;
use crate::revision::render::{History, Printer, Session, Summary, Unprinted, identifier};
use crate::revision::target::Range;
use crate::revision::{Applied, Direction, Id, Plan, Target};
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
    if let Some(range) = target.and_then(Range::parse) {
        let range = range.map_err(usage)?;
        return match look.sql {
            true => offline(config, &range, direction, cancel),
            false => Err(usage("FROM:TO goes with --sql".into())),
        };
    }
    let target = target.map_or(Ok(config.target.clone()), Target::parse).map_err(usage)?;
    let errand = Errand::new(config, &target, direction)?;
    let (database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, plan) = errand.settle(&applied)?;
    let (table, schema) = database.history_place();
    drop(database);
    let sheet = Sheet { config, errand: &errand, applied: &applied, table, schema };
    let _ = form;
    sheet.print(&plan, cancel)
}

/// `FROM:TO`: as if exactly FROM and what it rests on were applied.
fn offline(config: &Config, range: &Range, direction: Direction, cancel: &Cancel) -> Result<Answer, Failure> {
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

impl Sheet<'_> {
    /// Prints the plan as a script.
    fn print(&self, plan: &Plan, cancel: &Cancel) -> Result<Answer, Failure> {
        let inspected = self.errand.inspect(plan, self.applied)?;
        let config = self.config;
        let history = History {
            dialect: config.dialect,
            table: self.table.clone(),
            applied_by: config.applied_by.clone(),
        };
        let mut printer = Printer {
            out: BufWriter::new(Page(cancel)),
            history: &history,
            session: Session {
                lock: config.limits.lock,
                statement: config.limits.statement,
                lasting: Vec::new(),
            },
            schema: self.schema.as_deref(),
            table: &config.history.table,
            busy: config.limits.busy,
        };
        let summary = Summary {
            direction: plan.direction,
            from: &plan.current,
            applied: self.applied,
            to: &plan.goal,
            steps: plan.steps.len(),
        };
        let unprinted = |error| unprinted("", error, cancel);
        printer.opening(&summary).map_err(|error| unprinted(error.into()))?;
        for step in &plan.steps {
            let script = &self.errand.folder.scripts[step.script];
            let way = inspected.way(step, plan.direction);
            let resume = step.resume.as_deref().copied();
            let batches = self.errand.folder.open(way.file, way.header).map_err(Unprinted::Text);
            let printed = batches.and_then(|batches| printer.step(script, &way, batches, resume));
            printed.map_err(|error| self::unprinted(way.file, error, cancel))?;
        }
        printer.closing(&summary).map_err(|error| unprinted(error.into()))?;
        let [from, to] = [&plan.current, &plan.goal].map(|ids| named(ids));
        Ok(Answer::Printed(format!(
            "printed revisions: {}, from {from} to {to}; nothing was changed",
            plan.steps.len()
        )))
    }
}

fn unprinted(file: &str, error: Unprinted, cancel: &Cancel) -> Failure {
    let broken = match error {
        Unprinted::Output(error) => {
            let cause = cancel.signal().map_or(Cause::Output(error), Cause::Stopped);
            return Failure::new(Stage::Plan, cause);
        }
        Unprinted::Text(error) => Broken::Text(error),
        Unprinted::Changed => Broken::ChangedOnDisk,
        Unprinted::ResumeEdited { done } => Broken::ResumeEdited { done },
    };
    Failure::new(Stage::Plan, Cause::Step { file: file.to_owned(), broken })
}

fn named(ids: &[Id]) -> String {
    if ids.is_empty() { "base".into() } else { list(ids) }
}
