//! Reads the history table, and the history tables of other tools.

use std::time::{Duration, Instant};

use super::{OpenMode, Sqlite, column};
use crate::database::{DatabaseError, DatabaseErrorKind, TableNames};
use crate::dialect::Dialect;
use crate::revision::Applied;
use crate::revision::history::{ExistingHistory, HistoryFormat, HistoryRecord, HistoryRowError, JournalUse};
use crate::revision::journal;
use crate::revision::other_tools::{self, ForeignHistory, RecordedVersions};
use crate::sql::{identifier, sqlite_literal};

/// The time for which other writers may keep a read from beginning.
const WRITERS: Duration = Duration::from_secs(5);

/// The reason why rows of the history cannot be read.
enum ReadError {
    /// The query failed, or a row is not ours.
    Fault(DatabaseError),
    /// A row refers to the journal, which the query has not joined.
    InJournal,
}

impl From<DatabaseError> for ReadError {
    fn from(fault: DatabaseError) -> ReadError {
        ReadError::Fault(fault)
    }
}

impl From<HistoryRowError> for ReadError {
    fn from(row: HistoryRowError) -> ReadError {
        match row {
            HistoryRowError::InJournal => ReadError::InJournal,
            HistoryRowError::Foreign(sentence) => {
                ReadError::Fault(DatabaseError::new(DatabaseErrorKind::Setting, sentence))
            }
        }
    }
}

impl Sqlite {
    /// Reads the history; returns no rows if there is no file or no history table.
    ///
    /// # Errors
    /// The file is not readable, or the history table was not made by Lockkeeper.
    pub(crate) async fn history(&mut self) -> Result<Vec<Applied>, DatabaseError> {
        if self.is_missing() {
            if !self.path.exists() {
                return Ok(Vec::new());
            }
            // Another process has made the file since it was last looked for.
            self.open_and_read(OpenMode::Never).await?;
        }
        let format = self.format;
        self.read(|table| format.select(table), |row| format.decode(row)).await
    }

