//! Running one revision on SQLite.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Creation, Sqlite, column};
use crate::database::fault::excerpt;
use crate::database::{Broken, Fault, Kind, Unit};
use crate::revision::render::{History, Progress, Took};
use crate::revision::statements::Window;
use crate::revision::{Batch, Cut, Mode};

/// Size of one batch. The driver keeps every statement of a batch prepared until the batch ends.
const BATCH: usize = 32 * 1024;

const BEGIN: &str = "BEGIN IMMEDIATE;\n";

impl Sqlite {
    pub async fn create_history(&mut self, sql: &str) -> Result<(), Fault> {
        self.when_free(sql).await
    }

    pub async fn apply(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        if !self.is_locked() {
            return Err(Broken::LockLost);
        }
        if !self.is_same_file() {
            return Err(Broken::Replaced);
        }
        let mut session = Session::Clean;
        let result = match unit.script.header.mode {
            Mode::Transaction => {
                let result = self.in_transaction(history, unit, &mut session).await;
                if result.is_err() {
                    // Fails when the statement's own error has rolled back already.
                    let _ = self.run("ROLLBACK".into()).await;
                }
                result
            }
            Mode::NoTransaction => self.one_by_one(history, unit, &mut session).await,
        };
        if session == Session::Touched {
            self.reopen(Creation::Never).await.map_err(Broken::Bookkeeping)?;
        }
        result
    }

    async fn in_transaction(
        &mut self,
        history: &History,
        unit: &mut Unit<'_>,
        session: &mut Session,
    ) -> Result<(), Broken> {
        let began = Instant::now();
        if self.violations.is_none() {
            self.violations = Some(self.find_violations().await.map_err(Broken::Bookkeeping)?);
        }
        let mut opening = BEGIN;
        while let Some(batch) = unit.batches.next(Cut::Bytes(BATCH))? {
            session.note(&batch.text);
            unit.unless_stopped().map_err(Broken::Bookkeeping)?;
            self.send(std::mem::take(&mut opening), &batch).await?;
        }
        unit.unchanged()?;
        self.check_foreign_keys().await?;
        let progress = Progress::Whole { statements: unit.statements };
        let row = unit.row(unit.script.checksum, progress, Took::Known(began.elapsed()));
        if !self.is_locked() {
            return Err(Broken::LockLost);
        }
        if !self.is_same_file() {
            return Err(Broken::Replaced);
        }
        match self.run([&history.record(&row), "COMMIT"].concat()).await {
            Err((fault, 1)) if fault.kind == Kind::Busy => {
                self.when_free("COMMIT").await.map_err(Broken::Bookkeeping)
            }
            result => result.map_err(|(fault, _)| Broken::Bookkeeping(fault)),
        }
    }

    /// Runs a batch; the first one together with what opens the transaction, because each message to the driver's
    /// thread costs more than a small statement does.
    async fn send(&mut self, opening: &str, batch: &Batch) -> Result<(), Broken> {
        let mut result = self.run([opening, &batch.text].concat()).await;
        if let (false, Err((fault, 0))) = (opening.is_empty(), &result) {
            if fault.kind != Kind::Busy {
                return Err(Broken::Bookkeeping(fault.clone()));
            }
            self.when_free(opening).await.map_err(Broken::Bookkeeping)?;
            result = self.run(batch.text.clone()).await.map_err(|(fault, done)| (fault, done + 1));
        }
        let Err((fault, done)) = result else {
            return Ok(());
        };
        let done = done - usize::from(!opening.is_empty());
        Err(match batch.starts.get(done) {
            None => Broken::Bookkeeping(fault),
            Some(&start) => Broken::Statement {
                fault,
                place: batch.place(start),
                excerpt: excerpt(batch.statement(done)),
            },
        })
    }

    async fn one_by_one(
        &mut self,
        history: &History,
        unit: &mut Unit<'_>,
        session: &mut Session,
    ) -> Result<(), Broken> {
        let mut done = skip_done(unit)?;
        if done == 0 {
            let progress = Progress::Part { done, total: unit.statements };
            self.journal(history, unit, progress, Duration::ZERO).await?;
        }
        while let Some(batch) = unit.batches.next(Cut::Statement)? {
            session.note(&batch.text);
            let began = Instant::now();
            if let Some(&start) = batch.starts.first() {
                let result = match unit.unless_stopped() {
                    Ok(()) => self.when_free(batch.statement(0)).await,
                    Err(fault) => Err(fault),
                };
                result.map_err(|fault| Broken::Partial {
                    fault,
                    place: batch.place(start),
                    excerpt: excerpt(batch.statement(0)),
                    done,
                })?;
                done += 1;
            }
            let progress = match batch.window {
                Window::Last => {
                    unit.unchanged()?;
                    Progress::Whole { statements: done }
                }
                Window::Partial => Progress::Part { done, total: unit.statements },
            };
            let written = self.journal(history, unit, progress, began.elapsed()).await;
            written
                .map_err(|broken| broken.after_statement(batch.first(), excerpt(batch.statement(0)), done))?;
        }
        Ok(())
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

    /// Runs one statement, and again while another connection is in its way, up to our patience.
    async fn when_free(&mut self, sql: &str) -> Result<(), Fault> {
        let mut since = None;
        loop {
            match self.run(sql.to_owned()).await {
                Err((fault, _)) if fault.kind == Kind::Busy => self.pause(&mut since, fault).await?,
                Err((fault, _)) => return Err(fault),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Rows whose foreign keys lead nowhere; what was so before is not the script's doing.
    async fn check_foreign_keys(&mut self) -> Result<(), Broken> {
        let now = self.find_violations().await.map_err(Broken::Bookkeeping)?;
        let before = self.violations.take().unwrap_or_default();
        let grown: Vec<String> = now
            .iter()
            .filter(|(key, rows)| before.get(*key).is_none_or(|known| known < rows))
            .map(|((table, parent), rows)| format!("{table} -> {parent}: {rows}"))
            .collect();
        self.violations = Some(now);
        if grown.is_empty() {
            return Ok(());
        }
        self.violations = Some(before);
        Err(Broken::Violations(grown))
    }

    async fn find_violations(&mut self) -> Result<BTreeMap<(String, String), i64>, Fault> {
        let sql = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2";
        let rows = self.rows(sql.into()).await?;
        rows.iter().map(|row| Ok(((column(row, 0)?, column(row, 1)?), column(row, 2)?))).collect()
    }
}

/// Whether a script may have left something in the session: settings, temporary tables, attached files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    Clean,
    Touched,
}

impl Session {
    fn note(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let holds =
            |word: &str| bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        if ["pragma", "temp", "attach"].into_iter().any(holds) {
            *self = Session::Touched;
        }
    }
}

/// Reads past the statements that an earlier run has done, and compares them.
fn skip_done(unit: &mut Unit<'_>) -> Result<usize, Broken> {
    let Some((done, checksum)) = unit.resume else {
        return Ok(0);
    };
    for _ in 0..done {
        unit.batches.next(Cut::Statement)?;
    }
    match done == 0 || unit.batches.checksum() == checksum {
        true => Ok(done),
        false => Err(Broken::ResumeEdited { done }),
    }
}
