//! The identity of a database, and the server or library that serves it.

use crate::dialect::Dialect;
use crate::revision::Backslash;

/// The identity of a database in backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// Dialect, which backups write as `postgresql` or `sqlite`.
    pub(crate) dialect: Dialect,
    /// Database name, or the file's name without its directory.
    pub name: String,
}

/// The server or library that serves a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// Version of the PostgreSQL server (`15.18`), or of the SQLite library.
    pub(crate) version: String,
    /// Host and port, or the file's absolute path: distinguishes two databases of one name.
    pub(crate) address: String,
    /// Reading of backslashes in string literals in a new session.
    pub(crate) backslash: Backslash,
}
