//! An id that distinguishes a database from others of its name, for as long as the database exists.

use super::{Database, DatabaseError, sqlite};

impl Database {
    /// Returns an id that distinguishes the database from others of the same name on servers or at paths of the same
    /// name, until the database is dropped: two containers may see two databases at one place. `None` if the server or
    /// the file system provides no such id.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn id(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.id().await,
            Database::Sqlite(database) => Ok(sqlite::file_id::read(database.path())),
        }
    }

    /// Gives the database an id, if it has none and can have one, and returns it as [`Database::id`] does. Call it
    /// under the lock.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn give_id(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.give_id().await,
            Database::Sqlite(_) => self.id().await,
        }
    }
}
