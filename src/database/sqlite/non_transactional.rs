//! Running a script without a transaction: statement by statement, each with its entry in the journal.

use std::time::{Duration, Instant};

use super::Sqlite;
use super::apply::{BEGIN, Session};
use super::foreign_keys::new_violations;
use crate::database::locked::Resumed;
use crate::database::{Broken, Fault, Unit};
use crate::revision::objection::is_ordinary;
use crate::revision::render::{History, Progress, Took};
use crate::revision::{Batch, Cut, Dialect, Direction};

/// Makes the next commit wait until the file, with everything that was written to it before, is on the disk.
const SYNCHRONOUS: &str = "PRAGMA synchronous = FULL";

impl Sqlite {
    pub(super) async fn run_non_transactional(
        &mut self,
        history: &History,
        unit: &mut Unit<'_>,
        session: &mut Session,
    ) -> Result<(), Broken> {
        let Resumed { mut done, settings } = unit.skip_done()?;
        for batch in settings {
            session.note(&batch.text);
            self.keep_within(batch.statement(0)).map_err(|fault| Broken::not_resumed(fault, &batch, done))?;
            let again = self.when_free(batch.statement(0)).await;
            again.map_err(|fault| Broken::not_resumed(fault, &batch, done))?;
        }
        self.note_violations(history, unit, done).await?;
        while let Some(batch) = unit.batches.next(Cut::Statement)? {
            session.note(&batch.text);
            let began = Instant::now();
            if is_ordinary(batch.statement(0), Dialect::Sqlite) {
                self.with_journal(history, unit, &batch, done).await?;
                done += 1;
                continue;
            }
            // What follows the last statement: comments, if anything.
            if batch.starts.is_empty() {
                let progress = unit.reached(&batch, done)?;
                return self.finish(history, unit, progress, done).await;
            }
            let result = match unit.unless_stopped().and_then(|()| self.keep_within(batch.statement(0))) {
                Ok(()) => self.when_free(batch.statement(0)).await,
                Err(fault) => Err(fault),
            };
            result.map_err(|fault| Broken::partial(fault, &batch, done))?;
            done += 1;
            let progress = unit.reached(&batch, done)?;
            let written = self.journal(history, unit, progress, began.elapsed()).await;
            written.map_err(|broken| broken.after_statement(&batch, done))?;
        }
        Ok(())
    }

    /// Notes the rows without a parent row before the first statement, in the transaction of the first journal entry. A
    /// run that goes on finds them noted, unless the file was begun by a release that did not do so.
    async fn note_violations(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        done: usize,
    ) -> Result<(), Broken> {
        let kept = if done == 0 { None } else { self.noted_violations().await.map_err(Broken::NotBegun)? };
        if kept.is_some() {
            return Ok(());
        }
        let violations = self.find_violations().await.map_err(Broken::NotBegun)?;
        let mut sql = self.baseline(&violations);
        // On the way down the row stays what it is until something is undone.
        if unit.way.direction == Direction::Up && done == 0 {
            let progress = Progress::Part { done, total: unit.way.statements };
            let row = unit.row(unit.batches.checksum(), progress, Took::Known(Duration::ZERO));
            sql.push_str(&history.record(&row));
        }
        self.in_own_transaction(async |database| database.run_all(sql.clone()).await)
            .await
            .map_err(Broken::NotBegun)
    }

    /// Records the script as done unless it has left more rows without a parent row than there were before. Nothing can be
    /// rolled back: the revision stays partial until somebody has corrected the rows.
    async fn finish(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        progress: Progress,
        done: usize,
    ) -> Result<(), Broken> {
        let record =
            history.record(&unit.row(unit.batches.checksum(), progress, Took::Known(Duration::ZERO)));
        let mut grown = Vec::new();
        // The file may have set another value, and nothing that it has written would be sure to be on the disk.
        self.when_free(SYNCHRONOUS).await.map_err(|fault| Broken::Unfinished { fault, done })?;
        let ended = self.in_own_transaction(async |database| {
            let now = database.find_violations().await?;
            let before = database.noted_violations().await?.unwrap_or_default();
            grown = new_violations(&before, &now);
            database.violations = Some(now);
            match grown.is_empty() {
                true => {
                    database
                        .run_all(format!("DROP TABLE IF EXISTS {};\n{record}", database.baseline_table()))
                        .await
                }
                false => Ok(()),
            }
        });
        ended.await.map_err(|fault| Broken::Unfinished { fault, done })?;
        match grown.is_empty() {
            true => Ok(()),
            false => Err(Broken::PartialViolations { rows: grown, done }),
        }
    }

    /// Runs work between BEGIN IMMEDIATE and COMMIT; rolls back when it fails.
    async fn in_own_transaction(
        &mut self,
        work: impl AsyncFnOnce(&mut Sqlite) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.when_free(BEGIN).await?;
        let result = match work(self).await {
            Ok(()) => self.when_free("COMMIT").await,
            Err(fault) => Err(fault),
        };
        if result.is_err() {
            // Fails when the error itself has ended the transaction.
            let _ = self.run("ROLLBACK".into()).await;
        }
        result
    }

    async fn run_all(&mut self, sql: String) -> Result<(), Fault> {
        self.run(sql).await.map_err(|(fault, _)| fault)
    }

    /// Runs a statement and writes the journal in one transaction: no kill comes between the two.
    async fn with_journal(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        batch: &Batch,
        done: usize,
    ) -> Result<(), Broken> {
        let progress = Progress::Part { done: done + 1, total: unit.way.statements };
        let began = Instant::now();
        let row = history.record(&unit.row(unit.batches.checksum(), progress, Took::Known(began.elapsed())));
        let ran = self.in_own_transaction(async |database| {
            unit.unless_stopped()?;
            database.run_all(batch.statement(0).to_owned()).await?;
            database.run_all(row).await
        });
        ran.await.map_err(|fault| Broken::partial(fault, batch, done))
    }

    async fn journal(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        progress: Progress,
        took: Duration,
    ) -> Result<(), Broken> {
        let sql = history.record(&unit.row(unit.batches.checksum(), progress, Took::Known(took)));
        self.when_free(&sql).await.map_err(Broken::Bookkeeping)
    }
}
