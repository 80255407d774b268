//! A scratch database beside another one of the same server, created with the same options and filled from an archive.

use std::num::NonZero;
use std::path::Path;

use sqlx::postgres::PgRow;

use super::create_options::{create_options, set_variable};
use super::dump::{DumpTools, Part, RestoreMode, ToolError};
use super::maintenance::Maintenance;
use super::scratch_names::{scratch_name, scratch_suffix};
use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind, HistoryName, url};
use crate::sql::{identifier, literal};

/// A database that was created beside the database of a session.
pub(crate) struct ScratchDatabase {
    /// The name of the database, unquoted.
    pub(crate) name: String,
    /// The OID of the database. Another run could give the same name to a database of its own.
    pub(super) oid: i64,
    /// The name of the database by whose options this one was created.
    pub(super) model: String,
    pub(super) model_oid: i64,
    pub(super) session: Maintenance,
}

impl ScratchDatabase {
    /// Creates an empty database with the owner, encoding, collation and tablespace of the session's database.
    /// Databases that a killed run under the same lock has left for the same purpose are dropped first, so the caller
    /// must hold the lock.
    ///
    /// # Errors
    /// Fails when no maintenance database accepts the login, or when the role lacks CREATEDB.
    pub(crate) async fn create(server: &mut Postgres, purpose: &str) -> Result<ScratchDatabase, DatabaseError> {
        ScratchDatabase::drop_leftovers(server, purpose).await?;
        let model = server.facts.database.clone();
        let name = scratch_name(&model, &scratch_suffix(server, purpose));
        let sql = "SELECT pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_encoding_to_char(d.encoding)::text, \
             d.datcollate::text, d.datctype::text, t.spcname::text, j ->> 'datlocprovider', \
             coalesce(j ->> 'datlocale', j ->> 'daticulocale'), j ->> 'daticurules', d.oid::bigint \
             FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace, LATERAL pg_catalog.to_jsonb(d) j \
             WHERE d.datname = pg_catalog.current_database()";
        let row = server.row(sql.into()).await?;
        // No connections before the new database has the privileges of the other one.
        let create = format!("CREATE DATABASE {} {} ALLOW_CONNECTIONS false", identifier(&name), create_options(&row)?);
        let session = server.maintenance().await?;
        let mut beside = ScratchDatabase { name, oid: 0, model, model_oid: column(&row, 8)?, session };
        beside.run(&create).await.map_err(|fault| match fault.kind {
            DatabaseErrorKind::NoPrivilege => {
                fault.with_hint(format!("ALTER ROLE {} CREATEDB", identifier(server.user())))
            }
            _ => fault,
        })?;
        let oid = beside.oid_of(&beside.name.clone()).await?;
        beside.oid =
            oid.ok_or_else(|| DatabaseError::new(DatabaseErrorKind::NoDatabase, "the new database is gone"))?;
        let (name, user) = (identifier(&beside.name), identifier(server.user()));
        for statement in [
            format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"),
            // A role that gets the owner's rights only by SET ROLE could not log in.
            format!("GRANT CONNECT ON DATABASE {name} TO {user}"),
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        ] {
            beside.run(&statement).await?;
        }
        Ok(beside)
    }

    /// Restores one part of an archive into this database, the content with this number of sessions.
    ///
    /// # Errors
    /// Fails when the tool is missing or ends with an error, which is returned.
    pub(crate) async fn restore(
        &self,
        server: &Postgres,
        what: (RestoreMode, Part),
        pg_dump: Option<&Path>,
        archive: (&Path, NonZero<usize>),
    ) -> Result<(), ToolError> {
        let tools = DumpTools::find(pg_dump, server.major()).await?;
        tools.restore(server, &self.name, what, archive).await
    }

    /// Opens a reading session in this database, on the host of the session that has created it.
    ///
    /// # Errors
    /// Fails as [`Postgres::connect`] does: the login is refused, or the server is not usable.
    pub(crate) async fn connect(&self, server: &Postgres, history: &HistoryName) -> Result<Postgres, DatabaseError> {
        let target = url::PostgresTarget {
            database: Some(self.name.clone()),
            hosts: vec![server.host.clone()],
            ..server.login.clone()
        };
        Postgres::connect(&target, history, server.attempt).await
    }