    /// Returns the format of the history table.
    pub(crate) fn history_format(&self) -> &'static dyn HistoryFormat {
        self.format
    }

    /// Reports whether the history table existed when the history was last read.
    pub(crate) fn has_history(&self) -> bool {
        self.has_history
    }

    /// Reads every column of the history; returns no rows if the last read of the history found no table.
    ///
    /// # Errors
    /// Fails as [`Sqlite::history`] does, or if another connection writes for too long.
    pub(crate) async fn records(&mut self) -> Result<Vec<HistoryRecord>, DatabaseError> {
        if !self.has_history {
            return Ok(Vec::new());
        }
        self.past_writers(async |database| {
            let format = database.format;
            database.read(|table| format.select_records(table), |row| format.decode_record(row)).await
        })
        .await
    }

    /// Returns the columns that the history table lacks; `None` if there is no table.
    async fn find_history(&mut self) -> Result<Option<Vec<&'static str>>, DatabaseError> {
        let made_by = self.made_by().await?;
        self.has_history = made_by.is_some();
        Ok(made_by.map(|sql| self.lacking(&sql)))
    }

    /// Returns the columns of later releases that a table lacks; `made_by` is the statement that has created it.
    pub(super) fn lacking(&self, made_by: &str) -> Vec<&'static str> {
        let later = self.format.later_columns().iter().copied();
        later.filter(|column| !made_by.contains(column)).collect()
    }

    /// Returns the statement that has created the history table, if there is one.
    ///
    /// # Errors
    /// The name belongs to something else (names have no case in SQLite), or a trigger runs on writes to the table.
    pub(super) async fn made_by(&mut self) -> Result<Option<String>, DatabaseError> {
        let history = self.history.clone();
        self.table_made_by(&history).await
    }

    /// Returns the statement that has created a table of ours, if there is one.
    ///
    /// # Errors
    /// Fails as [`Sqlite::made_by`] does.
    pub(super) async fn table_made_by(&mut self, table: &str) -> Result<Option<String>, DatabaseError> {
        let name = sqlite_literal(table);
        // Views and virtual tables have no pages of their own.
        let sql = format!(
            "SELECT type, name, sql, rootpage > 0 FROM sqlite_master WHERE type IN ('table', 'view') AND name = {name} COLLATE NOCASE \
             OR type = 'trigger' AND tbl_name = {name} COLLATE NOCASE ORDER BY type"
        );
        let mut made_by = None;
        for row in self.rows(&sql).await? {
            let (kind, name): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            let (what, drop) = match (kind.as_str(), column(&row, 3)?) {
                ("table", true) => {
                    made_by = column(&row, 2)?;
                    continue;
                }
                ("table", false) => ("a virtual table", "TABLE"),
                ("trigger", _) => ("a trigger on it", "TRIGGER"),
                _ => ("a view", "VIEW"),
            };
            let drop = format!("DROP {drop} {}", identifier(&name));
            let (as_what, hint) = match table == self.history {
                true => ("a history", format!("{drop}, or set LOCKKEEPER_HISTORY_TABLE to another name")),
                false => ("the journal of a history", drop),
            };
            let message = format!(
                "this cannot be trusted as {as_what}: {table} has to be an ordinary table without triggers, and {name} is {what}"
            );
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint));
        }
        Ok(made_by)
    }

    /// Reads rows of the history; returns no rows if there is no history table. Once a row refers to the journal, both
    /// tables are read with one query. Under the lock, waits for other connections.
    async fn read<T>(
        &mut self,
        select: impl Fn(&ExistingHistory<'_>) -> String,
        decode: impl Fn(&[Option<&str>]) -> Result<Option<T>, HistoryRowError>,
    ) -> Result<Vec<T>, DatabaseError> {
        let mut waiting_since = None;
        loop {
            let Some(lacks) = self.find_history().await? else {
                return Ok(Vec::new());
            };
            let (table, journal) = (self.table(), self.joined_journal().await?);
            let journal = journal.as_deref();
            let sql = select(&ExistingHistory { dialect: Dialect::Sqlite, table: &table, lacks: &lacks, journal });
            match self.read_once(&sql, &decode) {
                Err(ReadError::InJournal) => self.reads_journal = true,
                Err(ReadError::Fault(fault)) if fault.kind == DatabaseErrorKind::Busy => {
                    self.pause(&mut waiting_since, fault).await?;
                }
                Err(ReadError::Fault(fault)) => return Err(fault),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// Returns the name of the journal, quoted, if the history is read together with it.
    ///
    /// # Errors
    /// There is no such table, or it is not an ordinary one.
    async fn joined_journal(&mut self) -> Result<Option<String>, DatabaseError> {
        let is_optional = self.format.journal_use() == JournalUse::WhenPresent;
        if !self.reads_journal && !is_optional {
            return Ok(None);
        }
        let name = journal::name(Dialect::Sqlite, &self.history);
        if self.table_made_by(&name).await?.is_none() {
            if is_optional && !self.reads_journal {
                return Ok(None);
            }
            let message = format!("the history refers to the journal {name}, and there is no such table");
            let hint = "restore that table from a backup: it has the progress of the unfinished revision";
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint));
        }
        Ok(Some(self.journal_table()))
    }

    /// Reads row by row: ten thousand rows take more memory than everything else.
    fn read_once<T>(
        &mut self,
        sql: &str,
        decode: &impl Fn(&[Option<&str>]) -> Result<Option<T>, HistoryRowError>,
    ) -> Result<Vec<T>, ReadError> {
        let (mut found, mut in_journal) = (Vec::new(), false);
        let asked = self.ask(sql, |row| match decode(row) {
            Ok(decoded) => {
                found.extend(decoded);
                Ok(())
            }
            Err(error) => Err(match error.into() {
                ReadError::Fault(fault) => fault,
                ReadError::InJournal => {
                    in_journal = true;
                    DatabaseError::new(DatabaseErrorKind::Setting, "a row is in the journal")
                }
            }),
        });
        match asked {
            Ok(()) => Ok(found),
            Err(_) if in_journal => Err(ReadError::InJournal),
            Err(fault) if fault.kind == DatabaseErrorKind::Statement => {
                let hint =
                    format!("{} is not a history of ours: set LOCKKEEPER_HISTORY_TABLE to another name", self.table());
                Err(DatabaseError { kind: DatabaseErrorKind::Setting, ..fault }.with_hint(hint).into())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Reads the names of the tables except SQLite's own, the history and its journal.
    ///
    /// # Errors
    /// The file is not readable, or another connection writes for too long.
    pub(crate) async fn table_names(&mut self) -> Result<TableNames, DatabaseError> {
        if self.is_missing() {
            return Ok(TableNames::default());
        }
        self.past_writers(async |database| {
            let sql = format!(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 AND name <> {} COLLATE NOCASE AND name <> {} COLLATE NOCASE ORDER BY name",
                sqlite_literal(&database.history),
                sqlite_literal(&journal::name(Dialect::Sqlite, &database.history))
            );
            let names = database.rows(&sql).await?;
            TableNames::from_names(names.iter().map(|row| column(row, 0)))
        })
        .await
    }

    /// Reads the history tables of other tools.
    ///
    /// # Errors
    /// The file is not readable, or another connection writes for too long.
    pub(crate) async fn foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        if self.is_missing() {
            return Ok(Vec::new());
        }
        self.past_writers(Sqlite::read_foreign_histories).await
    }

    async fn read_foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        let names: Vec<String> = other_tools::tables().map(sqlite_literal).collect();
        // Table and column names have no case in SQLite; a virtual table has no pages of its own.
        let sql = format!(
            "SELECT m.name, group_concat(lower(c.name), char(10)) FROM (SELECT name FROM sqlite_master \
             WHERE type = 'table' AND rootpage > 0 AND lower(name) IN ({})) m, pragma_table_info(m.name) c GROUP BY m.name ORDER BY m.name",
            names.join(", ")
        );
        let mut found = Vec::new();
        for row in self.rows(&sql).await? {
            let name: String = column(&row, 0)?;
            let columns: String = column(&row, 1)?;
            let columns: Vec<&str> = columns.lines().collect();
            let Some(tool) = other_tools::recognise(&name.to_lowercase(), &columns) else { continue };
            let recorded = match found.len() < other_tools::READ {
                true => self.recorded(tool.question(&identifier(&name))).await?,
                false => RecordedVersions::Unread,
            };
            found.push(ForeignHistory { tool, table: name, recorded });
        }
        Ok(found)
    }

    async fn recorded(&mut self, question: String) -> Result<RecordedVersions, DatabaseError> {
        match self.rows(&question).await {
            Ok(rows) => {
                let answer = |row| Ok([column(row, 0)?, column(row, 1)?, column(row, 2)?]);
                Ok(RecordedVersions::from_answers(rows.iter().map(answer).collect::<Result<_, DatabaseError>>()?))
            }
            Err(fault) if fault.kind == DatabaseErrorKind::Statement => Ok(RecordedVersions::Unread),
            Err(fault) => Err(fault),
        }
    }

    /// Repeats a read while another connection writes, for [`WRITERS`].
    async fn past_writers<T>(
        &mut self,
        ask: impl AsyncFn(&mut Sqlite) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let began = Instant::now();
        loop {
            match ask(self).await {
                Err(fault) if fault.kind == DatabaseErrorKind::Busy && began.elapsed() < WRITERS => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => return other,
            }
        }
    }
}
