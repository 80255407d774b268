//! Reading of the history table, and of the history tables of other tools.

use sqlx::postgres::PgRow;

use super::error::is_division_by_zero;
use super::grant::advised;
use super::message::{Label, Message, MessagePart};
use super::trust::before_reading;
use super::{Postgres, column, no_answer_error, texts};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryMark};
use crate::dialect::Dialect;
use crate::revision::Applied;
use crate::revision::history::{ExistingHistory, HistoryFormat, HistoryRecord, HistoryRowError};
use crate::revision::journal;
use crate::revision::other_tools::{self, ForeignHistory, RecordedVersions};
use crate::revision::render::OWN_PATH;
use crate::sql::{identifier, literal};

/// The result of a query for rows of the history.
enum ReadHistory<T> {
    /// The rows.
    Rows(Vec<T>),
    /// A row refers to the journal, which the query has not joined.
    InJournal,
}

impl Postgres {
    /// Reads the columns of the history that plans need. In a new session this is the second query.
    pub(crate) async fn history(&mut self) -> Result<Vec<Applied>, DatabaseError> {
        if !self.facts.history_exists {
            self.row(format!("SELECT to_regclass({})::text", literal(&self.table())))
                .await
                .and_then(|row| column::<Option<String>>(&row, 0))
                .map(|found| self.facts.history_exists = found.is_some())?;
            if !self.facts.history_exists {
                return Ok(Vec::new());
            }
        }
        let format = self.facts.format;
        self.read(|table| format.select(table), |row| format.decode(row)).await
    }

    /// Returns the mark of the history, and of the journal if both are read. Each change of a row gives it another `xmin`,
    /// which are added up: rows that were removed, added, replaced or changed in their place make another mark. Returns
    /// `None` if there is no history or it cannot be read: a read of the rows says why.
    pub(crate) async fn mark(&mut self) -> Option<HistoryMark> {
        if !self.facts.history_exists {
            return None;
        }
        let mut mark = String::new();
        for relation in
            [Some(self.table()), self.facts.reads_journal.then(|| self.journal_table())].into_iter().flatten()
        {
            let sql = format!(
                "SELECT count(*)::text || ' ' || coalesce(sum(xmin::text::bigint), 0)::text || ' ' || coalesce(max(xmin::text::bigint), 0)::text FROM {relation}"
            );
            let checked = before_reading(&relation, &self.facts.trusted_roles);
            let message = Message::new([checked, MessagePart::new(Label::Question, sql)]);
            let read = |row: &PgRow| column::<&str>(row, 0).map(|found| mark = format!("{mark}{relation} {found};"));
            self.ask(&message, read).await.ok()?;
        }
        Some(HistoryMark(mark))
    }