    /// Copies the properties of the model that are not part of its contents: settings, comment, grants, limits. Call it
    /// only when the contents are restored: a setting such as `default_transaction_read_only` would block the restore.
    ///
    /// # Errors
    /// Fails when a privilege is missing.
    pub(crate) async fn copy_settings_and_grants(&mut self) -> Result<(), DatabaseError> {
        let (name, model) = (identifier(&self.name), literal(&self.model));
        let mut statements = Vec::new();
        let settings = format!(
            "SELECT r.rolname::text, pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s \
             JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE d.datname = {model}"
        );
        for row in self.rows(&settings).await? {
            let whose = match column::<Option<String>>(&row, 0)? {
                Some(role) => format!("ALTER ROLE {} IN DATABASE {name}", identifier(&role)),
                None => format!("ALTER DATABASE {name}"),
            };
            let setting: String = column(&row, 1)?;
            let (variable, value) = setting.split_once('=').unwrap_or((&setting, ""));
            statements.push(format!("{whose} SET {variable} TO {}", set_variable(variable, value)));
        }
        let facts = format!(
            "SELECT d.datconnlimit, d.datistemplate, pg_catalog.shobj_description(d.oid, 'pg_database'), \
             pg_catalog.pg_get_userbyid(d.datdba)::text, session_user::text FROM pg_catalog.pg_database d WHERE d.datname = {model}"
        );
        let rows = self.rows(&facts).await?;
        let row =
            rows.first().ok_or_else(|| DatabaseError::new(DatabaseErrorKind::NoDatabase, "the database is gone"))?;
        let (limit, template): (i32, bool) = (column(row, 0)?, column(row, 1)?);
        if let Some(comment) = column::<Option<String>>(row, 2)? {
            statements.push(format!("COMMENT ON DATABASE {name} IS {}", literal(&comment)));
        }
        let [owner, user] = [column::<String>(row, 3)?, column(row, 4)?].map(|role| identifier(&role));
        statements.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC, {owner}, {user}"));
        statements.extend(self.grants().await?);
        if limit != -1 {
            statements.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"));
        }
        if template {
            statements.push(format!("ALTER DATABASE {name} IS_TEMPLATE true"));
        }
        for statement in statements {
            self.run(&statement).await?;
        }
        Ok(())
    }

    async fn grants(&mut self) -> Result<Vec<String>, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.format('GRANT %s ON DATABASE {} TO %s%s', a.privilege_type, \
             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, \
             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
             FROM pg_catalog.pg_database d, pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE d.datname = {}",
            identifier(&self.name).replace('%', "%%").replace('\'', "''"),
            literal(&self.model)
        );
        let rows = self.rows(&sql).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Returns a name for the old database that no other database has.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn name_for_the_old(&mut self, suffix: &str) -> Result<String, DatabaseError> {
        let mut name = scratch_name(&self.model, suffix);
        for number in 2.. {
            if self.oid_of(&name).await?.is_none() {
                break;
            }
            name = scratch_name(&self.model, &format!("{suffix}_{number}"));
        }
        Ok(name)
    }

    /// Drops the databases that killed runs under the same lock have left for a purpose; the caller must hold the lock.
    ///
    /// # Errors
    /// Fails when another session is connected to such a database, or another role owns it.
    pub(crate) async fn drop_leftovers(server: &mut Postgres, purpose: &str) -> Result<(), DatabaseError> {
        let suffix = scratch_suffix(server, purpose);
        let sql = format!(
            "SELECT datname::text, oid::bigint FROM pg_catalog.pg_database WHERE pg_catalog.right(datname::text, {}) = {}",
            suffix.len(),
            literal(&suffix)
        );
        for row in server.rows(sql).await? {
            let (name, oid) = (column(&row, 0)?, column(&row, 1)?);
            let (model, session) = (server.facts.database.clone(), server.maintenance().await?);
            ScratchDatabase { name, oid, model, model_oid: 0, session }.drop_database().await?;
        }
        Ok(())
    }

    /// Drops the database, and ends all sessions that a killed tool has left in it. Another database that has got the
    /// name meanwhile is kept.
    ///
    /// # Errors
    /// Fails when another session connects meanwhile, or another role owns the database.
    pub(crate) async fn drop_database(&mut self) -> Result<(), DatabaseError> {
        if self.oid_of(&self.name.clone()).await? != Some(self.oid) {
            return Ok(());
        }
        self.end_sessions().await?;
        self.run(&format!("DROP DATABASE {}", identifier(&self.name))).await
    }

    /// Ends all sessions in the database: those of tools, or those kept by a pooler.
    pub(super) async fn end_sessions(&mut self) -> Result<(), DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datid = {} AND usesysid IS NOT NULL",
            self.oid
        );
        self.rows(&sql).await.map(drop)
    }

    /// Returns the OID of the database of this name; `None` when there is none.
    pub(super) async fn oid_of(&mut self, name: &str) -> Result<Option<i64>, DatabaseError> {
        let sql = format!("SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = {}", literal(name));
        self.rows(&sql).await?.first().map(|row| column(row, 0)).transpose()
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.rows(sql).await.map(drop)
    }

    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<PgRow>, DatabaseError> {
        self.session.rows(sql).await
    }
}
