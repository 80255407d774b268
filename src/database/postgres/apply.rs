//! Running one revision: script, bookkeeping and transaction in as few messages as its size allows.

use std::time::{Duration, Instant};

use super::Postgres;
use super::fault::is_division_by_zero;
use crate::database::fault::excerpt;
use crate::database::{Broken, Fault, Kind, Unit};
use crate::revision::objection::{Objection, objection};
use crate::revision::render::{History, Progress, Took, local_timeouts};
use crate::revision::statements::{Dialect, Statement, Window};
use crate::revision::{Batch, Cut, Header, Mode};

/// Size of one message; a script below it travels with its transaction and its history row in one.
const MESSAGE: usize = 128 * 1024;

impl Postgres {
    pub async fn create_history(&mut self, sql: &str) -> Result<(), Fault> {
        if self.facts.history_exists {
            return Ok(());
        }
        let hint = format!("GRANT CREATE ON SCHEMA ... TO {}", self.user());
        self.run(sql.into()).await.map_err(|(fault, _)| match fault.kind {
            Kind::NoPrivilege => Fault { hint: Some(hint), ..fault },
            _ => fault,
        })?;
        self.facts.history_exists = true;
        Ok(())
    }

    pub async fn apply(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        match unit.script.header.mode {
            Mode::Transaction => {
                let result = self.in_transaction(history, unit).await;
                if result.is_err() {
                    // Without a session there is nothing to roll back; the server has done it.
                    let _ = self.run("ROLLBACK".into()).await;
                }
                result
            }
            Mode::NoTransaction => self.one_by_one(history, unit).await,
        }
    }

    async fn in_transaction(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        let mut before: Vec<String> = self.session(&Header::default()).into();
        before.push("BEGIN;\n".into());
        before.extend(local_timeouts(&unit.script.header).split_inclusive('\n').map(Into::into));
        while let Some(batch) = unit.batches.next(Cut::Bytes(MESSAGE))? {
            let mut after = String::new();
            if batch.window == Window::Last {
                unit.unchanged()?;
                let progress = Progress::Whole { statements: unit.statements };
                let row = unit.row(unit.script.checksum, progress, Took::SinceBegin);
                after = [&self.held(), &history.record(&row), "COMMIT;\n"].concat();
            }
            unit.unless_stopped().map_err(Broken::Bookkeeping)?;
            self.send(&std::mem::take(&mut before), &batch, &after).await?;
        }
        Ok(())
    }

    /// Sends one message: our statements, the script's, our statements.
    async fn send(&mut self, before: &[String], batch: &Batch, after: &str) -> Result<(), Broken> {
        let opening = before.concat();
        let message = [opening.as_str(), &batch.text, "\n;\n", after].concat();
        let Err((fault, done)) = self.run(message).await else {
            return Ok(());
        };
        if fault.kind == Kind::Lost {
            return Err(Broken::Unknown(fault));
        }
        let script = before.len()..before.len() + batch.starts.len();
        if !script.contains(&done) {
            return Err(match done == script.end && is_division_by_zero(&fault) {
                true => Broken::LockLost,
                false => Broken::Bookkeeping(fault),
            });
        }
        Err(located(fault, batch, done - before.len(), &opening))
    }

    async fn one_by_one(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        let session = self.session(&unit.script.header).concat();
        self.run(session).await.map_err(|(fault, _)| Broken::Bookkeeping(fault))?;
        let mut done = self.skip_done(unit)?;
        if done == 0 {
            self.journal(history, unit, 0, Duration::ZERO).await?;
        }
        while let Some(batch) = unit.batches.next(Cut::Statement)? {
            let began = Instant::now();
            if let Some(&start) = batch.starts.first() {
                unit.unless_stopped().map_err(|fault| Broken::Partial {
                    fault,
                    place: batch.place(start),
                    excerpt: excerpt(batch.statement(0)),
                    done,
                })?;
                self.statement(&unit.script.header, &batch, done).await?;
                done += 1;
            }
            if batch.window == Window::Last {
                unit.unchanged()?;
            }
            self.journal(history, unit, done, began.elapsed()).await?;
        }
        Ok(())
    }

