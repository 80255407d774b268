//! `--plan`: prints the plan as a list.

use std::io;

use serde::Serialize;

use super::{PlannedBackup, PreviewContext};
use crate::command::OutputFormat;
use crate::error::{Cause, Failure, Stage};
use crate::escape::escape;
use crate::report::{self, Colour};
use crate::revision::plan::describe_heads;
use crate::revision::{Plan, Step, TransactionMode, Version};
use crate::signal::Cancel;
use crate::table::{Cell, CellTone, TextTable};

/// The document that `--plan --json` prints. Every key is always present.
#[derive(Serialize)]
struct PlanDocument<'a> {
    /// `upgrade` or `downgrade`.
    direction: &'static str,
    /// The applied revisions on which no other applied revision depends; empty at base.
    from: Vec<&'a str>,
    /// These revisions after the plan has run.
    to: Vec<&'a str>,
    /// True if a backup would be taken first.
    backup: bool,
    /// The steps of the plan in the order in which they would run.
    steps: Vec<StepDocument<'a>>,
}

/// A step of the plan.
#[derive(Serialize)]
struct StepDocument<'a> {
    /// The revision's number.
    revision: &'a str,
    /// The revision's description.
    description: &'a str,
    /// The name of the file that would run.
    file: &'a str,
    /// True if the file runs in one transaction, and false if it runs statement by statement.
    transaction: bool,
    /// The number of statements in the file.
    statements: usize,
    /// The number of statements that an earlier run has done.
    done: usize,
    /// The file's own lock timeout in milliseconds; null if the file sets none.
    lock_timeout_ms: Option<u128>,
    /// The file's own statement timeout in milliseconds; null if the file sets none.
    statement_timeout_ms: Option<u128>,
}

impl StepDocument<'_> {
    /// Returns the cells of the step's table row.
    fn cells(&self) -> Vec<Cell> {
        let runs = match (self.transaction, self.done) {
            (true, _) => Cell::from("in one transaction"),
            (false, 0) => Cell::new("statement by statement", CellTone::Open),
            (false, done) => Cell::new(&format!("statement by statement, {done} done before"), CellTone::Open),
        };
        let statements = self.statements.to_string();
        vec![self.revision.into(), self.file.into(), statements.as_str().into(), runs]
    }
}

impl PreviewContext<'_> {
    /// Prints the plan as a table or as JSON, and returns the last line of the log.
    pub(super) async fn list(
        &self,
        plan: &Plan,
        backup: PlannedBackup,
        format: OutputFormat,
        cancel: &Cancel,
    ) -> Result<String, Failure> {
        let inspected = self.request.inspect(plan, self.applied, self.backslash)?;
        let row = |step: &Step| {
            let migration = self.request.directory.migration(step.migration);
            let script = inspected.script(step, plan.direction);
            StepDocument {
                revision: migration.version.as_str(),
                description: &migration.description,
                file: &script.section.file,
                transaction: script.section.options.mode == TransactionMode::Transaction,
                statements: script.statements,
                done: step.resume.as_ref().map_or(0, |resume| resume.done),
                lock_timeout_ms: script.section.options.lock_timeout.map(|timeout| timeout.as_millis()),
                statement_timeout_ms: script.section.options.statement_timeout.map(|timeout| timeout.as_millis()),
            }
        };
        let steps: Vec<StepDocument<'_>> = plan.steps.iter().map(row).collect();
        let text = match format {
            OutputFormat::Json => report::document(&PlanDocument {
                direction: plan.direction.verb(),
                from: plan.current.iter().map(Version::as_str).collect(),
                to: plan.goal.iter().map(Version::as_str).collect(),
                backup: backup == PlannedBackup::Taken,
                steps,
            }),
            OutputFormat::Lines => self.lines(&steps, backup),
        };
        let result = report::answer(&text, cancel).await;
        result.map_err(|cause| Failure::new(Stage::Plan, cause))?;
        let [from, to] = [&plan.current, &plan.goal].map(|ids| describe_heads(ids));
        let action = plan.direction.done();
        Ok(match plan.count().total() {
            0 => format!("nothing would be {action}: the database is at {from}"),
            _ => format!("{} would be {action}, from {from} to {to}; nothing was changed", plan.count()),
        })
    }

    /// Returns the plan as text: a line about the backup, and the table of the steps.
    fn lines(&self, steps: &[StepDocument<'_>], backup: PlannedBackup) -> String {
        let backup_note = match backup {
            PlannedBackup::NothingToDo => return "nothing is to be done\n".into(),
            PlannedBackup::NothingToSave => "first: no backup, the database is empty".into(),
            PlannedBackup::Off => "first: no backup, LOCKKEEPER_BACKUP is off".into(),
            PlannedBackup::Taken if !self.config.backup.ways.is_dump() => {
                format!("first: a backup by the first of these ways that fits: {}", self.config.backup.ways)
            }
            PlannedBackup::Taken => {
                format!("first: a verified backup into {}", escape(&self.config.backup.place.to_string()))
            }
        };
        let mut table = TextTable::new(vec!["REVISION", "FILE", "STATEMENTS", "RUNS"]);
        steps.iter().for_each(|row| table.add(row.cells()));
        format!("{backup_note}\n{}", table.text(Colour::on(&io::stdout())))
    }
}

/// Prints the reasons why nothing would run, one line each, and returns the failure unchanged.
pub(super) async fn refused(failure: Failure, format: OutputFormat, cancel: &Cancel) -> Failure {
    if let (Cause::Invalid(reasons), OutputFormat::Lines) = (&failure.cause, format) {
        let lines: String = reasons.iter().map(|reason| format!("refused: {}\n", escape(reason))).collect();
        // The failure contains the reasons too, so an output that cannot be written changes nothing.
        let _ = report::answer(&lines, cancel).await;
    }
    failure
}
