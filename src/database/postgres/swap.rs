//! Two databases change places.
//!
//! The advisory lock lives in the old database, and nobody can rename a database that a session is in, so our own session
//! has to go first. What keeps a second writer out then is the server's own lock on the database: RENAME takes it before
//! it looks for sessions, waits five seconds for these to end, and every login needs it. So:
//!
//! 1. A maintenance session renames both in one transaction: the first RENAME waits.
//! 2. As soon as it has that lock nobody can log in any more, a run that waits for ours least of all.
//! 3. A second maintenance session makes sure that our advisory lock is still ours, and ends everybody else's session.
//! 4. Only then our own session ends. There is nobody left who could take its lock, the renames go through, and COMMIT
//!    lets everybody in again.
//!
//! Whatever is killed at whatever moment, the transaction is committed or it is not.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{Beside, Postgres, column, fault};
use crate::database::{Fault, Kind};
use crate::revision::render::{identifier, literal};

/// Between two looks at what the server does.
const LOOK: Duration = Duration::from_millis(20);

/// Why two databases have not changed places.
pub enum Unswapped {
    /// They are as they were.
    Fault(Fault),
    /// The connection was lost, and nobody can be asked.
    Unknown(Fault),
}

impl Beside {
    /// Puts this database in the place of `old`, which stays under the name `kept`. After an error with `old` still there
    /// its lock is still held.
    ///
    /// # Errors
    /// Sessions that cannot be ended; a missing privilege; a lost connection.
    pub async fn take_over(&mut self, old: &mut Option<Postgres>, kept: &str) -> Result<(), Unswapped> {
        let Some(session) = old.as_ref() else {
            let lost = Fault::new(Kind::Lost, "the session that held the lock is gone");
            return Err(Unswapped::Fault(lost));
        };
        let mut second = session.maintenance().await.map_err(Unswapped::Fault)?;
        let pid: i32 = match self.rows("SELECT pg_catalog.pg_backend_pid()").await {
            Ok(rows) => rows.first().map_or(Ok(0), |row| column(row, 0)).map_err(Unswapped::Fault)?,
            Err(fault) => return Err(Unswapped::Fault(fault)),
        };
        self.end_sessions().await.map_err(Unswapped::Fault)?;
        let (model, name) = (identifier(&self.model), identifier(&self.name));
        let sql = format!(
            "BEGIN; ALTER DATABASE {model} RENAME TO {}; ALTER DATABASE {name} RENAME TO {model}",
            identifier(kept)
        );
        let model = self.model.clone();
        if let Err(fault) = both(self.run(&sql), clear(&mut second, old, &model, pid)).await {
            // A session that is lost has rolled back as well.
            let _ = self.run("ROLLBACK").await;
            let kind = if fault::is_in_use(&fault) { Kind::Busy } else { fault.kind };
            return Err(Unswapped::Fault(Fault { kind, ..fault }));
        }
        match self.run("COMMIT").await {
            Err(fault) if fault.kind == Kind::Lost => ask(&mut second, kept, fault).await,
            other => other.map_err(Unswapped::Fault),
        }
    }
}

/// Waits for the renames, and for the clearing that they wait for. Clearing that fails is what went wrong: our own session
/// is still there then, and the server gives the renames up by itself. Renames that go through without it mean that our
/// session was lost on the way, which the clearing tells.
async fn both(
    renaming: impl Future<Output = Result<(), Fault>>,
    clearing: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    let (mut renaming, mut clearing) = (std::pin::pin!(renaming), std::pin::pin!(clearing));
    tokio::select! {
        biased;
        renamed = &mut renaming => match renamed {
            Ok(()) => clearing.await,
            failed => failed,
        },
        cleared = &mut clearing => {
            let renamed = renaming.await;
            cleared.and(renamed)
        }
    }
}

/// Whether the renames were committed before the connection was lost.
async fn ask(second: &mut PgConnection, kept: &str, lost: Fault) -> Result<(), Unswapped> {
    let sql = format!("SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}", literal(kept));
    match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(second).await {
        Ok(rows) if rows.is_empty() => Err(Unswapped::Fault(lost)),
        Ok(_) => Ok(()),
        Err(_) => Err(Unswapped::Unknown(lost)),
    }
}

/// Ends every session of the database as soon as no other can begin, ours last.
async fn clear(
    second: &mut PgConnection,
    old: &mut Option<Postgres>,
    model: &str,
    renamer: i32,
) -> Result<(), Fault> {
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
    // Fails when the lock is not ours any more.
    let held = session.held();
    session.rows(held).await.map_err(|fault| match fault::is_division_by_zero(&fault) {
        true => Fault::new(Kind::Lost, "our lock was lost before the databases changed places"),
        false => fault,
    })?;
    let role = identifier(session.user());
    end_others(second, model, ours, &role).await?;
    // Not by a goodbye: a pooler would hand the server's side of it to the next one who waits.
    let end = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid =";
    rows(second, &format!("{end} {ours}")).await?;
    *old = None;
    Ok(())
}

/// Ends the sessions of everybody but `ours`, and sees them end.
async fn end_others(second: &mut PgConnection, model: &str, ours: i32, role: &str) -> Result<(), Fault> {
    let prepared = format!("SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE database = {}", literal(model));
    if rows(second, &prepared).await? > 0 {
        let message = "prepared transactions of this database are open: commit them or roll them back";
        return Err(Fault::new(Kind::Busy, message));
    }
    let others = format!(
        "FROM pg_catalog.pg_stat_activity WHERE datname = {} AND pid <> {ours} AND usesysid IS NOT NULL",
        literal(model)
    );
    let end = format!("SELECT pg_catalog.pg_terminate_backend(pid) {others}");
    let ended = rows(second, &end).await.map_err(|fault| match fault.kind {
        Kind::NoPrivilege => {
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
            return Err(Fault::new(Kind::Busy, "sessions of the application do not end"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn rows(connection: &mut PgConnection, sql: &str) -> Result<usize, Fault> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    rows.map(|rows| rows.len()).map_err(fault::working)
}
