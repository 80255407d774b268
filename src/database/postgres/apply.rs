//! Running one revision: script, bookkeeping and transaction in as few messages as its size allows.

use super::error::is_division_by_zero;
use super::grant::advised;
use super::{Postgres, column, no_answer_error};
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::masking::excerpt;
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::render::{COMMIT, Elapsed, HistoryTable, RecordedProgress, begin, identifier};
use crate::revision::statements::Window;
use crate::revision::{Batch, BatchLimit, CheckedMode, Dialect, Header};

/// Fails (division by zero) when string literals are read otherwise than they were when the script was read.
const LITERALS_ARE_CERTAIN: &str =
    "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.current_setting('standard_conforming_strings')::boolean::int;\n";

/// Size of one message; a script below it travels with its transaction and its history row in one.
const MESSAGE: usize = 128 * 1024;

impl Postgres {
    pub async fn create_history(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let Some(sql) = self.missing_history(sql) else {
            return Ok(());
        };
        let (hint, limit) = (self.grant_history(), self.response_timeout());
        // Whatever has this name already is not created, and need not be a table.
        let message = [sql, self.before_writing().concat()].concat();
        let made = tokio::time::timeout(limit, self.run(message)).await.map_err(|_| no_answer_error(limit))?;
        if let Err((fault, _)) = made {
            let table = self.table();
            if let Some(distrust) = self.distrust(&table).await? {
                return Err(distrust);
            }
            return Err(match fault.kind {
                DatabaseErrorKind::NoPrivilege => fault.with_hint(hint),
                _ => fault,
            });
        }
        self.has_made_history();
        // An event trigger may have added to it.
        let row = self.row(format!("SELECT {}", self.is_plain())).await?;
        self.facts.history_is_plain = column(&row, 0)?;
        Ok(())
    }

    /// What is still to be run before the history table is as we want it; `create` makes one.
    pub(super) fn missing_history(&self, create: &str) -> Option<String> {
        let is_whole = self.facts.has_down_checksum && self.facts.has_catalog_before;
        match (self.facts.history_exists, is_whole) {
            (true, true) => None,
            (true, false) => Some(self.extend_history()),
            (false, _) => Some(create.into()),
        }
    }

    pub(super) fn has_made_history(&mut self) {
        self.facts.history_exists = true;
        self.facts.has_down_checksum = true;
        self.facts.has_catalog_before = true;
    }

