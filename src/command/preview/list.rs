//! `--plan`: the plan as a list.

use std::io;

use serde::Serialize;

use super::{PlannedBackup, PreviewContext};
use crate::command::OutputFormat;
use crate::error::{Cause, Failure, Stage};
use crate::report::{self, Colour};
use crate::revision::plan::describe_heads;
use crate::revision::{CheckedMode, Id, Plan, Step};
use crate::signal::Cancel;
use crate::table::{Cell, CellTone, TextTable};

/// The document that `--plan --json` prints. Every key is always there.
#[derive(Serialize)]
struct PlanDocument<'a> {
    /// `upgrade` or `downgrade`.
    direction: &'static str,
    /// The applied revisions that no other applied one rests on; none is base.
    from: Vec<&'a str>,
    /// The same when the plan is done.
    to: Vec<&'a str>,
    /// Whether a backup would be taken first.
    backup: bool,
    /// What would run, in this order.
    steps: Vec<StepDocument<'a>>,
}

/// A step.
#[derive(Serialize)]
struct StepDocument<'a> {
    revision: &'a str,
    description: &'a str,
    /// The name of the file that would run.
    file: &'a str,
    /// Whether the file is one transaction; else it is run statement by statement.
    transaction: bool,
    statements: usize,
    /// Statements that an earlier run has done.
    done: usize,
    /// Milliseconds; null where the file says nothing.
    lock_timeout_ms: Option<u128>,
    statement_timeout_ms: Option<u128>,
}

impl StepDocument<'_> {
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
    /// Prints the plan as a table, or as JSON.
    pub(super) async fn list(
        &self,
        plan: &Plan,
        backup: PlannedBackup,
        form: OutputFormat,
        cancel: &Cancel,
    ) -> Result<String, Failure> {
        let inspected = self.request.inspect(plan, self.applied, self.reading)?;
        let row = |step: &Step| {
            let script = &self.request.folder.scripts[step.script];
            let way = inspected.way(step, plan.direction);
            StepDocument {
                revision: script.id.as_str(),
                description: &script.description,
                file: way.file,
                transaction: way.header.mode == CheckedMode::Transaction,
                statements: way.statements,
                done: step.resume.as_ref().map_or(0, |resume| resume.done),
                lock_timeout_ms: way.header.lock_timeout.map(|timeout| timeout.as_millis()),
                statement_timeout_ms: way.header.statement_timeout.map(|timeout| timeout.as_millis()),
            }
        };
        let steps: Vec<StepDocument<'_>> = plan.steps.iter().map(row).collect();
        let count = steps.len();
        let text = match form {
            OutputFormat::Json => report::document(&PlanDocument {
                direction: plan.direction.verb(),
                from: plan.current.iter().map(Id::as_str).collect(),
                to: plan.goal.iter().map(Id::as_str).collect(),
                backup: backup == PlannedBackup::Taken,
                steps,
            }),
            OutputFormat::Lines => self.lines(&steps, backup),
        };
        let printed = report::answer(&text, cancel).await;
        printed.map_err(|cause| Failure::new(Stage::Plan, cause))?;
        let [from, to] = [&plan.current, &plan.goal].map(|ids| describe_heads(ids));
        let done = plan.direction.done();
        Ok(match count {
            0 => format!("nothing would be {done}: the database is at {from}"),
            1 => format!("1 revision would be {done}, from {from} to {to}; nothing was changed"),
            _ => format!("{count} revisions would be {done}, from {from} to {to}; nothing was changed"),
        })
    }

    fn lines(&self, steps: &[StepDocument<'_>], backup: PlannedBackup) -> String {
        let before = match backup {
            PlannedBackup::NothingToDo => return "nothing is to be done\n".into(),
            PlannedBackup::NothingToSave => "first: no backup, the database is empty".into(),
            PlannedBackup::Off => "first: no backup, LOCKKEEPER_BACKUP is off".into(),
            PlannedBackup::Taken => {
                let folder = self.config.backup.dir.display();
                format!("first: a verified backup into {}", report::escape(&folder.to_string()))
            }
        };
        let mut table = TextTable::new(vec!["REVISION", "FILE", "STATEMENTS", "RUNS"]);
        steps.iter().for_each(|row| table.add(row.cells()));
        format!("{before}\n{}", table.text(Colour::on(&io::stdout())))
    }
}

/// Prints, a line each, why nothing would run; hands the failure on.
pub(super) async fn refused(failure: Failure, form: OutputFormat, cancel: &Cancel) -> Failure {
    if let (Cause::Invalid(reasons), OutputFormat::Lines) = (&failure.cause, form) {
        let lines: String = reasons.iter().map(|reason| format!("refused: {}\n", report::escape(reason))).collect();
        // The failure says the same: an output that takes no more changes nothing.
        let _ = report::answer(&lines, cancel).await;
    }
    failure
}
