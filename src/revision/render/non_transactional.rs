//! Prints a script without a transaction: statement by statement, each with the history row that a run writes.

use std::io::{self, Write};

use super::foreign_keys::CountLocation;
use super::print::{PrintedRevision, Printer, ending, own_role_statements, row, unchanged};
use super::print_error::PrintError;
use super::sqlite_session::SessionState;
use super::{COMMIT, timeouts};
use crate::dialect::Dialect;
use crate::revision::journal::RecordedProgress;
use crate::revision::plan::{Resume, StatementOutcome};
use crate::revision::statements::Window;
use crate::revision::{Batch, BatchLimit, Batches, Classified, DirectedScript};

impl<W: Write> Printer<'_, W> {
    /// Prints each statement with the row that records it, so that a run can finish a script that stopped part way.
    pub(super) fn print_non_transactional(
        &mut self,
        revision: &PrintedRevision<'_>,
        batches: &mut Batches,
        resume: Option<Resume>,
        session: &mut SessionState,
    ) -> Result<(), PrintError> {
        let (dialect, way) = (self.history.dialect, revision.way);
        let (mut done, total) = (0, way.statements);
        self.create_journal()?;
        if dialect == Dialect::Postgres {
            self.out.write_all(timeouts(&way.section.options, "SET").concat().as_bytes())?;
        }
        if let Some(earlier) = resume {
            self.resumed(earlier, total, batches, session)?;
            done = earlier.done;
        }
        if done == 0 {
            let begun = row(revision, batches.fingerprint(), RecordedProgress::Part { done, total }, dialect);
            self.begun(&self.history.record(&begun))?;
        }
        while let Some(batch) = batches.next(BatchLimit::Statement)? {
            session.note(&batch);
            done += batch.starts.len();
            let progress = match batch.window {
                Window::Partial => RecordedProgress::Part { done, total },
                Window::Last => {
                    unchanged(batches, way)?;
                    RecordedProgress::Whole { statements: done }
                }
            };
            let row = row(revision, batches.fingerprint(), progress, dialect);
            let mut record = self.history.record(&row);
            if !batch.starts.is_empty() {
                record.insert_str(0, &format!("-- Statements done: {done} of {total}.\n"));
            }
            self.statement(&batch, way, &record, session)?;
        }
        Ok(())
    }

    /// Skips the statements that an earlier run has executed, except for those that set up its session.
    fn resumed(
        &mut self,
        earlier: Resume,
        total: usize,
        batches: &mut Batches,
        session: &mut SessionState,
    ) -> Result<(), PrintError> {
        let Resume { done, executed, outcome } = earlier;
        let settings = batches.skip(done, executed)?.ok_or(PrintError::ResumeEdited { done })?;
        writeln!(self.out, "-- An earlier run has done {done} of its {total} statements.")?;
        if outcome == StatementOutcome::Open {
            writeln!(self.out, "-- It ended while the next one ran: see whether that is done.")?;
        }
        for batch in settings {
            session.note(&batch);
            let (dialect, text) = (self.history.dialect, batch.statement(0));
            write!(self.out, "{text}{}", ending(text, dialect))?;
        }
        Ok(())
    }

    /// Writes the row from before the first statement; on SQLite, together with the numbers of rows that have no parent
    /// row.
    fn begun(&mut self, record: &str) -> io::Result<()> {
        match self.history.dialect {
            Dialect::Postgres => write!(self.out, "BEGIN;\n{record}{COMMIT}"),
            Dialect::Sqlite => {
                write!(self.out, "BEGIN IMMEDIATE;\n{}{record}{COMMIT}", CountLocation::Baseline(self.table).note())
            }
        }
    }

    fn statement(
        &mut self,
        batch: &Batch,
        way: &DirectedScript<'_>,
        record: &str,
        session: &SessionState,
    ) -> io::Result<()> {
        let (dialect, text) = (self.history.dialect, batch.text.trim());
        writeln!(self.out)?;
        let own = own_role_statements(dialect);
        let class = batch.classes.first();
        if class.is_some_and(|class| class.is_ordinary) {
            let begin = if dialect == Dialect::Postgres { "BEGIN;\n" } else { "BEGIN IMMEDIATE;\n" };
            return write!(self.out, "{begin}{text}{}{own}{record}{COMMIT}", ending(text, dialect));
        }
        let patient = dialect == Dialect::Postgres
            && way.section.options.lock_timeout.is_none()
            && class.is_some_and(Classified::refuses_transactions);
        if patient {
            // A concurrent build that gives up leaves an invalid index behind.
            self.out.write_all(b"SET lock_timeout = 0;\n")?;
        }
        if !text.is_empty() {
            write!(self.out, "{text}{}", ending(text, dialect))?;
        }
        if patient {
            writeln!(self.out, "SET lock_timeout = {};", self.session.lock.as_millis())?;
        }
        match dialect {
            Dialect::Postgres => write!(self.out, "BEGIN;\n{own}{record}{COMMIT}"),
            Dialect::Sqlite if batch.window == Window::Last => {
                let (durable, compare) = (session.durable(), CountLocation::Baseline(self.table).compare());
                write!(self.out, "{durable}BEGIN IMMEDIATE;\n{compare}{record}{COMMIT}")
            }
            // Not IMMEDIATE, which would take the write lock of attached files, too.
            Dialect::Sqlite => write!(self.out, "BEGIN;\n{record}{COMMIT}"),
        }
    }
}
