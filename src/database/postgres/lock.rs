//! The session advisory lock, on the very session that works.

use sha2::{Digest, Sha256};
use sqlx::Connection;

use super::error::is_division_by_zero;
use super::{MonitorSession, Postgres, column};
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind, SessionLimits, UnlockResult};
use crate::masking::mask_query;
use crate::revision::Header;
use crate::revision::render::operator::DIVIDED_BY;
use crate::revision::render::session::COMMIT_TO_DISK;
use crate::revision::render::{SessionSettings, identifier, literal, own_role};

/// How many statements stand before the bookkeeping, and which of them are checks.
pub(super) const BEFORE_BOOKKEEPING: usize = 5;
const LOCK_IS_HELD: usize = 2;
const HISTORY_IS_TRUSTED: usize = 4;

/// The key of the lock: the first eight bytes of a SHA-256 over the database's and the history table's names, so that
/// two history tables in one database do not block each other. Never changes from release to release.
pub fn key(database: &str, schema: &str, table: &str) -> i64 {
    let sum = Sha256::digest(format!("lockkeeper\0{database}\0{schema}\0{table}"));
    i64::from_be_bytes(sum[..8].try_into().expect("a SHA-256 has 32 bytes"))
}

/// The rows of `pg_locks` that are this key in any database (manual, 54.13: a bigint key is split over classid and
/// objid). Our own backend's are in our own database.
fn locks(key: i64) -> String {
    let bits = key.cast_unsigned();
    format!(
        "locktype = 'advisory' AND granted AND objsubid = 1 AND classid = {} AND objid = {}",
        bits >> 32,
        bits & 0xffff_ffff,
    )
}

impl Postgres {
    pub(super) fn key(&self) -> i64 {
        key(&self.facts.database, self.facts.schema.as_deref().unwrap_or_default(), &self.facts.table)
    }

    /// Remembers the limits, sets up the session and takes the lock a second time: see `assert_lock_held`.
    pub async fn prepare(&mut self, limits: SessionLimits) -> Result<(), DatabaseError> {
        self.check_place().await?;
        self.check_settings().await?;
        self.limits = Some(limits);
        let again = format!("SELECT pg_catalog.pg_try_advisory_lock({});\n", self.key());
        let sql = self.session(&Header::default()).concat() + &again;
        self.message(sql).await.map(drop)
    }

    /// Whether the history table is there or can be created: found out before a backup is taken in vain.
    async fn check_place(&mut self) -> Result<(), DatabaseError> {
        let elsewhere = "set LOCKKEEPER_HISTORY_TABLE=schema.table";
        let Some(schema) = self.facts.schema.clone() else {
            let message = "the search path names no schema that exists, so there is none for the history table";
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(elsewhere));
        };
        let sql = format!(
            "SELECT pg_catalog.to_regclass({}) IS NOT NULL, n.oid IS NOT NULL, pg_catalog.has_schema_privilege(n.oid, 'CREATE'), {} \
             FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {}",
            literal(&self.table()),
            self.is_plain(),
            literal(&schema)
        );
        let row = self.row(sql).await?;
        self.facts.history_is_plain = column(&row, 3)?;
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

    /// The GRANT that lets us create the history table.
    pub(super) fn grant(&self) -> String {
        let schema = identifier(self.facts.schema.as_deref().unwrap_or_default());
        format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {}", identifier(&self.facts.role))
    }

    /// A row could not be written; with the GRANT that lets us write all that a row ever needs.
    pub(super) fn bookkeeping_error(&self, fault: DatabaseError) -> ApplyError {
        self.with_grant(ApplyError::Bookkeeping(fault))
    }

    /// Statements that bring the session into our state between scripts.
    pub(super) fn session(&self, header: &Header) -> Vec<String> {
        let limits = self.limits.expect("prepare() comes before every other write");
        let mut lasting = self.keepalive_settings();
        // `remote_apply` waits for more than `on` does.
        if !self.facts.has_remote_apply {
            lasting.push(("synchronous_commit", "on".into()));
        }
        SessionSettings { lock: limits.lock, statement: limits.statement, lasting }.restore(header)
    }

    /// Settings that keep a session alive however long it is idle, and end it when we are gone.
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

    /// Statements behind which the history is written, for the rest of the transaction: as ourselves, whichever role the
    /// script has taken, with the lock still ours, and into a table that is trusted.
    pub(super) fn before_bookkeeping(&self) -> [String; BEFORE_BOOKKEEPING] {
        let [authorization, role] = own_role(&self.facts.role);
        let [lock, trusted] = self.before_writing();
        [authorization, role, self.assert_lock_held(), lock, trusted]
    }