    /// Reads past the statements that an earlier run has done, and compares them.
    fn skip_done(&mut self, unit: &mut Unit<'_>) -> Result<usize, Broken> {
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

    async fn statement(&mut self, header: &Header, batch: &Batch, done: usize) -> Result<(), Broken> {
        let text = batch.statement(0).to_owned();
        let patient = header.lock_timeout.is_none() && runs_alone(&text);
        if patient {
            self.set_lock_timeout(0).await?;
        }
        let result = self.run(text).await;
        if let Err((fault, _)) = result {
            let (place, excerpt) = match located(fault.clone(), batch, 0, "") {
                Broken::Statement { place, excerpt, .. } => (place, excerpt),
                _ => (batch.place(batch.starts[0]), String::new()),
            };
            return Err(Broken::Partial { fault, place, excerpt, done });
        }
        if patient {
            let limits = self.limits.expect("prepare() comes before every other write");
            self.set_lock_timeout(limits.lock.as_millis()).await?;
        }
        Ok(())
    }

    async fn set_lock_timeout(&mut self, milliseconds: u128) -> Result<(), Broken> {
        let sql = format!("SET lock_timeout = {milliseconds}");
        self.surely(&sql).await.map_err(|(fault, _)| Broken::Bookkeeping(fault))
    }

    /// Runs a statement of ours again when a cancel request hit it that was meant for the script's: what the script
    /// has done must be written down, or a rerun does it twice.
    async fn surely(&mut self, sql: &str) -> Result<(), (Fault, usize)> {
        const TRIES: usize = 5;
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = self.run(sql.to_owned()).await;
            if !matches!(&result, Err((fault, _)) if fault.kind == Kind::Cancelled) {
                break;
            }
        }
        result
    }

    /// Writes how far the script got; with the last statement it becomes an ordinary row.
    async fn journal(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        done: usize,
        took: Duration,
    ) -> Result<(), Broken> {
        let progress = match done == unit.statements {
            true => Progress::Whole { statements: done },
            false => Progress::Part { done, total: unit.statements },
        };
        let row = unit.row(unit.batches.checksum(), progress, Took::Known(took));
        match self.surely(&[self.held(), history.record(&row)].concat()).await {
            Ok(_) => Ok(()),
            Err((fault, 0)) if is_division_by_zero(&fault) => Err(Broken::LockLost),
            Err((fault, _)) => Err(Broken::Bookkeeping(fault)),
        }
    }
}

/// Statements that refuse transactions wait for locks as long as it takes: a concurrent build that gives up leaves an
/// invalid index behind, and it does not stand in anybody's way while it waits.
fn runs_alone(text: &str) -> bool {
    let whole = Statement { start: 0, end: text.len() };
    objection(&whole, text, Dialect::Postgres, Mode::Transaction) == Some(Objection::NeedsNoTransaction)
}

/// Where in the file a statement of a batch failed: by the server's position, else at the statement's beginning.
fn located(fault: Fault, batch: &Batch, index: usize, opening: &str) -> Broken {
    let start = batch.starts.get(index).copied().unwrap_or(0);
    let at = fault.position.and_then(|position| {
        // Characters from 1 in what was sent (measured: FACTS 3.4). A single statement is sent from its first token.
        let skipped = match opening.is_empty() && batch.starts.len() == 1 {
            true => batch.text[..start].chars().count(),
            false => 0,
        };
        let in_batch = (position + skipped).checked_sub(1 + opening.chars().count())?;
        batch.text.char_indices().nth(in_batch).map(|(byte, _)| byte)
    });
    Broken::Statement {
        place: batch.place(at.unwrap_or(start)),
        excerpt: excerpt(batch.statement(index)),
        fault,
    }
}
