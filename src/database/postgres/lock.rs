//! The session advisory lock, which the session that applies the migrations holds itself.

use crate::sql::{DIVIDED_BY, identifier, literal};
use sha2::{Digest, Sha256};
use sqlx::Connection;

use super::error::is_division_by_zero;
use super::facts::SessionFacts;
use super::message::{Label, Message, MessagePart};
use super::settle::rows_can_be_locked;
use super::{MonitorSession, Postgres, column, no_answer_error};
use crate::database::durability::CommitMode;
use crate::database::{DatabaseError, DatabaseErrorKind, SessionLimits, UnlockResult};
use crate::masking::mask_query;
use crate::revision::SectionOptions;
use crate::revision::history::JournalUse;
use crate::revision::render::session::{COMMIT_TO_DISK, COMMIT_TO_MEMORY};
use crate::revision::render::{COMMIT, SessionSettings};

/// Returns the key of the lock: the first eight bytes of a SHA-256 over the names of the database and of the history
/// table, so that two history tables in one database do not block each other. The computation never changes between
/// releases.
pub(crate) fn key(database: &str, schema: &str, table: &str) -> i64 {
    let sum = Sha256::digest(format!("lockkeeper\0{database}\0{schema}\0{table}"));
    i64::from_be_bytes(sum[..8].try_into().expect("a SHA-256 has 32 bytes"))
}

/// Returns the condition that selects the rows of `pg_locks` with this key (manual, 54.13: a bigint key is split over
/// classid and objid). The rows may belong to any database; those of our own backend belong to our own database.
fn locks(key: i64) -> String {
    let bits = key.cast_unsigned();
    format!(
        "(locktype = 'advisory' AND granted AND objsubid = 1 AND classid = {} AND objid = {})",
        bits >> 32,
        bits & 0xffff_ffff,
    )
}

impl Postgres {
    pub(super) fn key(&self) -> i64 {
        key(&self.facts.database, self.facts.schema.as_deref().unwrap_or_default(), &self.facts.table)
    }

    /// Stores the limits, sets up the session and takes the lock a second time, for the reason that `assert_lock_held`
    /// gives.
    pub(crate) async fn prepare(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        self.check_place().await?;
        self.prepare_session(limits).await
    }

    /// Does the same as [`Postgres::prepare`] for a run that writes no history, and so needs no place for its table.
    pub(crate) async fn prepare_session(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        self.check_settings().await?;
        self.limits = Some(limits);
        let again = format!("SELECT pg_catalog.pg_try_advisory_lock({});\n", self.key());
        let sql = self.session_reset(&SectionOptions::default()) + &again;
        self.message(sql).await.map(drop)
    }

