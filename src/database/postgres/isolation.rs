//! Isolation of a rehearsal: the copy of the database is cut off from other servers, and restoring rows runs no code of
//! roles that are not trusted.

use super::column;
use super::content::DatabaseContent;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;

/// The query for the statements that cut a database off from other servers, in the order in which they run: they remove
/// the user mappings, the addresses of servers and, for a superuser, the handlers of foreign tables, and they rename
/// the functions of dblink. A member of an extension is changed like any other object.
const CUT_OFF: &str = "SELECT statement FROM ( \
     SELECT 1 AS step, format('DROP USER MAPPING FOR %s SERVER %I', CASE umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(usename) END, srvname) AS statement \
     FROM pg_user_mappings \
     UNION ALL SELECT 2, format('ALTER SERVER %I OPTIONS (%s)', srvname, string_agg(format('DROP %I', option_name), ', ')) \
     FROM pg_foreign_server, pg_options_to_table(srvoptions) GROUP BY srvname \
     UNION ALL SELECT 3, format('ALTER FOREIGN DATA WRAPPER %I NO HANDLER', fdwname) FROM pg_foreign_data_wrapper \
     WHERE fdwhandler <> 0 AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
     UNION ALL SELECT 4, format('ALTER FUNCTION %s RENAME TO %I', p.oid::regprocedure, left('not_in_a_rehearsal_' || p.proname, 63)) \
     FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' \
     JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid \
     WHERE e.extname = 'dblink' AND p.proname LIKE 'dblink%') s ORDER BY step, statement";

/// The query for the untrusted roles that own code which a restore runs: functions, and expressions that call functions
/// in constraints, indexes, generated columns and domains. The query returns no role when we are no superuser: an
/// ordinary role can restore only objects that belong to roles of which it is a member.
const OWNERS_OF_CODE: &str = "SELECT DISTINCT pg_get_userbyid(o.owner)::text FROM ( \
     SELECT p.proowner AS owner, p.pronamespace AS namespace, 'pg_proc'::regclass AS class, p.oid FROM pg_proc p \
     UNION ALL SELECT c.relowner, c.relnamespace, 'pg_class', c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p', 'm') AND ( \
      EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conbin::text LIKE '%FUNCEXPR%') \
      OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND concat(i.indexprs, i.indpred) LIKE '%FUNCEXPR%') \
      OR EXISTS (SELECT FROM pg_attribute a JOIN pg_attrdef v ON v.adrelid = a.attrelid AND v.adnum = a.attnum \
       WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND v.adbin::text LIKE '%FUNCEXPR%')) \
     UNION ALL SELECT t.typowner, t.typnamespace, 'pg_type', t.oid FROM pg_type t \
     WHERE EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid AND k.conbin::text LIKE '%FUNCEXPR%')) o \
     JOIN pg_namespace n ON n.oid = o.namespace \
     WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e') \
     AND NOT o.owner = ANY (";

impl DatabaseContent<'_> {
    /// Checks that restoring rows into this database does not run code of untrusted roles as a superuser: constraints
    /// and the like check every restored row. In production such code runs only when a row is written.
    ///
    /// # Errors
    /// Fails when there is such code, or when the session is lost.
    pub(crate) async fn refuse_untrusted_code(&mut self) -> Result<(), DatabaseError> {
        let sql = format!("{OWNERS_OF_CODE}{}) ORDER BY 1", self.session.facts.trusted_roles);
        let rows = self.session.rows(sql).await?;
        let owners: Vec<String> = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
        if owners.is_empty() {
            return Ok(());
        }
        let message = format!(
            "restoring the rows would run functions of {} with the rights of {}, who is a superuser",
            owners.join(", "),
            self.session.facts.role
        );
        let names: Vec<String> = owners.iter().map(|owner| identifier(owner)).collect();
        let hint = format!(
            "run it as the owner of the database, or without a rehearsal; or, if their code is harmless: GRANT {} TO {}",
            names.join(", "),
            identifier(&self.session.facts.role)
        );
        Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint))
    }

    /// Cuts this database, which is a copy, off from other servers.
    ///
    /// # Errors
    /// Fails when an object that leads to another server belongs to another role.
    pub(crate) async fn cut_off(&mut self) -> Result<(), DatabaseError> {
        let rows = self.session.rows(CUT_OFF.into()).await?;
        for row in &rows {
            let statement: String = column(row, 0)?;
            self.session.rows(statement.clone()).await.map_err(|fault| DatabaseError {
                message: format!("the copy cannot be cut off from other servers ({statement}): {}", fault.message),
                ..fault
            })?;
        }
        if !rows.is_empty() {
            let database = identifier(&self.session.facts.database);
            tracing::info!("the copy {database} was cut off from other servers: foreign tables and dblink fail there");
        }
        Ok(())
    }
}
