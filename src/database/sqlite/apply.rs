//! Running one revision on SQLite.

use std::time::{Duration, Instant};

use super::{Creation, Sqlite, Violations, column};
use crate::database::fault::excerpt;
use crate::database::locked::Resumed;
use crate::database::{Broken, Fault, Kind, Unit};
use crate::revision::objection::is_ordinary;
use crate::revision::render::{History, Progress, Took, literal};
use crate::revision::{Batch, Cut, Dialect, Direction, Mode};

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
        let progress = Progress::Whole { statements: unit.way.statements };
        let row = unit.row(unit.way.checksum, progress, Took::Known(began.elapsed()));
        self.still_ours()?;
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
        let Resumed { mut done, settings } = unit.skip_done()?;
        for batch in settings {
            session.note(&batch.text);
            let again = self.when_free(batch.statement(0)).await;
            again.map_err(|fault| Broken::not_resumed(fault, &batch, done))?;
        }
        // A way back has a row, which says what was applied until something of it is undone.
        if unit.way.direction == Direction::Up && done == 0 {
            let progress = Progress::Part { done, total: unit.way.statements };
            self.journal(history, unit, progress, Duration::ZERO).await?;
        }
        while let Some(batch) = unit.batches.next(Cut::Statement)? {
            session.note(&batch.text);
            let began = Instant::now();
            if is_ordinary(batch.statement(0), Dialect::Sqlite) {
                self.with_journal(history, unit, &batch, done).await?;
                done += 1;
                continue;
            }
            if !batch.starts.is_empty() {
                let result = match unit.unless_stopped() {
                    Ok(()) => self.when_free(batch.statement(0)).await,
                    Err(fault) => Err(fault),
                };
                result.map_err(|fault| Broken::partial(fault, &batch, done))?;
                done += 1;
            }
            let progress = unit.reached(&batch, done)?;
            let written = self.journal(history, unit, progress, began.elapsed()).await;
            written.map_err(|broken| broken.after_statement(&batch, done))?;
        }
        Ok(())
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
        let attempt = async {
            unit.unless_stopped()?;
            self.when_free("BEGIN IMMEDIATE").await?;
            self.run(batch.statement(0).to_owned()).await.map_err(|(fault, _)| fault)?;
            let row = unit.row(unit.batches.checksum(), progress, Took::Known(began.elapsed()));
            self.run(history.record(&row)).await.map_err(|(fault, _)| fault)?;
            self.when_free("COMMIT").await
        };
        let Err(fault) = attempt.await else {
            return Ok(());
        };
        // Fails when there is none, or the statement's own error has ended it.
        let _ = self.run("ROLLBACK".into()).await;
        Err(Broken::partial(fault, batch, done))
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

    /// Such rows by table and parent; a key that fits no parent at all is one, with SQLite's words in the parent's place.
    async fn find_violations(&mut self) -> Result<Violations, Fault> {
        match self.violations_of("").await {
            // One such key keeps SQLite from checking all others.
            Err(fault) if fault.kind == Kind::Statement => {}
            other => return other,
        }
        let mut found = Violations::new();
        for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'".into()).await? {
            let table: String = column(&row, 0)?;
            match self.violations_of(&literal(&table)).await {
                Ok(of_table) => found.extend(of_table),
                Err(fault) if fault.kind == Kind::Statement => drop(found.insert((table, fault.message), 1)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    /// Of one table, or of all.
    async fn violations_of(&mut self, table: &str) -> Result<Violations, Fault> {
        let sql = format!(
            "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check({table}) GROUP BY 1, 2"
        );
        let rows = self.rows(sql).await?;
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
