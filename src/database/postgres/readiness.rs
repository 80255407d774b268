//! What a server that lets us in may still lack: a version, the right to write, its final start.

use crate::database::{DatabaseError, DatabaseErrorKind};

/// Oldest major version that is accepted; its catalogs have all that we ask for.
const OLDEST: i32 = 12;

/// What may keep us from working with a server that has let us in.
pub struct ServerReadiness {
    pub version: i32,
    pub recovering: bool,
    pub read_only: bool,
    pub first_boot: bool,
}

impl ServerReadiness {
    /// Whether the server can be worked with.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn refuse(&self) -> Result<(), DatabaseError> {
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
            // The official image initialises with a server that listens on its socket alone and is stopped again.
            let message = "the server has just started and listens on its socket alone";
            return Err(DatabaseError::new(DatabaseErrorKind::Starting, message));
        }
        Ok(())
    }
}
