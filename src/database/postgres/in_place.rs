//! A restore in place, which replaces the content of the session's current database completely or not at all:
//!
//! 1. Every table is locked against writers before the last backup of the old content is taken, so that no session can
//!    commit rows that would be neither in that backup nor in the new content. Readers such as `pg_dump` go on.
//! 2. `pg_restore` only makes a script of the archive. In a session of its own it would have to wait for our locks, and
//!    writers would get in between if we released them. The script runs in the transaction that holds the locks.
//! 3. Objects that existed before and were not replaced are newer than the archive, of whatever kind they are: then the
//!    transaction is rolled back, and the error names them.
//! 4. The transaction is committed together with the proof that this run still holds its advisory lock.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::ChildStdout;
use tracing::Instrument;

use super::archive_script::{ArchiveScript, RowsFollow};
use super::content::DatabaseContent;
use super::dump::{DumpTools, ToolError};
use super::facts::{lacking, later_columns};
use super::message::{Label, Message, MessagePart};
use super::swap::SwapError;
use super::tool::{ChildGroup, check_status, log_lines};
use super::{Postgres, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::masking::excerpt;
use crate::signal::Cancel;
use crate::sql::literal;

/// The size in bytes up to which statements are collected for one message.
const MESSAGE: usize = 64 * 1024;

/// The query for the tables to which rows can be written, including partitioned ones.
const TABLES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
     AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";

/// The query for the number of clients other than Lockkeeper's in a database with large objects.
const POSSIBLE_WRITERS: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
     AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() AND application_name NOT IN ('lockkeeper', 'lockkeeper watch') \
     AND EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)";

/// The reason why an archive was not restored in place.
pub(crate) enum InPlaceError {
    /// The tool `pg_restore` failed.
    Tool(ToolError),
    /// The server refused a statement, the session was lost, or the run was cancelled.
    Fault(DatabaseError),
}

/// The restore of an archive into the database of a session. Between its steps the session is free for others, which
/// see the open transaction: the last backup is taken in it.
pub(crate) struct InPlaceRestore<'a> {
    pub(super) session: &'a mut Postgres,
}

