//! Reads the history table, and the history tables of other tools.

use crate::sql::{identifier, sqlite_literal};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

use super::{OpenMode, Sqlite, column, error};
use crate::database::record::{self, COLUMNS, HistoryRecord, applied};
use crate::database::{DatabaseError, DatabaseErrorKind, TableNames};
use crate::revision::Applied;
use crate::revision::other_tools::{self, ForeignHistory, RecordedVersions};

/// The time for which other writers may keep a read from beginning.
const WRITERS: Duration = Duration::from_secs(5);

impl Sqlite {
    /// Reads the history; returns no rows if there is no file or no history table.
    ///
    /// # Errors
    /// The file is not readable, or the history table was not made by Lockkeeper.
    pub async fn history(&mut self) -> Result<Vec<Applied>, DatabaseError> {
        if self.is_missing() {
            if !self.path.exists() {
                return Ok(Vec::new());
            }
            // Another process has made the file since it was last looked for.
            self.reopen(OpenMode::Never).await?;
        }
        let Some(down) = self.down_checksum().await? else {
            return Ok(Vec::new());
        };
        let sql = format!("SELECT {COLUMNS}, {down} FROM {}", self.table());
        self.read(&sql, read_applied).await
    }

    /// Reports whether the history table existed when the history was last read.
    pub fn has_history(&self) -> bool {
        self.has_history
    }

    /// Reads every column of the history; returns no rows if the last read of the history found no table.
    ///
    /// # Errors
    /// Fails as [`Sqlite::history`] does, or if another connection writes for too long.
    pub async fn records(&mut self) -> Result<Vec<HistoryRecord>, DatabaseError> {
        if !self.has_history {
            return Ok(Vec::new());
        }
        self.past_writers(async |database| {
            let Some(down) = database.down_checksum().await? else {
                return Ok(Vec::new());
            };
            let sql = format!("SELECT {} FROM {}", record::columns("applied_at", down), database.table());
            database.read(&sql, read_record).await
        })
        .await
    }

    /// Returns the SQL for the down checksum: the column, or NULL in an old table without it. `None` if there is no
    /// table.
    async fn down_checksum(&mut self) -> Result<Option<&'static str>, DatabaseError> {
        let made_by = self.made_by().await?;
        self.has_history = made_by.is_some();
        Ok(made_by.map(|sql| if sql.contains("down_checksum") { "down_checksum" } else { "NULL" }))
    }

    /// Returns the statement that has created the history table, if there is one.
    ///
    /// # Errors
    /// The name belongs to something else (names have no case in SQLite), or a trigger runs on writes to the table.
    pub(super) async fn made_by(&mut self) -> Result<Option<String>, DatabaseError> {
        let name = sqlite_literal(&self.history);
        // Views and virtual tables have no pages of their own.
        let sql = format!(
            "SELECT type, name, sql, rootpage > 0 FROM sqlite_master WHERE type IN ('table', 'view') AND name = {name} COLLATE NOCASE \
             OR type = 'trigger' AND tbl_name = {name} COLLATE NOCASE ORDER BY type"
        );
        let mut made_by = None;
        for row in self.rows(sql).await? {
            let (kind, name): (&str, &str) = (column(&row, 0)?, column(&row, 1)?);
            let (what, drop) = match (kind, column(&row, 3)?) {
                ("table", true) => {
                    made_by = column(&row, 2)?;
                    continue;
                }
                ("table", false) => ("a virtual table", "TABLE"),
                ("trigger", _) => ("a trigger on it", "TRIGGER"),
                _ => ("a view", "VIEW"),
            };
            let message = format!(
                "this cannot be trusted as a history: {} has to be an ordinary table without triggers, and {name} is {what}",
                self.history
            );
            let hint = format!("DROP {drop} {}, or set LOCKKEEPER_HISTORY_TABLE to another name", identifier(name));
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint));
        }
        Ok(made_by)
    }

    /// Reads row by row: ten thousand rows of the driver take more memory than everything else.
    async fn read<T>(
        &mut self,
        sql: &str,
        read: impl Fn(&SqliteRow) -> Result<T, DatabaseError>,
    ) -> Result<Vec<T>, DatabaseError> {
        let path = self.path.clone();
        let unreadable = |fault: DatabaseError| match fault.kind {
            DatabaseErrorKind::Statement => DatabaseError { kind: DatabaseErrorKind::Setting, ..fault },
            _ => fault,
        };
        let mut rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(self.opened().await?);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| unreadable(error::from_driver(error, &path)))? {
            found.push(read(&row)?);
        }
        Ok(found)
    }

    /// Reads the names of the tables except SQLite's own and the history.
    ///
    /// # Errors
    /// The file is not readable, or another connection writes for too long.
    pub async fn table_names(&mut self) -> Result<TableNames, DatabaseError> {
        if self.is_missing() {
            return Ok(TableNames::default());
        }
        self.past_writers(async |database| {
            let sql = format!(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                 AND name <> {} COLLATE NOCASE ORDER BY name",
                sqlite_literal(&database.history)
            );
            let names = database.rows(sql).await?;
            TableNames::from_names(names.iter().map(|row| column(row, 0)))
        })
        .await
    }

    /// Reads the history tables of other tools.
    ///
    /// # Errors
    /// The file is not readable, or another connection writes for too long.
    pub async fn foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
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
        for row in self.rows(sql).await? {
            let name: String = column(&row, 0)?;
            let columns: Vec<&str> = column::<&str>(&row, 1)?.lines().collect();
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
        match self.rows(question).await {
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

fn read_applied(row: &SqliteRow) -> Result<Applied, DatabaseError> {
    applied(column(row, 0)?, column(row, 1)?, column(row, 2)?, column(row, 3)?, column(row, 4)?)
}

fn read_record(row: &SqliteRow) -> Result<HistoryRecord, DatabaseError> {
    Ok(HistoryRecord {
        row: read_applied(row)?,
        checksum: column(row, 1)?,
        description: column(row, 5)?,
        applied_at: column(row, 6)?,
        duration_ms: column(row, 7)?,
        statements_done: record::statements_done(column(row, 3)?),
        statements_total: column(row, 8)?,
        applied_by: column(row, 9)?,
        lockkeeper_version: column(row, 10)?,
        backup: column(row, 11)?,
    })
}