    /// Adds the columns that a table of an earlier release lacks.
    fn extend_history(&self) -> String {
        let check = identifier(&format!("{}_state_check", self.facts.table));
        format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS down_checksum pg_catalog.text, ADD COLUMN IF NOT EXISTS catalog_before pg_catalog.text, DROP CONSTRAINT IF EXISTS {check};\n",
            self.table()
        )
    }

    /// What lets the history table become as we want it: only its owner may change one.
    pub(super) fn grant_history(&self) -> String {
        match self.facts.history_exists {
            true => format!("let the table's owner run {}", self.extend_history().trim_end().trim_end_matches(';')),
            false => self.grant(),
        }
    }

    pub async fn apply(&mut self, history: &HistoryTable, unit: &mut ApplyRequest<'_>) -> Result<(), ApplyError> {
        let applied = self.attempt_to_apply(history, unit).await;
        applied.map_err(|broken| self.with_grant(broken))
    }

    /// Says which GRANT a refused statement asks for, the script's or one of ours on the history.
    pub(super) fn with_grant(&self, mut broken: ApplyError) -> ApplyError {
        let (table, role) = (self.table(), &self.facts.role);
        let ours = format!("permission denied for table {}", self.facts.table);
        let Some((fault, statement)) = broken.refused() else {
            return broken;
        };
        let refused = fault.clone();
        *fault = match statement {
            None if refused.message == ours => {
                refused.with_hint(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {}", identifier(role)))
            }
            statement => advised(refused, statement.unwrap_or_default(), role),
        };
        broken
    }

    async fn attempt_to_apply(
        &mut self,
        history: &HistoryTable,
        unit: &mut ApplyRequest<'_>,
    ) -> Result<(), ApplyError> {
        match unit.way.header.mode {
            CheckedMode::Transaction => {
                let mut transaction = Transaction::NotBegun;
                let result = self.in_transaction(history, unit, &mut transaction).await;
                let failed = result.as_ref().is_err_and(|broken| !matches!(broken, ApplyError::Commit(_)));
                if failed && transaction == Transaction::Begun {
                    // Without a session there is nothing to roll back; the server has done it.
                    let _ = self.run("ROLLBACK".into()).await;
                }
                result
            }
            CheckedMode::NoTransaction => self.run_non_transactional(history, unit).await,
        }
    }

    /// The session is clean when this begins: what a script set and did not commit went with its transaction.
    async fn in_transaction(
        &mut self,
        history: &HistoryTable,
        unit: &mut ApplyRequest<'_>,
        transaction: &mut Transaction,
    ) -> Result<(), ApplyError> {
        let mut before = begin(Dialect::Postgres, &unit.way);
        let mut has_backslash = false;
        while let Some(batch) = unit.batches.next(BatchLimit::Bytes(MESSAGE))? {
            has_backslash |= batch.has_backslash;
            let is_last = batch.window == Window::Last;
            if is_last {
                unit.unchanged()?;
            }
            unit.unless_stopped().map_err(ApplyError::Bookkeeping)?;
            for index in 0..batch.starts.len() {
                self.refuse_beyond_copy(batch.statement(index), &CatalogEffect::None)
                    .map_err(|fault| failed(fault, &batch, index, None))?;
            }
            let opening = std::mem::take(&mut before);
            match (is_last, opening.is_empty()) {
                (false, _) => self.send(&opening, &batch, &[], transaction).await?,
                (true, false) => self.send_whole(history, unit, (&opening, &batch), transaction).await?,
                (true, true) => {
                    // What went before cannot be sent again: the whole question at once.
                    self.facts.history_is_plain = false;
                    let after = self.ending(history, unit, has_backslash.then_some(LITERALS_ARE_CERTAIN));
                    self.send(&opening, &batch, &after, transaction).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends a script that is one message. The history may be another kind of table behind the script, which the short
    /// question about it does not allow: everything is rolled back then, and sent again with the whole question.
    async fn send_whole(
        &mut self,
        history: &HistoryTable,
        unit: &ApplyRequest<'_>,
        (opening, batch): (&[String], &Batch),
        transaction: &mut Transaction,
    ) -> Result<(), ApplyError> {
        let literals = batch.has_backslash.then_some(LITERALS_ARE_CERTAIN);
        let after = self.ending(history, unit, literals);
        let was_plain = self.facts.history_is_plain;
        let sent = self.send(opening, batch, &after, transaction).await;
        if sent.is_ok() || self.facts.history_is_plain == was_plain {
            return sent;
        }
        self.run("ROLLBACK".into()).await.map_err(|(fault, _)| ApplyError::Bookkeeping(fault))?;
        *transaction = Transaction::NotBegun;
        let after = self.ending(history, unit, literals);
        self.send(opening, batch, &after, transaction).await
    }

    /// Returns the statements behind a script: its row, the commit, and a clean session.
    fn ending(&self, history: &HistoryTable, unit: &ApplyRequest<'_>, literals: Option<&str>) -> Vec<String> {
        let progress = RecordedProgress::Whole { statements: unit.way.statements };
        let row = history.record(&unit.row(unit.way.checksum, progress, Elapsed::SinceBegin));
        let bookkeeping = self.before_bookkeeping().into_iter().chain([row]).chain(literals.map(Into::into));
        bookkeeping.chain([COMMIT.into()]).chain(self.session(&Header::default())).collect()
    }

    /// Sends one message: our statements, the script's, our statements.
    async fn send(
        &mut self,
        before: &[String],
        batch: &Batch,
        after: &[String],
        transaction: &mut Transaction,
    ) -> Result<(), ApplyError> {
        let opening = before.concat();
        let message = [opening.as_str(), &batch.text, "\n;\n", &after.concat()].concat();
        let Err((fault, done)) = self.run(message).await else {
            *transaction = Transaction::Begun;
            return Ok(());
        };
        if done > 0 {
            *transaction = Transaction::Begun;
        }
        if fault.kind == DatabaseErrorKind::Lost {
            return Err(ApplyError::Unknown(fault));
        }
        let at = place_in(batch, &fault, opening.chars().count());
        let script = before.len()..before.len() + batch.starts.len();
        // The server reads a whole message before it runs any of it: the place tells more than what was done.
        let index = match at {
            Some(at) => batch.starts.partition_point(|&start| start <= at).checked_sub(1),
            None => script.contains(&done).then(|| done - before.len()),
        };
        if let Some(index) = index {
            return Err(failed(fault, batch, index, at));
        }
        let index = done.saturating_sub(script.end);
        if after.iter().take(index).any(|sql| sql == COMMIT) {
            // A signal or a timeout came too late to stop anything but the cleaning.
            return self.clean().await;
        }
        Err(match after.get(index).filter(|_| done >= script.end) {
            Some(sql) if sql == LITERALS_ARE_CERTAIN && is_division_by_zero(&fault) => ApplyError::LiteralsInDoubt,
            Some(sql) if sql == COMMIT => ApplyError::Commit(fault),
            Some(_) => self.not_written(index, fault),
            None => self.bookkeeping_error(fault),
        })
    }
}

/// Whether a message with our BEGIN has run, at least in part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    NotBegun,
    Begun,
}

/// The byte of a text that the server means: it counts characters from 1.
pub(super) fn byte_at(text: &str, position: usize) -> Option<usize> {
    text.char_indices().nth(position.checked_sub(1)?).map(|(byte, _)| byte)
}

/// The byte of a batch that the server means, when it was sent behind so many characters of ours.
fn place_in(batch: &Batch, fault: &DatabaseError, opening: usize) -> Option<usize> {
    byte_at(&batch.text, fault.position?.checked_sub(opening)?)
}

/// A statement failed: where the server says so, else at the statement's beginning.
fn failed(fault: DatabaseError, batch: &Batch, index: usize, at: Option<usize>) -> ApplyError {
    let start = batch.starts.get(index).copied().unwrap_or(0);
    ApplyError::Statement {
        place: batch.place(at.unwrap_or(start)),
        excerpt: excerpt(batch.statement(index)),
        fault: fault.of_statement(batch.statement(index)),
    }
}