impl<'a> InPlaceRestore<'a> {
    /// Returns the restore for a session that holds the lock.
    pub(crate) fn new(session: &'a mut Postgres) -> InPlaceRestore<'a> {
        InPlaceRestore { session }
    }

    /// Begins the transaction and locks every table against writers, including tables that are created meanwhile.
    ///
    /// # Errors
    /// Fails when a table stays locked for longer than `wait`, or a privilege is missing. The transaction is then
    /// rolled back.
    pub(crate) async fn lock_tables(&mut self, wait: Duration) -> Result<(), DatabaseError> {
        let locked = self.try_lock_tables(wait).await;
        if locked.is_err() {
            self.roll_back().await;
        }
        locked
    }

    async fn try_lock_tables(&mut self, wait: Duration) -> Result<(), DatabaseError> {
        self.session.rows(format!("BEGIN; SET LOCAL lock_timeout = {}", wait.as_millis())).await?;
        let mut locked = BTreeSet::new();
        loop {
            let rows = self.session.rows(TABLES.into()).await?;
            let found = rows.iter().map(|row| column(row, 0));
            let found: BTreeSet<String> = found.collect::<Result<_, DatabaseError>>()?;
            let new: Vec<String> = found.difference(&locked).map(|table| format!("ONLY {table}")).collect();
            if new.is_empty() {
                return self.refuse_large_object_writers().await;
            }
            self.session.rows(format!("LOCK TABLE {} IN EXCLUSIVE MODE", new.join(", "))).await?;
            locked = found;
        }
    }

    /// Checks that no other session is connected while there are large objects: a session can write to one without
    /// opening any table of the application, and a lock on the system table of their contents would keep `pg_dump` from
    /// reading them. A large object that is created later is found by [`InPlaceRestore::survivors`].
    ///
    /// # Errors
    /// Fails when other clients are connected, or the session is lost.
    pub(crate) async fn refuse_large_object_writers(&mut self) -> Result<(), DatabaseError> {
        let row = self.session.row(POSSIBLE_WRITERS.into()).await?;
        match column::<i64>(&row, 0)? {
            0 => Ok(()),
            others => {
                let message = format!(
                    "other sessions of this database: {others}; they could write to its large objects, which cannot be locked"
                );
                Err(DatabaseError::new(DatabaseErrorKind::Contended, message))
            }
        }
    }

    /// Rolls the transaction back. If the session is lost, the server has done so already.
    pub(crate) async fn roll_back(&mut self) {
        // Without a statement before it: in a failed transaction every other statement is refused.
        let _ = self.session.message("ROLLBACK".into()).await;
    }

    /// Replaces every object of the archive, in the transaction that holds the locks.
    ///
    /// # Errors
    /// Fails when `pg_restore` fails, when the server refuses a statement, which the message names, or when the run is
    /// cancelled.
    pub(crate) async fn replace_content(
        &mut self,
        pg_dump: Option<&Path>,
        archive: &Path,
        cancel: &Cancel,
    ) -> Result<(), InPlaceError> {
        let tools = DumpTools::find(pg_dump, self.session.major()).await.map_err(InPlaceError::Tool)?;
        let mut command = tools.script(archive);
        command.stdout(Stdio::piped());
        let unspawned = |error| ToolError::NotRun { tool: "pg_restore".into(), error };
        let child = command.spawn().map_err(unspawned).map_err(InPlaceError::Tool)?;
        let mut child = ChildGroup(child);
        let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
        let stdout = stdout.expect("the standard output is a pipe");
        let lines = tokio::spawn(log_lines(stderr, "pg_restore").in_current_span());
        let ran = self.run_script(stdout, cancel).await;
        match ran {
            // The error is the server's or the end of the run: the output of the tool adds nothing.
            Err(fault) if fault.kind != DatabaseErrorKind::Statement || fault.code.is_some() => {
                return Err(InPlaceError::Fault(fault));
            }
            _ => {}
        }
        let lines = lines.await.unwrap_or_default();
        let status = child.0.wait().await.map_err(unspawned).map_err(InPlaceError::Tool)?;
        check_status(status, "pg_restore", &lines).map_err(InPlaceError::Tool)?;
        ran.map_err(InPlaceError::Fault)
    }

    async fn run_script(&mut self, stdout: ChildStdout, cancel: &Cancel) -> Result<(), DatabaseError> {
        let mut script = ArchiveScript::new(stdout);
        let (mut batch, mut bytes, mut is_checked) = (Vec::new(), 0, false);
        loop {
            let next = tokio::select! {
                next = script.next() => next?,
                _ = cancel.cancelled() => return Err(stopped()),
            };
            let is_copy = next.as_deref().is_some_and(is_copy);
            if is_copy || next.is_none() || bytes > MESSAGE {
                self.send_statements(&std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            if is_copy && !is_checked {
                // At this point everything is defined and no row is restored yet.
                DatabaseContent::new(self.session).refuse_untrusted_code().await?;
                is_checked = true;
            }
            match next {
                None => return Ok(()),
                Some(copy) if is_copy => self.copy_rows(&copy, &mut script, cancel).await?,
                Some(statement) if self.is_left_out(&statement) => {}
                Some(statement) => {
                    bytes += statement.len();
                    batch.push(statement);
                }
            }
        }
    }

    /// Reports whether a statement of a script is left out: large objects come in transactions of their own, and tools
    /// of version 17 and newer set a parameter that older servers do not have.
    fn is_left_out(&self, statement: &str) -> bool {
        match statement {
            "BEGIN;" | "COMMIT;" => true,
            "SET transaction_timeout = 0;" => self.session.major() < 17,
            _ => false,
        }
    }

    async fn send_statements(&mut self, statements: &[String]) -> Result<(), DatabaseError> {
        if statements.is_empty() {
            return Ok(());
        }
        let parts = statements.iter().map(|statement| MessagePart::new(Label::Script, format!("{statement}\n")));
        let sent = self.session.send(&Message::new(parts)).await;
        let failed = |number| statements.get(number).map_or("", String::as_str);
        sent.map_err(|error| with_statement(error.fault, failed(error.number)))
    }

    /// Sends the rows of a COPY from the script to the server.
    async fn copy_rows(
        &mut self,
        statement: &str,
        script: &mut ArchiveScript<ChildStdout>,
        cancel: &Cancel,
    ) -> Result<(), DatabaseError> {
        let of_server = |error| with_statement(error::working(error), statement);
        script.begin_rows().await?;
        let mut copy = self.session.connection.copy_in_raw(statement).await.map_err(of_server)?;
        let mut rows = Vec::new();
        let sent = loop {
            let more = tokio::select! {
                more = script.rows(&mut rows) => more,
                _ = cancel.cancelled() => Err(stopped()),
            };
            let sent = match &more {
                Ok(_) => copy.send(rows.as_slice()).await.map(drop).map_err(of_server),
                Err(_) => Ok(()),
            };
            rows.clear();
            match (more, sent) {
                (Ok(RowsFollow::Yes), Ok(())) => {}
                (Ok(RowsFollow::No), sent) => break sent,
                (Ok(RowsFollow::Yes), Err(fault)) | (Err(fault), _) => break Err(fault),
            }
        };
        // Not the driver's abort, which gets out of step after an error of the server: the caller rolls back anyway.
        let ended = copy.finish().await.map(drop).map_err(of_server);
        sent.and(ended)
    }

    /// Looks up again whether the history table exists and which columns it has, because the script has replaced it.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn find_history_again(&mut self) -> Result<(), DatabaseError> {
        let table = literal(&self.session.table());
        let (oid, facts) = (format!("pg_catalog.to_regclass({table})"), &self.session.facts);
        let sql = format!("SELECT {oid}::text, {}", later_columns(facts.format, &oid));
        let row = self.session.row(sql).await?;
        let (found, present): (Option<&str>, Option<&str>) = (column(&row, 0)?, column(&row, 1)?);
        let facts = &mut self.session.facts;
        facts.history_exists = found.is_some();
        facts.has_journal = false;
        facts.history_lacks = lacking(facts.format, found, present);
        Ok(())
    }

    /// Commits the transaction if this run still holds its lock.
    ///
    /// # Errors
    /// Fails when the lock or the session is lost, or a deferred constraint is violated. After a lost session the
    /// outcome is unknown.
    pub(crate) async fn commit_content(&mut self) -> Result<(), SwapError> {
        self.session.send(&self.session.commit()).await.map_err(|error| match error.fault.kind {
            _ if error.is_failed_check(Label::LockIsHeld) => {
                SwapError::Fault(DatabaseError::new(DatabaseErrorKind::Lost, "our lock was lost before the COMMIT"))
            }
            DatabaseErrorKind::Lost => SwapError::Unknown(error.fault),
            _ => SwapError::Fault(error.fault),
        })
    }
}

fn is_copy(statement: &str) -> bool {
    statement.starts_with("COPY ") && statement.ends_with(" FROM stdin;")
}

fn stopped() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Cancelled, "stopped while the archive was read")
}

/// Adds the statement of the archive that failed to the error.
fn with_statement(fault: DatabaseError, statement: &str) -> DatabaseError {
    let statement = excerpt(statement).replace('\n', " / ");
    DatabaseError { message: format!("{}; statement of the backup: {statement}", fault.message), ..fault }
}
