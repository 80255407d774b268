//! Which database it is, for as long as it is not dropped.

use super::{Database, DatabaseError, sqlite};

impl Database {
    /// Tells the database from others of its name on servers or at paths of the same name, for as long as it is not
    /// dropped: two containers may see two databases at one place. `None` when the server or the file system does not tell.
    ///
    /// # Errors
    /// A lost session.
    pub async fn id(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.id().await,
            Database::Sqlite(database) => Ok(sqlite::file_id::read(database.path())),
        }
    }

    /// Gives the database an id, if it has none and can have one, and returns what [`Database::id`] does: call it under the
    /// lock.
    ///
    /// # Errors
    /// A lost session.
    pub async fn give_id(&mut self) -> Result<Option<String>, DatabaseError> {
        match self {
            Database::Postgres(database) => database.give_id().await,
            Database::Sqlite(_) => self.id().await,
        }
    }
}
