//! Further sessions that read the snapshot of a transaction at the same time.
//!
//! The transaction that has exported the snapshot holds the locks that keep the tables as they are. A session that wants
//! an exclusive lock on one of them waits for that transaction, and a further session of ours would wait behind it
//! although its lock would be compatible. The server cannot see that the first transaction waits for the further one, so
//! that this would never end: a further session gives up a lock that it does not get soon.

use std::time::Duration;

use super::snapshot::{Snapshot, settings};
use super::{execute, fetch};
use crate::database::postgres::rows::REFUSE_VIEWS;
use crate::database::postgres::session_template::SessionTemplate;
use crate::database::postgres::{LoginProbe, Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;
use crate::sql::literal;

/// The application name of further sessions.
const APPLICATION_NAME: &str = "lockkeeper compare";
/// The longest time for which a further session waits for a lock.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A snapshot that further sessions can read.
#[derive(Clone)]
pub(crate) struct SharedSnapshot {
    template: SessionTemplate,
    /// The statements that begin a transaction with the snapshot.
    begin: String,
}

impl SharedSnapshot {
    /// Exports a snapshot, so that further sessions can read it until its transaction ends.
    ///
    /// # Errors
    /// Fails without the privilege to export it, or when the session is lost.
    pub(crate) async fn export(snapshot: &mut Snapshot<'_>) -> Result<SharedSnapshot, DatabaseError> {
        let session = snapshot.session();
        // An error would end the transaction.
        let allowed = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_export_snapshot()', 'EXECUTE')";
        let rows = fetch(session, allowed.into()).await?;
        if !rows.first().map_or(Ok(false), |row| column(row, 0))? {
            let message = "permission denied for function pg_export_snapshot";
            return Err(DatabaseError::new(DatabaseErrorKind::NoPrivilege, message));
        }
        let rows = fetch(session, "SELECT pg_catalog.pg_export_snapshot()".into()).await?;
        let none = || DatabaseError::new(DatabaseErrorKind::Lost, "the server exported no snapshot");
        let id: String = column(rows.first().ok_or_else(none)?, 0)?;
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSET TRANSACTION SNAPSHOT {};\n{OWN_PATH}{}\
             SET LOCAL lock_timeout = {};",
            literal(&id),
            settings(session),
            LOCK_WAIT.as_millis()
        );
        Ok(SharedSnapshot { template: SessionTemplate::from_session(session, APPLICATION_NAME), begin })
    }

    /// Opens a session that reads the snapshot.
    ///
    /// # Errors
    /// Fails when there is no room for another session, or when the first transaction has ended.
    pub(crate) async fn open(&self) -> Result<SnapshotSession, DatabaseError> {
        let mut session = self.template.open(self.begin.clone()).await?;
        execute(&mut session, REFUSE_VIEWS.into()).await?;
        Ok(SnapshotSession(session))
    }
}

/// A session that reads the snapshot of another session's transaction.
pub(crate) struct SnapshotSession(Postgres);

impl SnapshotSession {
    /// Returns the snapshot.
    pub(crate) fn snapshot(&mut self) -> Snapshot<'_> {
        Snapshot::from_transaction(&mut self.0)
    }

    /// Returns a probe that notices that this session is lost.
    pub(crate) fn probe(&self) -> LoginProbe {
        self.0.probe()
    }

    /// Closes the session, and so ends its transaction.
    pub(crate) async fn close(self) {
        self.0.close().await;
    }
}