    /// Checks that the history table exists or can be created, before a backup is taken for nothing.
    async fn check_place(&mut self) -> Result<(), DatabaseError> {
        let elsewhere = "set LOCKKEEPER_HISTORY_TABLE=schema.table";
        let Some(schema) = self.facts.schema.clone() else {
            let message = "the search path names no schema that exists, so there is none for the history table";
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(elsewhere));
        };
        let sql = format!(
            "SELECT pg_catalog.to_regclass({}) IS NOT NULL, n.oid IS NOT NULL, pg_catalog.has_schema_privilege(n.oid, 'CREATE'), {}, {}, {} \
             FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {}",
            literal(&self.table()),
            self.is_plain(),
            self.journal_is_read(),
            rows_can_be_locked(&self.table()),
            literal(&schema)
        );
        let row = self.row(sql).await?;
        self.facts.history_is_plain = column(&row, 3)?;
        self.facts.reads_journal |= column::<bool>(&row, 4)?;
        self.facts.can_lock_rows = column::<Option<bool>>(&row, 5)?.unwrap_or(true);
        if column::<bool>(&row, 0)? {
            return Ok(());
        }
        if !column::<bool>(&row, 1)? {
            let message = format!("the schema {} for the history table does not exist", identifier(&schema));
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(elsewhere));
        }
        match column::<Option<bool>>(&row, 2)? {
            Some(true) => Ok(()),
            _ => {
                let message = format!("permission denied for schema {}", identifier(&schema));
                Err(DatabaseError::new(DatabaseErrorKind::NoPrivilege, message).with_hint(self.grant()))
            }
        }
    }

    /// Returns an expression for whether the history is read together with the journal since that exists: another run may
    /// have made it while this one waited for the lock.
    fn journal_is_read(&self) -> String {
        match self.facts.format.journal_use() {
            JournalUse::WhenReferred => "false".into(),
            JournalUse::WhenPresent => {
                format!("pg_catalog.to_regclass({}) IS NOT NULL", literal(&self.journal_table()))
            }
        }
    }

    /// Returns the GRANT statement that allows the creation of the history table.
    pub(super) fn grant(&self) -> String {
        let schema = identifier(self.facts.schema.as_deref().unwrap_or_default());
        format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {}", identifier(&self.facts.role))
    }

    /// Returns the statements that reset the session between two scripts.
    pub(super) fn session_reset(&self, options: &SectionOptions) -> String {
        let limits = self.limits.expect("prepare() comes before every other write");
        let mut lasting = self.keepalive_settings();
        // `remote_apply` waits for more than `on` does.
        if !self.facts.has_remote_apply {
            lasting.push(("synchronous_commit", "on".into()));
        }
        SessionSettings { lock: limits.lock, statement: limits.statement, lasting }.restore(options).concat()
    }

    /// Returns the settings that keep the session alive however long it is idle, and that end it when this process is
    /// gone.
    pub(super) fn keepalive_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("idle_in_transaction_session_timeout", "0".into()),
            ("tcp_keepalives_idle", "30".into()),
            ("tcp_keepalives_interval", "10".into()),
            ("tcp_keepalives_count", "3".into()),
        ];
        if self.major() >= 14 {
            settings.push(("idle_session_timeout", "0".into()));
            settings.push(("client_connection_check_interval", "2000".into()));
        }
        if self.major() >= 17 {
            settings.push(("transaction_timeout", "0".into()));
        }
        settings
    }

    pub(super) fn lock_is_held(&self) -> MessagePart<'static> {
        MessagePart::new(Label::LockIsHeld, self.assert_lock_held())
    }

    /// Returns the same check for a transaction whose COMMIT waits for the disk, or leaves that to a later one.
    pub(super) fn lock_is_held_until(&self, commit: CommitMode) -> MessagePart<'static> {
        let then = match commit {
            CommitMode::Own => COMMIT_TO_DISK,
            CommitMode::Shared => COMMIT_TO_MEMORY,
        };
        MessagePart::new(Label::LockIsHeld, self.assert_lock_held_and(then))
    }

    /// Returns the message that commits a transaction if the lock is still ours.
    pub(super) fn commit(&self) -> Message<'static> {
        Message::new([self.lock_is_held(), MessagePart::new(Label::Commit, COMMIT)])
    }

    /// Tries once to take the lock, and checks in a later message that our own backend holds it: behind a pooler in
    /// transaction mode the two messages may reach different backends.
    pub(crate) async fn try_lock(&mut self) -> Result<bool, DatabaseError> {
        let key = self.key();
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({key}), pg_catalog.pg_backend_pid()");
        let row = self.row(sql).await?;
        let backend: i32 = column(&row, 1)?;
        if !column::<bool>(&row, 0)? {
            return Ok(false);
        }
        let sql = format!(
            "SELECT count(*) FROM pg_catalog.pg_locks WHERE {} AND pid = pg_catalog.pg_backend_pid() AND pid = {}",
            locks(key),
            self.facts.pid
        );
        let row = self.row(sql).await?;
        match column::<i64>(&row, 0)? {
            0 => {
                self.unlock_pooled_backend(backend).await?;
                Err(self.transaction_pooler_error())
            }
            _ => self.try_tool_locks().await,
        }
    }

    /// Returns the keys of the locks that the tool of the history may take.
    fn tool_keys(&self) -> Vec<i64> {
        let SessionFacts { format, database, schema, table, .. } = &self.facts;
        format.tool_locks(database, schema.as_deref().unwrap_or_default(), table)
    }

    /// Tries to take the locks of the tool of the history, after our own. Our own lock is released while that tool holds
    /// one of its locks.
    async fn try_tool_locks(&mut self) -> Result<bool, DatabaseError> {
        let keys = self.tool_keys();
        for (number, key) in keys.iter().enumerate() {
            let row = self.row(format!("SELECT pg_catalog.pg_try_advisory_lock({key})")).await?;
            if !column::<bool>(&row, 0)? {
                self.unlock(&[&keys[..number], &[self.key()]].concat()).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Releases one hold of each of these locks.
    async fn unlock(&mut self, keys: &[i64]) -> Result<(), DatabaseError> {
        let unlock = keys.iter().map(|key| format!("SELECT pg_catalog.pg_advisory_unlock({key});\n"));
        match keys.is_empty() {
            true => Ok(()),
            false => self.rows(unlock.collect()).await.map(drop),
        }
    }

    /// Opens the monitor session. On failure the lock is released: nothing was changed, and behind a pooler the lock
    /// would stay with a backend that outlives our session.
    pub(crate) async fn open_monitor(&mut self) -> Result<MonitorSession, DatabaseError> {
        let opened = self.connect_monitor().await;
        if opened.is_err() {
            // Without a session there is no lock to release.
            let _ = self.unlock_pooled_backend(self.facts.pid).await;
        }
        opened
    }

    /// Releases the lock on the backend of the pooler that holds it: repeats the statement until it reaches that
    /// backend.
    pub(super) async fn unlock_pooled_backend(&mut self, backend: i32) -> Result<(), DatabaseError> {
        const ATTEMPTS: usize = 200;
        let sql = format!(
            "SELECT pg_catalog.pg_advisory_unlock({}) WHERE pg_catalog.pg_backend_pid() = {backend}",
            self.key()
        );
        for _ in 0..ATTEMPTS {
            if !self.rows(sql.clone()).await?.is_empty() {
                return Ok(());
            }
        }
        tracing::warn!("the lock stays with the pooler's backend, pid {backend}, until that ends");
        Ok(())
    }

    /// Returns the error for a pooler that shares server sessions between clients.
    pub(super) fn transaction_pooler_error(&self) -> DatabaseError {
        let mut fault = DatabaseError::new(
            DatabaseErrorKind::TransactionPooler,
            "this is a connection pooler in transaction mode: the advisory lock does not stay with our session",
        );
        fault.hint = Some("set LOCKKEEPER_DIRECT_URL to the server itself".into());
        fault
    }

    /// Returns a statement that fails (division by zero) when the lock is no longer ours, and that makes the COMMIT of
    /// the transaction wait for the disk. The session holds the lock twice, so that one hold can be released and taken
    /// again while no other session can take the lock: that is far cheaper than `pg_locks`, which visits every backend.
    pub(super) fn assert_lock_held(&self) -> String {
        self.assert_lock_held_and(COMMIT_TO_DISK)
    }

    fn assert_lock_held_and(&self, then: &str) -> String {
        format!(
            // CASE, because the operands of AND have no order (manual, 4.2.14).
            "SELECT 1 {DIVIDED_BY} CASE WHEN pg_catalog.pg_advisory_unlock({key}) THEN pg_catalog.pg_try_advisory_lock({key})::int ELSE 0 END, {then};\n",
            key = self.key()
        )
    }

    /// Checks that the lock is still held. The server answers at once, so half of the usual time without an answer
    /// counts as a lost session: the work of this run is done in sessions that a partition of the network may not reach.
    ///
    /// # Errors
    /// Fails with `Lost` when the lock or the session is lost.
    pub(crate) async fn check_lock(&mut self) -> Result<(), DatabaseError> {
        let limit = self.response_timeout() / 2;
        let sql = self.assert_lock_held();
        match tokio::time::timeout(limit, self.message(sql)).await {
            Ok(Err(fault)) if is_division_by_zero(&fault) => {
                Err(DatabaseError::new(DatabaseErrorKind::Lost, "our session does not hold the lock any more"))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(DatabaseError { kind: DatabaseErrorKind::Lost, ..fault }),
            Err(_) => Err(no_answer_error(limit)),
        }
    }

    /// Describes the session that holds the lock: pid, application, address, age, state and the beginning of its query,
    /// with secrets masked. Returns `None` when no session holds it.
    pub(crate) async fn holder(&mut self) -> Result<Option<String>, DatabaseError> {
        let keys = std::iter::once(self.key()).chain(self.tool_keys());
        let conditions: Vec<String> = keys.map(locks).collect();
        let sql = format!(
            "SELECT pg_catalog.format('pid %s, %s from %s, connected for %s s, %s: %s', l.pid, coalesce(nullif(a.application_name, ''), 'no application name'), \
             coalesce(pg_catalog.host(a.client_addr), 'a local socket'), extract(epoch from pg_catalog.clock_timestamp() - a.backend_start)::bigint, \
             coalesce(a.state, 'state unknown'), coalesce(pg_catalog.left(pg_catalog.split_part(a.query, E'\\n', 1), 80), '')) \
             FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE ({}) \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            conditions.join(" OR ")
        );
        let rows = self.rows(sql).await?;
        rows.first().map(|row| column(row, 0).map(|holder: String| mask_query(&holder))).transpose()
    }

    /// Releases both holds of the lock and closes the session; returns whether the lock was still ours.
    pub(crate) async fn release(mut self) -> Result<UnlockResult, DatabaseError> {
        let unlock = format!("pg_catalog.pg_advisory_unlock({})", self.key());
        // Before our own, so that nobody who has our lock waits for that of the tool.
        self.unlock(&self.tool_keys()).await?;
        let row = self.row(format!("SELECT {unlock} AND {unlock}")).await?;
        let ours: bool = column(&row, 0)?;
        // The lock is free and everything is committed: an error while the session is closed does not matter.
        let _ = self.connection.close().await;
        Ok(if ours { UnlockResult::WasOurs } else { UnlockResult::WasNotOurs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the key would let two releases run at once: never change the expected numbers.
    #[test]
    fn the_key_is_golden() {
        assert_eq!(key("app", "public", "lockkeeper_history"), GOLDEN[0]);
        assert_eq!(key("Ünï\"code", "S", "T"), GOLDEN[1]);
        assert_ne!(key("app", "a", "b"), key("app", "a", "c"));
    }

    const GOLDEN: [i64; 2] = [4_783_361_605_964_840_669, 7_997_383_531_648_784_403];
}
