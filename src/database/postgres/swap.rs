//! The exchange of two databases: the restored one gets the name of the old one.
//!
//! The advisory lock belongs to the old database, and PostgreSQL renames no database in which a session is, so our own
//! session has to end first. From then on the server's own lock on the database keeps a second writer out: RENAME takes
//! that lock before it looks for sessions, waits five seconds for these to end, and every login needs the lock. The
//! steps are:
//!
//! 1. A maintenance session renames both databases in one transaction: the first RENAME waits.
//! 2. As soon as that session has the lock, nobody can log in, in particular no run that waits for our advisory lock.
//! 3. A second maintenance session checks that our advisory lock is still ours, and ends all other sessions.
//! 4. Only then our own session ends. No session is left that could take its lock, and the renames succeed.
//! 5. The OIDs of both databases are compared in that transaction, because the names could belong to other databases by
//!    now. COMMIT allows logins again.
//!
//! Whatever is killed at whatever moment, the transaction is either committed or not.

use std::time::{Duration, Instant};

use super::maintenance::Maintenance;
use super::{Postgres, ScratchDatabase, column, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::{identifier, literal};

/// The time between two checks of the server's progress.
const LOOK: Duration = Duration::from_millis(20);

/// The reason why two databases were not exchanged.
pub(crate) enum SwapError {
    /// Both databases have their former names.
    Fault(DatabaseError),
    /// The connection was lost, and the server cannot be asked for the outcome.
    Unknown(DatabaseError),
}

impl ScratchDatabase {
    /// Gives this database the name of `old`, which is renamed to `kept`. If `old` is still there after an error, its
    /// lock is still held.
    ///
    /// # Errors
    /// Fails when sessions cannot be ended, a privilege is missing, or the connection is lost.
    pub(crate) async fn swap_with(&mut self, old: &mut Option<Postgres>, kept: &str) -> Result<(), SwapError> {
        let Some(session) = old.as_ref() else {
            let lost = DatabaseError::new(DatabaseErrorKind::Lost, "the session that held the lock is gone");
            return Err(SwapError::Fault(lost));
        };
        let mut second = session.maintenance().await.map_err(SwapError::Fault)?;
        let pid: i32 = match self.rows("SELECT pg_catalog.pg_backend_pid()").await {
            Ok(rows) => rows.first().map_or(Ok(0), |row| column(row, 0)).map_err(SwapError::Fault)?,
            Err(fault) => return Err(SwapError::Fault(fault)),
        };
        self.end_sessions().await.map_err(SwapError::Fault)?;
        let (model, name) = (identifier(&self.model), identifier(&self.name));
        let sql = format!(
            "BEGIN; ALTER DATABASE {model} RENAME TO {}; ALTER DATABASE {name} RENAME TO {model}",
            identifier(kept)
        );
        let model = self.model.clone();
        let renamed = rename_and_clear(self.run(&sql), &mut second, old, &model, pid).await;
        let confirmed = match renamed {
            Ok(()) => self.confirm(kept).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = confirmed {
            // An error is ignored: a session that is lost has rolled back as well.
            let _ = self.run("ROLLBACK").await;
            let kind = if error::is_in_use(&fault) { DatabaseErrorKind::Busy } else { fault.kind };
            return Err(SwapError::Fault(DatabaseError { kind, ..fault }));
        }
        match self.run("COMMIT").await {
            Err(fault) if fault.kind == DatabaseErrorKind::Lost => was_committed(&mut second, kept, fault).await,
            other => other.map_err(SwapError::Fault),
        }
    }
}

impl ScratchDatabase {
    /// Checks, in the transaction of the renames, which databases have the two names now.
    ///
    /// # Errors
    /// Fails when one of them is neither the database whose lock we held nor the one that was restored and compared.
    async fn confirm(&mut self, kept: &str) -> Result<(), DatabaseError> {
        let (model, expected) = (self.model.clone(), (Some(self.oid), Some(self.model_oid)));
        match (self.oid_of(&model).await?, self.oid_of(kept).await?) {
            found if found == expected => Ok(()),
            (filled, _) if filled != expected.0 => {
                let message = format!(
                    "the database {} is not the one that was restored and compared: somebody has put another in its place",
                    self.name
                );
                Err(DatabaseError::new(DatabaseErrorKind::Lost, message))
            }
            _ => {
                let message = format!("another database has got the name {model} since our lock was taken");
                Err(DatabaseError::new(DatabaseErrorKind::Lost, message))
            }
        }
    }

    /// Checks that no prepared transaction is open in the old database: one would keep the database from being renamed,
    /// and each attempt would block all logins for seconds.
    ///
    /// # Errors
    /// Fails when there are prepared transactions, which the error lists with the commands that end them, or when the
    /// session is lost.
    pub(crate) async fn refuse_prepared(&mut self) -> Result<(), DatabaseError> {
        const NAMED: usize = 5;
        let sql = format!(
            "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = {} ORDER BY prepared",
            literal(&self.model)
        );
        let rows = self.rows(&sql).await?;
        let names = rows.iter().map(|row| column(row, 0));
        let names: Vec<String> = names.collect::<Result<_, DatabaseError>>()?;
        let Some(first) = names.first() else {
            return Ok(());
        };
        let named: Vec<String> = names.iter().take(NAMED).map(|name| literal(name)).collect();
        let more = match names.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (named, first) = (named.join(", "), literal(first));
        let message = format!("prepared transactions are open in {}: {named}{more}", self.model);
        let hint = format!("in {}: COMMIT PREPARED {first}, or ROLLBACK PREPARED {first}", identifier(&self.model));
        Err(DatabaseError::new(DatabaseErrorKind::Busy, message).with_hint(hint))
    }
}

/// Waits for the renames, and for the clearing of sessions on which they depend. If the clearing fails, its error is
/// returned: our own session still exists then, and the renames are cancelled, because they would block all logins
/// until their timeout. If the renames succeed without the clearing, our session was lost meanwhile, which the clearing
/// reports.
async fn rename_and_clear(
    renaming: impl Future<Output = Result<(), DatabaseError>>,
    second: &mut Maintenance,
    old: &mut Option<Postgres>,
    model: &str,
    renamer: i32,
) -> Result<(), DatabaseError> {
    let mut renaming = std::pin::pin!(renaming);
    let cleared = {
        let mut clearing = std::pin::pin!(clear(second, old, model, renamer));
        tokio::select! {
            biased;
            renamed = &mut renaming => return match renamed {
                Ok(()) => clearing.await,
                failed => failed,
            },
            cleared = &mut clearing => cleared,
        }
    };
    if cleared.is_err() {
        // An error is ignored: if the server cannot be asked, the renames have ended, too.
        let _ = rows(second, &format!("SELECT pg_catalog.pg_cancel_backend({renamer})")).await;
    }
    let renamed = renaming.await;
    cleared.and(renamed)
}

/// Determines whether the renames were committed before the connection was lost.
async fn was_committed(second: &mut Maintenance, kept: &str, lost: DatabaseError) -> Result<(), SwapError> {
    let sql = format!("SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}", literal(kept));
    match second.rows(&sql).await {
        Ok(rows) if rows.is_empty() => Err(SwapError::Fault(lost)),
        Ok(_) => Ok(()),
        Err(_) => Err(SwapError::Unknown(lost)),
    }
}

/// Ends all sessions of the database as soon as no other can begin; ours is the last.
async fn clear(
    second: &mut Maintenance,
    old: &mut Option<Postgres>,
    model: &str,
    renamer: i32,
) -> Result<(), DatabaseError> {
    let closed = format!(
        "SELECT 1 FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.objid \
         WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND l.granted \
         AND l.mode = 'AccessExclusiveLock' AND l.pid = {renamer} AND d.datname = {}",
        literal(model)
    );
    while rows(second, &closed).await? == 0 {
        tokio::time::sleep(LOOK).await;
    }
    let session = old.as_mut().expect("it is given up here only");
    let ours = session.facts.pid;
    // This fails when the lock is not ours any more.
    let held = session.assert_lock_held();
    session.rows(held).await.map_err(|fault| match error::is_division_by_zero(&fault) {
        true => DatabaseError::new(DatabaseErrorKind::Lost, "our lock was lost before the databases changed places"),
        false => fault,
    })?;
    let role = identifier(session.user());
    end_others(second, model, ours, &role).await?;
    // Not by an ordinary close: a pooler would hand the server's session to the next client that waits.
    let end = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid =";
    rows(second, &format!("{end} {ours}")).await?;
    *old = None;
    Ok(())
}

/// Ends all sessions but `ours`, and waits until they have ended.
async fn end_others(second: &mut Maintenance, model: &str, ours: i32, role: &str) -> Result<(), DatabaseError> {
    let prepared = format!("SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE database = {}", literal(model));
    if rows(second, &prepared).await? > 0 {
        let message = "prepared transactions of this database are open: commit them or roll them back";
        return Err(DatabaseError::new(DatabaseErrorKind::Busy, message));
    }
    let others = format!(
        "FROM pg_catalog.pg_stat_activity WHERE datname = {} AND pid <> {ours} AND usesysid IS NOT NULL",
        literal(model)
    );
    let end = format!("SELECT pg_catalog.pg_terminate_backend(pid) {others}");
    let ended = rows(second, &end).await.map_err(|fault| match fault.kind {
        DatabaseErrorKind::NoPrivilege => {
            fault.with_hint(format!("end the application's sessions, or GRANT pg_signal_backend TO {role}"))
        }
        _ => fault,
    })?;
    if ended > 0 {
        tracing::info!("sessions of the application that were ended: {ended}");
    }
    let left = format!("SELECT 1 {others}");
    let began = Instant::now();
    while rows(second, &left).await? > 0 {
        if began.elapsed() > Duration::from_secs(4) {
            return Err(DatabaseError::new(DatabaseErrorKind::Busy, "sessions of the application do not end"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn rows(session: &mut Maintenance, sql: &str) -> Result<usize, DatabaseError> {
    session.rows(sql).await.map(|rows| rows.len())
}
