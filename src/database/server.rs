//! What a database is, and what serves it.

use crate::revision::{Backslash, Dialect};

/// A database's identity in backups: `postgresql` or `sqlite`, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseIdentity {
    pub dialect: Dialect,
    pub name: String,
}

/// What a database is served by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Of PostgreSQL's server (`15.18`), of SQLite's library.
    pub version: String,
    /// Host and port, or the file's absolute path: tells apart two databases of one name.
    pub place: String,
    /// How string literals are read in a new session.
    pub backslash: Backslash,
}
