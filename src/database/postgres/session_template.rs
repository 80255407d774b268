//! A template by which further sessions of the same login are opened, on other threads as well.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::connect::poll_login_eagerly;
use super::facts::SessionFacts;
use super::stall::{BackendId, ReplyTracker};
use super::{Postgres, error, url};
use crate::database::url::Host;
use crate::database::{DatabaseError, DatabaseErrorKind};

/// Everything that a session of the same login on the same host needs.
#[derive(Clone)]
pub(super) struct SessionTemplate {
    options: PgConnectOptions,
    host: Host,
    login: url::PostgresTarget,
    facts: SessionFacts,
    attempt: Duration,
}

impl SessionTemplate {
    /// Returns a template for sessions like this one, with an application name of their own.
    pub(super) fn from_session(session: &Postgres, application_name: &str) -> SessionTemplate {
        SessionTemplate {
            options: session.options.clone().application_name(application_name),
            host: session.host.clone(),
            login: session.login.clone(),
            facts: session.facts.clone(),
            attempt: session.attempt,
        }
    }

    /// Opens a session and runs the first statements in it, which begin a transaction. All of that may take as long as
    /// one login.
    ///
    /// # Errors
    /// Fails when the login fails, when the server refuses a statement, or when it does not answer.
    pub(super) async fn open(&self, statements: String) -> Result<Postgres, DatabaseError> {
        let opening = async {
            let connection = poll_login_eagerly(self.options.connect()).await.map_err(error::connecting)?;
            let mut session = Postgres {
                connection,
                options: self.options.clone(),
                host: self.host.clone(),
                login: self.login.clone(),
                facts: self.facts.clone(),
                exchange: ReplyTracker::default(),
                attempt: self.attempt,
                limits: None,
                is_rehearsal: false,
            };
            session.run(statements).await?;
            // Behind a pooler, only a transaction has a backend of its own.
            let BackendId { pid, started } = BackendId::from_session(&mut session.connection).await?;
            (session.facts.pid, session.facts.started) = (pid, started);
            Ok(session)
        };
        let silent = |_| {
            let message = format!("no answer to the login of a further session within {:?}", self.attempt);
            DatabaseError::new(DatabaseErrorKind::Unreachable, message)
        };
        tokio::time::timeout(self.attempt, opening).await.map_err(silent)?
    }
}
