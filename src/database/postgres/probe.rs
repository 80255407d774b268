//! Detection of a lost session while its answer is awaited.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::Postgres;
use super::connect::poll_login_eagerly;
use super::stall::StallDetector;
use crate::database::{DatabaseError, DatabaseErrorKind};

/// The longest time that an answer of a session beside the working one may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The number of login timeouts (together a minute, by default) without any answer after which the server counts as
/// unreachable. The server gives the client up after the same time (`tcp_keepalives_*`), while a client without this
/// limit would wait for the answer to a statement for ever.
pub(super) const SILENT_LOGINS: u32 = 12;

/// A probe that logs in from time to time: while the working session is idle and the monitor session counts rows,
/// nothing else would notice that the network is gone.
pub(crate) struct LoginProbe {
    options: PgConnectOptions,
    response_timeout: Duration,
    stall: StallDetector,
    /// The session that has found the working session to be lost.
    session: Option<PgConnection>,
}

impl Postgres {
    /// Returns a probe that notices by logins of its own that the server is unreachable.
    pub(crate) fn probe(&self) -> LoginProbe {
        LoginProbe::new(self.options.clone(), self.stall_detector(), self.response_timeout())
    }
}

impl LoginProbe {
    pub(super) fn new(options: PgConnectOptions, stall: StallDetector, response_timeout: Duration) -> LoginProbe {
        LoginProbe { options, response_timeout, stall, session: None }
    }

    /// Awaits the work of a session, without a limit on its duration.
    ///
    /// # Errors
    /// Fails as the work does, or when the session is found to be lost; the session is then terminated on the server,
    /// too.
    pub(super) async fn watch<T>(
        mut self,
        work: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        tokio::select! {
            ended = work => ended,
            fault = self.silence() => {
                self.terminate().await;
                Err(fault)
            }
        }
    }

    /// Returns when no login was answered, not even by a refusal, for as long as a server may be silent, or when
    /// another session finds that the working session waits for an answer that will not come.
    pub(crate) async fn silence(&mut self) -> DatabaseError {
        const LOGINS: u32 = 4;
        let mut silent: Option<Instant> = None;
        loop {
            tokio::time::sleep(self.response_timeout / LOGINS).await;
            let asked = Instant::now();
            let login = poll_login_eagerly(self.options.connect());
            match tokio::time::timeout(self.response_timeout / SILENT_LOGINS, login).await {
                Ok(answer) => {
                    silent = None;
                    if let Ok(session) = answer
                        && let Some(fault) = self.look_from(session).await
                    {
                        return fault;
                    }
                }
                Err(_) => {
                    let silence = silent.get_or_insert(asked).elapsed();
                    if silence >= self.response_timeout {
                        let message = format!("the connection was lost: no answer for {} s", silence.as_secs());
                        return DatabaseError::new(DatabaseErrorKind::Lost, message);
                    }
                }
            }
        }
    }

    /// Checks the working session from another one, which is closed afterwards unless [`LoginProbe::terminate`] needs
    /// it.
    async fn look_from(&mut self, mut session: PgConnection) -> Option<DatabaseError> {
        let looking = async {
            let (wait, sql) = self.stall.question()?;
            let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut session).await.ok()?;
            self.stall.judge(wait, &rows).fault()
        };
        let lost = tokio::time::timeout(PATIENCE, looking).await.ok().flatten();
        match lost.is_some() {
            true => self.session = Some(session),
            false => drop(tokio::time::timeout(PATIENCE, session.close()).await),
        }
        lost
    }

    /// Logs in and terminates the working session, whose last message got no answer in time: it may have taken the lock.
    pub(crate) async fn log_in_and_terminate(&mut self) {
        let login = poll_login_eagerly(self.options.connect());
        // Best effort: without it, the server ends the session when its keepalives are not answered.
        if let Ok(Ok(session)) = tokio::time::timeout(PATIENCE, login).await {
            self.session = Some(session);
            self.terminate().await;
        }
    }

    /// Terminates a working session that was found to be lost, so that no delayed message of ours can reach it and its
    /// lock is free.
    pub(crate) async fn terminate(&mut self) {
        if let Some(mut session) = self.session.take() {
            let sql = AssertSqlSafe(self.stall.backend.terminate());
            // Best effort: without it, the server ends the session when its keepalives are not answered.
            let _ = tokio::time::timeout(PATIENCE, sqlx::raw_sql(sql).execute(&mut session)).await;
        }
    }
}
