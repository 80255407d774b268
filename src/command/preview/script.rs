//! `--sql`: prints the plan as a script.

use std::io::BufWriter;

use super::PreviewContext;
use crate::database::ApplyError;
use crate::error::{Cause, Failure, Stage};
use crate::report::DocumentOutput;
use crate::revision::history::HistoryTable;
use crate::revision::journal;
use crate::revision::plan::describe_heads;
use crate::revision::render::{PrintError, Printer, ScriptSummary, SessionSettings};
use crate::revision::{Applied, Direction, Plan, Step, Version};
use crate::signal::Cancel;

impl PreviewContext<'_> {
    /// Prints the plan as a SQL script on standard output, and returns the last line of the log.
    pub(super) fn print(&self, plan: &Plan, cancel: &Cancel) -> Result<String, Failure> {
        let inspected = self.request.inspect(plan, self.applied, self.backslash)?;
        let config = self.config;
        let history = self.history_table();
        let applied: Vec<Applied> = self.applied.iter().filter(|row| !row.id.is_repeatable()).cloned().collect();
        let mut printer = Printer {
            out: BufWriter::new(DocumentOutput(cancel)),
            policy: self.request.directory.layout.policy(),
            history: &history,
            session: SessionSettings {
                lock: config.limits.lock,
                statement: config.limits.statement,
                lasting: Vec::new(),
            },
            schema: self.schema.as_deref(),
            table: &config.history.table,
            busy: config.limits.busy,
            has_journal: false,
        };
        let summary = ScriptSummary {
            direction: plan.direction,
            from: &plan.current,
            applied: &applied,
            to: &plan.goal,
            steps: plan.steps.len(),
            undone: self.revisions_to_undo(plan),
        };
        let print_failure = |error| print_failure("", error, cancel);
        printer.opening(&summary).map_err(|error| print_failure(error.into()))?;
        for step in &plan.steps {
            let directory = &self.request.directory;
            let migration = directory.migration(step.migration);
            let previous = directory.previous(&migration.version);
            let script = inspected.script(step, plan.direction);
            let batches = directory.open(script.section).map_err(PrintError::Text);
            let result = batches.and_then(|batches| printer.step((step, migration, previous), &script, batches));
            result.map_err(|error| self::print_failure(&script.section.file, error, cancel))?;
        }
        printer.closing(&summary).map_err(|error| print_failure(error.into()))?;
        let [from, to] = [&plan.current, &plan.goal].map(|ids| describe_heads(ids));
        Ok(format!("printed revisions: {}, from {from} to {to}; nothing was changed", plan.steps.len()))
    }

    /// Returns the history table to which the script writes.
    fn history_table(&self) -> HistoryTable {
        let config = self.config;
        HistoryTable {
            format: config.history.format,
            dialect: config.dialect,
            table: self.table.clone(),
            journal: journal::quoted_name(config.dialect, self.schema.as_deref(), &config.history.table),
            applied_by: config.applied_by.clone(),
        }
    }

    /// Returns the numbers of the revisions whose rows a downgrade removes from the history.
    fn revisions_to_undo<'a>(&'a self, plan: &'a Plan) -> Vec<&'a Version> {
        let id = |step: &'a Step| step.id(self.request.directory.migration(step.migration));
        match plan.direction {
            Direction::Up => Vec::new(),
            Direction::Down => plan.steps.iter().map(id).collect(),
        }
    }
}

/// Turns an error of printing into a failure; `file` is the name of the file that was being printed.
fn print_failure(file: &str, error: PrintError, cancel: &Cancel) -> Failure {
    let apply_error = match error {
        PrintError::Output(error) => {
            let cause = cancel.signal().map_or(Cause::Output(error), Cause::Stopped);
            return Failure::new(Stage::Plan, cause);
        }
        PrintError::Text(error) => ApplyError::Text(error),
        PrintError::Changed => ApplyError::ChangedOnDisk,
        PrintError::ResumeEdited { done } => ApplyError::ResumeEdited { done },
    };
    Failure::new(Stage::Plan, Cause::Step { file: file.to_owned(), error: apply_error })
}