    /// Returns the format of the history table.
    pub(crate) fn history_format(&self) -> &'static dyn HistoryFormat {
        self.facts.format
    }

    /// Reports whether the history table existed when the history was read last.
    pub(crate) fn has_history(&self) -> bool {
        self.facts.history_exists
    }

    /// Reads every column of the history.
    pub(crate) async fn records(&mut self) -> Result<Vec<HistoryRecord>, DatabaseError> {
        if !self.facts.history_exists {
            return Ok(Vec::new());
        }
        let format = self.facts.format;
        self.read(|table| format.select_records(table), |row| format.decode_record(row)).await
    }

    /// Reads rows of the history. Once a row refers to the journal, this session reads both tables with one query. Adds
    /// advice to errors: the relation is no history table, the table is not trusted, a privilege is missing.
    async fn read<T>(
        &mut self,
        select: impl Fn(&ExistingHistory<'_>) -> String,
        decode: impl Fn(&[Option<&str>]) -> Result<Option<T>, HistoryRowError>,
    ) -> Result<Vec<T>, DatabaseError> {
        let (table, journal) = (self.table(), self.journal_table());
        let fault = loop {
            match self.read_trusted([&table, &journal], &select, &decode).await {
                Ok(ReadHistory::Rows(rows)) => return Ok(rows),
                Ok(ReadHistory::InJournal) => self.facts.reads_journal = true,
                Err(fault) => break fault,
            }
        };
        if is_division_by_zero(&fault) || fault.kind == DatabaseErrorKind::Statement {
            // A relation may be no table or not trusted: then that is the error to report.
            for relation in [&table, &journal] {
                if let Some(distrust) = self.distrust(relation).await? {
                    return Err(distrust);
                }
            }
        }
        Err(self.with_read_advice(fault))
    }

    /// Adds advice to an error of a read of the history.
    fn with_read_advice(&self, fault: DatabaseError) -> DatabaseError {
        let (table, journal) = (self.table(), self.journal_table());
        let is_journal =
            self.facts.reads_journal && fault.message.contains(&journal::name(Dialect::Postgres, &self.facts.table));
        match fault.kind {
            // Rows that a policy hides are an error under `row_security = off`; the advice for it is another one.
            DatabaseErrorKind::NoPrivilege if !fault.message.contains("row-level security") => {
                let relation = if is_journal { journal } else { table };
                fault.with_hint(format!("GRANT SELECT ON {relation} TO {}", identifier(&self.facts.role)))
            }
            DatabaseErrorKind::NoPrivilege => advised(fault, "", &self.facts.role),
            DatabaseErrorKind::Statement if is_journal => {
                let message = format!("the history refers to the journal {journal}: {}", fault.message);
                DatabaseError { kind: DatabaseErrorKind::Setting, message, ..fault }
                    .with_hint("restore that table from a backup: it has the progress of the unfinished revision")
            }
            DatabaseErrorKind::Statement => DatabaseError { kind: DatabaseErrorKind::Setting, ..fault }
                .with_hint(format!("{table} is not a history of ours: set LOCKKEEPER_HISTORY_TABLE to another name")),
            _ => fault,
        }
    }

    /// Reads the history in one message that checks first that the table is trusted, and the journal with it if both are
    /// read.
    async fn read_trusted<T>(
        &mut self,
        [table, journal]: [&str; 2],
        select: impl Fn(&ExistingHistory<'_>) -> String,
        decode: impl Fn(&[Option<&str>]) -> Result<Option<T>, HistoryRowError>,
    ) -> Result<ReadHistory<T>, DatabaseError> {
        let facts = &self.facts;
        let joined = facts.reads_journal.then_some(journal);
        let existing =
            ExistingHistory { dialect: Dialect::Postgres, table, lacks: &facts.history_lacks, journal: joined };
        let checks = [Some(table), joined].into_iter().flatten();
        let message = Message::new(checks.map(|relation| before_reading(relation, &facts.trusted_roles)))
            .and([MessagePart::new(Label::Question, select(&existing))]);
        let (mut found, mut is_in_journal) = (Vec::new(), false);
        let read = |row: &PgRow| {
            match decode(&texts(row)?) {
                Ok(row) => found.extend(row),
                Err(HistoryRowError::InJournal) => is_in_journal = true,
                Err(HistoryRowError::Foreign(sentence)) => {
                    return Err(DatabaseError::new(DatabaseErrorKind::Setting, sentence));
                }
            }
            Ok(())
        };
        self.ask(&message, read).await?;
        Ok(if is_in_journal { ReadHistory::InJournal } else { ReadHistory::Rows(found) })
    }

    /// Reads the history tables of other tools in all schemas but the system's; those in Lockkeeper's own schema come
    /// first.
    pub(crate) async fn foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        let limit = self.response_timeout();
        tokio::time::timeout(limit, self.read_foreign_histories()).await.map_err(|_| no_answer_error(limit))?
    }

    async fn read_foreign_histories(&mut self) -> Result<Vec<ForeignHistory>, DatabaseError> {
        let names: Vec<String> = other_tools::tables().map(literal).collect();
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, string_agg(a.attname::text, chr(10)) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relname IN ({}) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped \
             AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
             GROUP BY n.nspname, c.relname ORDER BY n.nspname = {} DESC, n.nspname, c.relname",
            names.join(", "),
            literal(self.facts.schema.as_deref().unwrap_or_default())
        );
        let mut found = Vec::new();
        for row in self.rows(sql).await? {
            let (schema, name): (String, String) = (column(&row, 0)?, column(&row, 1)?);
            let columns: Vec<&str> = column::<&str>(&row, 2)?.lines().collect();
            let Some(tool) = other_tools::recognise(&name, &columns) else { continue };
            let recorded = match found.len() < other_tools::READ {
                true => {
                    let table = format!("{}.{}", identifier(&schema), identifier(&name));
                    self.recorded(&table, &tool.question(&table)).await?
                }
                false => RecordedVersions::Unread,
            };
            found.push(ForeignHistory { tool, table: format!("{schema}.{name}"), recorded });
        }
        Ok(found)
    }

    /// Reads the versions that another tool's table records. A table that we may not read, that is not trusted, or that
    /// another session has locked is reported as such: it is no reason to fail.
    async fn recorded(&mut self, table: &str, question: &str) -> Result<RecordedVersions, DatabaseError> {
        let message = Message::new([
            MessagePart::new(Label::Begin, format!("{OWN_PATH}SET LOCAL lock_timeout = 200;\n")),
            before_reading(table, &self.facts.trusted_roles),
            MessagePart::new(Label::Question, question),
        ]);
        let mut answers = Vec::new();
        let read = |row: &PgRow| Ok([column(row, 0)?, column(row, 1)?, column(row, 2)?]);
        match self.ask(&message, |row| read(row).map(|answer| answers.push(answer))).await {
            Ok(()) => Ok(RecordedVersions::from_answers(answers)),
            Err(fault) if is_division_by_zero(&fault) => Ok(RecordedVersions::Untrusted),
            Err(fault)
                if matches!(
                    fault.kind,
                    DatabaseErrorKind::NoPrivilege | DatabaseErrorKind::Contended | DatabaseErrorKind::Statement
                ) =>
            {
                Ok(RecordedVersions::Unread)
            }
            Err(fault) => Err(fault),
        }
    }
}
