//! A session in another database of the same server, which creates, renames and drops databases: no session can rename
//! or drop its own database.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::connect::poll_login_eagerly;
use super::probe::LoginProbe;
use super::stall::{BackendId, ReplyTracker, StallDetector};
use super::{Postgres, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::{OWN_PATH_SETTING, SettingScope, set, synchronous_commit};

/// The databases that every server has, in the order in which they are tried.
const DATABASES: [&str; 2] = ["postgres", "template1"];

/// A session in one of the maintenance databases. CREATE, RENAME and DROP DATABASE may take any time; a session that is
/// lost meanwhile, without a message to this process, is noticed by the logins of a [`LoginProbe`].
pub(super) struct Maintenance {
    /// The open session and its backend; `None` after a session was lost: the next query opens another one.
    open: Option<(PgConnection, BackendId)>,
    options: PgConnectOptions,
    /// The SET statements with which the session begins.
    settings: String,
    exchange: ReplyTracker,
    /// The longest time that opening the session may take.
    attempt: Duration,
    /// The longest time that either side may wait for the other.
    response_timeout: Duration,
}

impl Postgres {
    /// Opens a session in a database other than the current one.
    ///
    /// # Errors
    /// Fails when none of these databases accepts the login.
    pub(super) async fn maintenance(&self) -> Result<Maintenance, DatabaseError> {
        let mut refused = None;
        for database in DATABASES.into_iter().filter(|name| *name != self.facts.database) {
            let mut session = self.maintenance_in(database);
            match session.open().await {
                Ok(open) => {
                    session.open = Some(open);
                    return Ok(session);
                }
                Err(fault) => {
                    let message = format!("the database {database}: {}", fault.message);
                    refused.get_or_insert(DatabaseError { message, kind: DatabaseErrorKind::NoPrivilege, ..fault });
                }
            }
        }
        Err(refused.expect("one of two names is another one"))
    }

    fn maintenance_in(&self, database: &str) -> Maintenance {
        let own = [("statement_timeout", "0"), ("lock_timeout", "0"), OWN_PATH_SETTING];
        let own = own.map(|(name, value)| (name, value.to_owned())).to_vec();
        Maintenance {
            open: None,
            options: self.options.clone().database(database).application_name("lockkeeper restore"),
            settings: set(&[self.keepalive_settings(), own].concat()) + &synchronous_commit(SettingScope::Session),
            exchange: ReplyTracker::default(),
            attempt: self.attempt,
            response_timeout: self.response_timeout(),
        }
    }
}

impl Maintenance {
    async fn open(&self) -> Result<(PgConnection, BackendId), DatabaseError> {
        let opening = async {
            let mut connection = poll_login_eagerly(self.options.connect()).await.map_err(error::connecting)?;
            let settings = AssertSqlSafe(&*self.settings);
            sqlx::raw_sql(settings).execute(&mut connection).await.map_err(error::working)?;
            let backend = BackendId::from_session(&mut connection).await?;
            Ok((connection, backend))
        };
        let silent =
            |_| DatabaseError::new(DatabaseErrorKind::Unreachable, format!("no answer within {:?}", self.attempt));
        tokio::time::timeout(self.attempt, opening).await.map_err(silent)?
    }

    /// Runs statements, without a limit on their duration.
    ///
    /// # Errors
    /// Fails when the server refuses a statement, or when the session is lost, whose transaction is then rolled back.
    /// The next call opens another session.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<PgRow>, DatabaseError> {
        let (mut connection, backend) = match self.open.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let stall = StallDetector::new(backend.clone(), self.exchange.clone(), self.response_timeout);
        let probe = LoginProbe::new(self.options.clone(), stall, self.response_timeout);
        let waiting = self.exchange.begin();
        let asking = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection);
        let rows = probe.watch(async { asking.await.map_err(error::working) }).await;
        drop(waiting);
        if !matches!(&rows, Err(fault) if fault.kind == DatabaseErrorKind::Lost) {
            self.open = Some((connection, backend));
        }
        rows
    }
}
