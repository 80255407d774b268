//! Revisions without a transaction: statement by statement, with a journal of how far it got.

use std::time::{Duration, Instant};

use super::Postgres;
use super::apply::byte_at;
use super::fault::refuses_transactions;
use crate::database::locked::Resumed;
use crate::database::{Broken, Fault, Kind, Unit};
use crate::masking::excerpt;
use crate::revision::objection::is_ordinary;
use crate::revision::plan::Outcome;
use crate::revision::render::{History, Progress, Row, Took};
use crate::revision::statements::Dialect;
use crate::revision::trace::Trace;
use crate::revision::{Batch, Checksum, Cut, Direction, Header};

impl Postgres {
    pub(super) async fn one_by_one(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        let session = self.session(unit.way.header).concat();
        self.run(session).await.map_err(|(fault, _)| Broken::Bookkeeping(fault))?;
        let mut earlier = unit.resume;
        let Resumed { mut done, settings } = unit.skip_done()?;
        for batch in settings {
            let again = self.run(batch.statement(0).to_owned()).await;
            again.map_err(|(fault, _)| Broken::not_resumed(fault, &batch, done))?;
        }
        // A row that says that the first statement has begun goes on saying it. A way back has a row, which says what
        // was applied until something of it is undone.
        let is_new = unit.way.direction == Direction::Up && done == 0;
        if is_new && earlier.is_none_or(|resume| resume.outcome == Outcome::Known) {
            self.begin_journal(history, unit).await?;
        }
        while let Some(batch) = unit.batches.next(Cut::Statement)? {
            let began = Instant::now();
            if !batch.starts.is_empty() {
                unit.unless_stopped().map_err(|fault| Broken::partial(fault, &batch, done))?;
                self.keep_within(batch.statement(0), &Trace::None)
                    .map_err(|fault| Broken::partial(fault, &batch, done))?;
                let earlier = earlier.take();
                if is_ordinary(batch.statement(0), Dialect::Postgres)
                    && self.with_journal(history, unit, &batch, done).await? == Company::Kept
                {
                    done += 1;
                    unit.advance(done);
                    continue;
                }
                // Unlike an ordinary statement it may leave something behind, which a rerun has to look for.
                if unit.resume.is_none() {
                    self.begin_journal(history, unit).await?;
                }
                self.alone(history, unit, &batch, done, earlier).await?;
                done += 1;
            }
            let progress = unit.reached(&batch, done)?;
            let written =
                self.journal(history, unit, unit.batches.checksum(), progress, began.elapsed()).await;
            written.map_err(|broken| broken.after_statement(&batch, done))?;
            unit.advance(done);
        }
        self.clean().await
    }

    /// Writes that nothing of the file is done yet.
    async fn begin_journal(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        let progress = Progress::Part { done: 0, total: unit.way.statements };
        self.journal(history, unit, unit.batches.checksum(), progress, Duration::ZERO).await?;
        unit.advance(0);
        Ok(())
    }

    /// Brings the session back into our state when the revision is recorded. If that fails, the session is no place for
    /// another one, and what is recorded stands.
    pub(super) async fn clean(&mut self) -> Result<(), Broken> {
        let session = self.session(&Header::default()).concat();
        self.surely(&session).await.map_err(|(fault, _)| Broken::Unknown(fault))
    }

    /// Runs a statement of ours again when a cancel request hit it that was meant for the script's: what the script
    /// has done must be written down, or a rerun does it twice.
    pub(super) async fn surely(&mut self, sql: &str) -> Result<(), (Fault, usize)> {
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

    /// Runs a statement and writes the journal in one message, which is one transaction: no kill and no lost connection
    /// comes between the two.
    async fn with_journal(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        batch: &Batch,
        done: usize,
    ) -> Result<Company, Broken> {
        let progress = Progress::Part { done: done + 1, total: unit.way.statements };
        let row = unit.row(unit.batches.checksum(), progress, Took::SinceBegin);
        let message = [batch.statement(0), "\n;\n", &self.journal_of(history, &row)].concat();
        let unrecorded = |fault: Fault, why: &str| {
            let message = format!("it was rolled back, for it could not be recorded: {why}");
            Err(Broken::partial(Fault { message, ..fault }, batch, done).repeatable())
        };
        match self.run(message).await {
            Ok(()) => Ok(Company::Kept),
            Err((fault, _)) if fault.kind == Kind::Lost => Err(Broken::Unknown(fault)),
            // Behind a query a transaction that is read-only, as the script wants them, cannot become another one.
            Err((fault, 0 | 1)) if refuses_transactions(&fault) => Ok(Company::Refused),
            Err((fault, 0)) => Err(stopped_at(fault, batch, done).repeatable()),
            // The statement itself, and the one that makes the transaction writable.
            Err((fault, done)) => match self.not_written(done.saturating_sub(2), fault.clone()) {
                Broken::LockLost => unrecorded(fault, "our lock was lost in it"),
                Broken::Bookkeeping(why) => unrecorded(fault, &why.message),
                _ => {
                    let why = fault.message.clone();
                    unrecorded(fault, &why)
                }
            },
        }
    }

    /// The statements that write the journal, behind a check of the lock.
    fn journal_of(&self, history: &History, row: &Row<'_>) -> String {
        let writable = "SET LOCAL transaction_read_only = off;\n";
        [writable, &self.before_bookkeeping().concat(), &history.record(row)].concat()
    }

    /// Writes how far the script got, as ourselves, whichever role the script has taken.
    pub(super) async fn journal(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        checksum: Checksum,
        progress: Progress,
        took: Duration,
    ) -> Result<(), Broken> {
        self.journal_and(history, unit, (checksum, progress, took), "").await
    }

    /// The same, with a statement of ours behind it that writes into the same row.
    pub(super) async fn journal_and(
        &mut self,
        history: &History,
        unit: &Unit<'_>,
        (checksum, progress, took): (Checksum, Progress, Duration),
        more: &str,
    ) -> Result<(), Broken> {
        let row = unit.row(checksum, progress, Took::Known(took));
        match self.surely(&(self.journal_of(history, &row) + more)).await {
            Ok(_) => Ok(()),
            Err((fault, done)) => Err(self.not_written(done.saturating_sub(1), fault)),
        }
    }
}

/// Whether a statement has shared a message with others. Extensions have statements that do not.
#[derive(PartialEq, Eq)]
enum Company {
    Kept,
    Refused,
}

/// A statement that was sent alone failed, without a transaction around it.
pub(super) fn stopped_at(fault: Fault, batch: &Batch, done: usize) -> Broken {
    let start = batch.starts.first().copied().unwrap_or(0);
    let at = fault.position.and_then(|position| byte_at(&batch.text[start..], position)).unwrap_or(0);
    let fault = fault.of_statement(batch.statement(0));
    Broken::Partial { fault, place: batch.place(start + at), excerpt: excerpt(batch.statement(0)), done }
}
