//! Running one revision on SQLite.

use std::time::Instant;

use super::Sqlite;
use crate::database::{Broken, Fault, Kind, Unit};
use crate::masking::excerpt;
use crate::revision::render::{History, Progress, Took, leaves_session_state};
use crate::revision::{Batch, Cut, Mode};

/// Size of one batch. The driver keeps every statement of a batch prepared until the batch ends.
const BATCH: usize = 32 * 1024;

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE;\n";

impl Sqlite {
    pub async fn create_history(&mut self, create: &str) -> Result<(), Fault> {
        let Some(renew) = self.renewal(create).await? else {
            return self.when_free(create).await;
        };
        let attempt = async {
            self.when_free(BEGIN).await?;
            self.run(renew).await.map_err(|(fault, _)| fault)?;
            self.when_free("COMMIT").await
        };
        let result = attempt.await;
        if result.is_err() {
            // Fails when there is no transaction, or the error has ended it.
            let _ = self.run("ROLLBACK".into()).await;
        }
        result
    }

    /// What makes a history table of before there were ways back one of today, in a transaction; `None` when there is
    /// none such. It is made anew, since SQLite changes no CHECK and the old one knows two states only; without a second
    /// name, so that nothing that speaks of it is rewritten.
    pub(super) async fn renewal(&mut self, create: &str) -> Result<Option<String>, Fault> {
        const COLUMNS: &str = "revision, description, checksum, applied_at, duration_ms, state, statements_done, statements_total, applied_by, lockkeeper_version, backup";
        let is_old = self.made_by().await?.is_some_and(|made_by| !made_by.contains("down_checksum"));
        let table = self.table();
        Ok(is_old.then(|| format!(
            "CREATE TEMP TABLE lockkeeper_rows AS SELECT {COLUMNS} FROM {table};\nDROP TABLE {table};\n{create}INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM temp.lockkeeper_rows;\nDROP TABLE temp.lockkeeper_rows"
        )))
    }

    /// Nobody has taken the lock file or the database file away.
    pub(super) fn still_ours(&self) -> Result<(), Broken> {
        match (self.is_locked(), self.is_same_file()) {
            (false, _) => Err(Broken::LockLost),
            (true, false) => Err(Broken::Replaced),
            (true, true) => Ok(()),
        }
    }

    pub async fn apply(&mut self, history: &History, unit: &mut Unit<'_>) -> Result<(), Broken> {
        self.still_ours()?;
        let mut session = Session::Clean;
        let result = match unit.way.header.mode {
            Mode::Transaction => {
                let result = self.in_transaction(history, unit, &mut session).await;
                if result.is_err() {
                    // Fails when the statement's own error has rolled back already.
                    let _ = self.run("ROLLBACK".into()).await;
                }
                result
            }
            Mode::NoTransaction => self.run_non_transactional(history, unit, &mut session).await,
        };
        if session == Session::Touched {
            // The next question opens it again. Should that fail, it is not this script's failure.
            self.set_down().await;
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
            self.violations = Some(self.find_violations().await.map_err(Broken::NotBegun)?);
        }
        let mut opening = BEGIN;
        while let Some(batch) = unit.batches.next(Cut::Bytes(BATCH))? {
            session.note(&batch.text);
            unit.unless_stopped().map_err(Broken::Bookkeeping)?;
            self.keep_all_within(&batch)?;
            self.send(std::mem::take(&mut opening), &batch).await?;
        }
        unit.unchanged()?;
        self.check_foreign_keys().await?;
        let progress = Progress::Whole { statements: unit.way.statements };
        let row = unit.row(unit.way.checksum, progress, Took::Known(began.elapsed()));
        self.still_ours()?;
        match self.run([&history.record(&row), "COMMIT"].concat()).await {
            Err((fault, 1)) if fault.kind == Kind::Busy => {
                self.when_free("COMMIT").await.map_err(Broken::Commit)
            }
            Err((fault, 0)) => Err(Broken::Bookkeeping(fault)),
            result => result.map_err(|(fault, _)| Broken::Commit(fault)),
        }
    }

    fn keep_all_within(&self, batch: &Batch) -> Result<(), Broken> {
        for (index, &start) in batch.starts.iter().enumerate() {
            let statement = batch.statement(index);
            self.keep_within(statement).map_err(|fault| Broken::Statement {
                fault,
                place: batch.place(start),
                excerpt: excerpt(statement),
            })?;
        }
        Ok(())
    }

    /// Runs a batch; the first one together with what opens the transaction, because each message to the driver's
    /// thread costs more than a small statement does.
    async fn send(&mut self, opening: &str, batch: &Batch) -> Result<(), Broken> {
        let mut result = self.run([opening, &batch.text].concat()).await;
        if let (false, Err((fault, 0))) = (opening.is_empty(), &result) {
            if fault.kind != Kind::Busy {
                return Err(Broken::NotBegun(fault.clone()));
            }
            self.when_free(opening).await.map_err(Broken::NotBegun)?;
            result = self.run(batch.text.clone()).await.map_err(|(fault, done)| (fault, done + 1));
        }
        let Err((fault, done)) = result else {
            return Ok(());
        };
        let done = done - usize::from(!opening.is_empty());
        Err(match batch.starts.get(done) {
            None => Broken::Bookkeeping(fault),
            Some(&start) => Broken::Statement {
                fault: fault.of_statement(batch.statement(done)),
                place: batch.place(start),
                excerpt: excerpt(batch.statement(done)),
            },
        })
    }

    /// Runs one statement, and again while another connection is in its way, up to our patience.
    pub(super) async fn when_free(&mut self, sql: &str) -> Result<(), Fault> {
        let mut since = None;
        loop {
            match self.run(sql.to_owned()).await {
                Err((fault, _)) if fault.kind == Kind::Busy => self.pause(&mut since, fault).await?,
                Err((fault, _)) => return Err(fault),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// Puts semicolons where a text begins or ends with white space beyond ASCII: to SQLite that is part of a name, and the
/// driver takes it off (sqlx-sqlite, `VirtualStatement::new`).
pub(super) fn guarded(mut sql: String) -> String {
    let is_letter = |letter: char| letter.is_whitespace() && !letter.is_ascii();
    if sql.trim_ascii_end().ends_with(is_letter) {
        sql.push_str("\n;");
    }
    if sql.trim_ascii_start().starts_with(is_letter) {
        sql.insert(0, ';');
    }
    sql
}

/// Whether a script may have left something in the session: settings, temporary tables, attached files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    Clean,
    Touched,
}

impl Session {
    pub(super) fn note(&mut self, text: &str) {
        if leaves_session_state(text) {
            *self = Session::Touched;
        }
    }
}
