//! Identification of the database: a database in another network may have the same name on a server of the same name.

use super::{Postgres, column};
use crate::database::DatabaseError;
use crate::sql::{identifier, literal};

/// The text before the id in the comment of the database, which no dump of the content copies.
const COMMENT: &str = "Lockkeeper's id of this database: ";

impl Postgres {
    /// Returns the system identifier that the server got when it was initialized, the OID of the database, and the id
    /// that an earlier backup has given to it, separated by colons. Returns `None` when the administrator does not let
    /// ordinary roles read the first.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn id(&mut self) -> Result<Option<String>, DatabaseError> {
        // The privilege is checked first: a refusal would abort the transaction in which the session may be.
        let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
        let row = self.row(may.into()).await?;
        if !column::<bool>(&row, 0)? {
            return Ok(None);
        }
        let sql = format!(
            "SELECT pg_catalog.concat_ws(':', c.system_identifier, d.oid, {}) FROM pg_catalog.pg_control_system() c, \
             pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            given_id()
        );
        let row = self.row(sql).await?;
        column(&row, 0).map(Some)
    }

    /// Gives the database an id of its own in its comment, if the comment is empty: servers that were copied file by
    /// file have the other parts in common. Only the owner of the database can do that. Returns the result of
    /// [`Postgres::id`].
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn give_id(&mut self) -> Result<Option<String>, DatabaseError> {
        let sql = format!(
            "SELECT {COMMENT_OF_DATABASE} IS NULL AND pg_catalog.pg_has_role(d.datdba, 'USAGE') FROM pg_catalog.pg_database d \
             WHERE d.datname = pg_catalog.current_database()"
        );
        let row = self.row(sql).await?;
        if column::<bool>(&row, 0)? {
            let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
            let database = identifier(&self.facts.database);
            let comment = literal(&format!("{COMMENT}{id}"));
            self.rows(format!("COMMENT ON DATABASE {database} IS {comment}")).await?;
        }
        self.id().await
    }
}

const COMMENT_OF_DATABASE: &str = "pg_catalog.shobj_description(d.oid, 'pg_database')";

/// Returns the SQL expression for the id in the comment of the database `d`; it gives NULL where there is none.
fn given_id() -> String {
    let (prefix, from) = (literal(COMMENT), COMMENT.len() + 1);
    format!(
        "CASE WHEN pg_catalog.starts_with({COMMENT_OF_DATABASE}, {prefix}) THEN pg_catalog.substr({COMMENT_OF_DATABASE}, {from}) END"
    )
}
