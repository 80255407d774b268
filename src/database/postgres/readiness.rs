//! Checks of a server that has accepted the login: its version, write access, and whether its start is the final one.

use crate::database::{DatabaseError, DatabaseErrorKind};

/// The oldest major version that is accepted; its catalogs have all the columns that our queries use.
const OLDEST: i32 = 12;

/// The properties that decide whether a server is usable.
pub(crate) struct ServerReadiness {
    pub(crate) version: i32,
    pub(crate) recovering: bool,
    pub(crate) read_only: bool,
    pub(crate) first_boot: bool,
}

impl ServerReadiness {
    /// Checks that the server is usable.
    ///
    /// # Errors
    /// Fails with the first reason why the server is not usable.
    pub(crate) fn refuse(&self) -> Result<(), DatabaseError> {
        let major = self.version / 10_000;
        if major < OLDEST {
            let message = format!("the server is PostgreSQL {major}; {OLDEST} is the oldest that is supported");
            return Err(DatabaseError::new(DatabaseErrorKind::Unsupported, message));
        }
        if self.recovering {
            return Err(DatabaseError::new(DatabaseErrorKind::ReadOnly, "the server is a standby (in recovery)"));
        }
        if self.read_only {
            let message = "the session is read-only (transaction_read_only is on)";
            let hint = "look for default_transaction_read_only on the role, the database or the server";
            return Err(DatabaseError {
                hint: Some(hint.into()),
                ..DatabaseError::new(DatabaseErrorKind::ReadOnly, message)
            });
        }
        if self.first_boot {
            // The official image initialises with a server that listens only on its socket and is stopped again.
            let message = "the server has just started and listens on its socket alone";
            return Err(DatabaseError::new(DatabaseErrorKind::Starting, message));
        }
        Ok(())
    }
}
