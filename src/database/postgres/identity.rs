//! Which database it is: others may have its name on servers that have the same name in other networks.

use super::{Postgres, column};
use crate::database::DatabaseError;
use crate::revision::render::{identifier, literal};

/// What the id follows in the comment of the database, which no dump of the content copies.
const COMMENT: &str = "Lockkeeper's id of this database: ";

impl Postgres {
    /// Returns the identifier that the server got when it was initialized, the OID of the database, and the id that an
    /// earlier backup has given to it. `None`: the administrator lets ordinary roles not ask for the first.
    ///
    /// # Errors
    /// A lost session.
    pub async fn id(&mut self) -> Result<Option<String>, DatabaseError> {
        // Asked for first: a refusal would end the transaction that the session may be in.
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

    /// Gives the database an id of its own, if it has neither one nor another comment: servers that were copied file by file
    /// have the rest in common. Only the owner of the database can do that. Returns what [`Postgres::id`] does.
    ///
    /// # Errors
    /// A lost session.
    pub async fn give_id(&mut self) -> Result<Option<String>, DatabaseError> {
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

/// The id in the comment of the database `d`, or NULL.
fn given_id() -> String {
    let (prefix, from) = (literal(COMMENT), COMMENT.len() + 1);
    format!(
        "CASE WHEN pg_catalog.starts_with({COMMENT_OF_DATABASE}, {prefix}) THEN pg_catalog.substr({COMMENT_OF_DATABASE}, {from}) END"
    )
}