    /// Why the history was not written, when the statement of [`Postgres::before_bookkeeping`] with this number failed.
    /// A history that was a plain table and is none any more may still be trusted: it is asked about at length from then on.
    pub(super) fn not_written(&mut self, statement: usize, fault: DatabaseError) -> ApplyError {
        match statement {
            LOCK_IS_HELD if is_division_by_zero(&fault) => ApplyError::LockLost,
            HISTORY_IS_TRUSTED if is_division_by_zero(&fault) => {
                self.facts.history_is_plain = false;
                ApplyError::Bookkeeping(self.replaced_history())
            }
            _ => self.bookkeeping_error(fault),
        }
    }

    /// One attempt, and in a later message the question whether our own backend holds it: behind a transaction pooler
    /// the two messages may meet different backends.
    pub async fn try_lock(&mut self) -> Result<bool, DatabaseError> {
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
            _ => Ok(true),
        }
    }

    /// Opens the second session. If there is none, the lock is given back: nothing was changed, and behind a pooler it
    /// would stay with a backend that outlives our session.
    pub async fn watch(&mut self) -> Result<MonitorSession, DatabaseError> {
        let opened = self.open_watch().await;
        if opened.is_err() {
            // Without a session there is nothing to give back.
            let _ = self.unlock_pooled_backend(self.facts.pid).await;
        }
        opened
    }

    /// Frees the lock on the pooler's backend that has taken it: asks until that one is met.
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

    /// The fault of a pooler that shares our session.
    pub(super) fn transaction_pooler_error(&self) -> DatabaseError {
        let mut fault = DatabaseError::new(
            DatabaseErrorKind::TransactionPooler,
            "this is a connection pooler in transaction mode: the advisory lock does not stay with our session",
        );
        fault.hint = Some("set LOCKKEEPER_DIRECT_URL to the server itself".into());
        fault
    }

    /// A statement that fails (division by zero) when the lock is not ours any more, and makes the transaction's COMMIT
    /// wait for the disk. We hold the lock twice, so that one hold can be given back and taken again without anybody
    /// slipping in: that is far cheaper than `pg_locks`, which visits every backend.
    pub(super) fn assert_lock_held(&self) -> String {
        format!(
            // CASE, because the operands of AND have no order (manual, 4.2.14).
            "SELECT 1 {DIVIDED_BY} CASE WHEN pg_catalog.pg_advisory_unlock({key}) THEN pg_catalog.pg_try_advisory_lock({key})::int ELSE 0 END, {COMMIT_TO_DISK};\n",
            key = self.key()
        )
    }

    pub async fn holder(&mut self) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.format('pid %s, %s from %s, connected for %s s, %s: %s', l.pid, coalesce(nullif(a.application_name, ''), 'no application name'), \
             coalesce(pg_catalog.host(a.client_addr), 'a local socket'), extract(epoch from pg_catalog.clock_timestamp() - a.backend_start)::bigint, \
             coalesce(a.state, 'state unknown'), coalesce(pg_catalog.left(pg_catalog.split_part(a.query, E'\\n', 1), 80), '')) \
             FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE {} \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            locks(self.key())
        );
        let rows = self.rows(sql).await?;
        rows.first().map(|row| column(row, 0).map(|holder: String| mask_query(&holder))).transpose()
    }

    pub async fn release(mut self) -> Result<UnlockResult, DatabaseError> {
        let unlock = format!("pg_catalog.pg_advisory_unlock({})", self.key());
        let row = self.row(format!("SELECT {unlock} AND {unlock}")).await?;
        let ours: bool = column(&row, 0)?;
        // The lock is free and everything is committed: how the goodbye goes does not matter any more.
        let _ = self.connection.close().await;
        Ok(if ours { UnlockResult::WasOurs } else { UnlockResult::WasNotOurs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here would let two releases run at once: never change the expected numbers.
    #[test]
    fn the_key_is_golden() {
        assert_eq!(key("app", "public", "lockkeeper_history"), GOLDEN[0]);
        assert_eq!(key("Ünï\"code", "S", "T"), GOLDEN[1]);
        assert_ne!(key("app", "a", "b"), key("app", "a", "c"));
    }

    const GOLDEN: [i64; 2] = [4_783_361_605_964_840_669, 7_997_383_531_648_784_403];
}
