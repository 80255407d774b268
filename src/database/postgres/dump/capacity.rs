//! The room that a server has for the sessions of a parallel dump or restore.

use std::num::NonZero;

use crate::database::DatabaseError;
use crate::database::postgres::{Postgres, column};

/// The query for the number of free connections of this role to this database. A role that may use reserved connections
/// is not counted on to do so, unless it is a superuser, whom no limit binds but the server's.
const CONNECTIONS: &str = "SELECT least( \
     pg_catalog.current_setting('max_connections')::bigint - CASE WHEN r.rolsuper THEN 0 ELSE \
     pg_catalog.current_setting('superuser_reserved_connections')::bigint \
     + coalesce(pg_catalog.current_setting('reserved_connections', true)::bigint, 0) END - s.of_server, \
     CASE WHEN NOT r.rolsuper AND r.rolconnlimit >= 0 THEN r.rolconnlimit - s.of_role END, \
     CASE WHEN NOT r.rolsuper AND d.datconnlimit >= 0 THEN d.datconnlimit - s.of_database END)::bigint \
     FROM pg_catalog.pg_roles r, pg_catalog.pg_database d, LATERAL (SELECT count(*) AS of_server, \
     count(*) FILTER (WHERE usesysid = r.oid) AS of_role, count(*) FILTER (WHERE datid = d.oid) AS of_database \
     FROM pg_catalog.pg_stat_activity WHERE usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend') s \
     WHERE r.rolname = session_user AND d.datname = pg_catalog.current_database()";

/// The query for the locks that a parallel dump takes at most, for the free entries of the lock table, for the number of
/// large objects, and for that of tables. The session that leads the dump locks every table and sequence, and each
/// further session those that it dumps, with what holds their large values. The session that counts the rows gives its
/// locks back after each table.
const LOCKS: &str = "SELECT 2 * c.tables + c.sequences + 2 * c.with_large_values, \
     pg_catalog.current_setting('max_locks_per_transaction')::bigint * (pg_catalog.current_setting('max_connections')::bigint \
     + pg_catalog.current_setting('max_prepared_transactions')::bigint) - (SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT fastpath), \
     (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), c.tables FROM (SELECT \
     count(*) FILTER (WHERE relkind IN ('r', 'p')) AS tables, count(*) FILTER (WHERE relkind = 'S') AS sequences, \
     count(*) FILTER (WHERE reltoastrelid <> 0) AS with_large_values FROM pg_catalog.pg_class WHERE relnamespace NOT IN \
     (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'information_schema' OR nspname ~ '^pg_')) c";

/// The room of the server of a session.
pub(crate) struct Capacity<'a> {
    session: &'a mut Postgres,
}

/// The locks of a parallel dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DumpFacts {
    /// The number of locks that it takes at most.
    needed_locks: i64,
    /// The number of locks for which the server has room.
    free_locks: i64,
    /// The number of large objects. Each of them is a file of its own in a directory.
    pub(crate) large_objects: i64,
    /// The number of tables, each of which a dump locks in any case.
    tables: i64,
}

impl<'a> Capacity<'a> {
    /// Returns the room of the session's server.
    pub(crate) fn new(session: &'a mut Postgres) -> Capacity<'a> {
        Capacity { session }
    }

    /// Reads what a dump of the database takes.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn dump_facts(&mut self) -> Result<DumpFacts, DatabaseError> {
        let row = self.session.row(LOCKS.into()).await?;
        Ok(DumpFacts {
            needed_locks: column(&row, 0)?,
            free_locks: column(&row, 1)?,
            large_objects: column(&row, 2)?,
            tables: column(&row, 3)?,
        })
    }

    /// Returns the reason why the server has no room for any dump; `None` if it has.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn obstacle(&mut self) -> Result<Option<String>, DatabaseError> {
        let DumpFacts { free_locks, tables, .. } = self.dump_facts().await?;
        if tables > free_locks {
            return Ok(Some(format!(
                "pg_dump locks {tables} tables, and the server has room for {free_locks} locks (max_locks_per_transaction)"
            )));
        }
        let free = self.free_connections().await?;
        Ok((free < 1).then(|| "the server has no free connection for pg_dump".into()))
    }

    /// Returns the number of connections that this role can still open.
    async fn free_connections(&mut self) -> Result<i64, DatabaseError> {
        let row = self.session.row(CONNECTIONS.into()).await?;
        column(&row, 0)
    }

    /// Returns the number of jobs, at most `wanted`, for whose sessions and for the one that leads them the server has
    /// connections. With one job there is no further session. Logs why there are fewer than wanted.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn jobs(&mut self, wanted: NonZero<usize>, work: &str) -> Result<NonZero<usize>, DatabaseError> {
        if wanted == NonZero::<usize>::MIN {
            return Ok(wanted);
        }
        let free = self.free_connections().await?.max(0);
        let possible = usize::try_from(free - 1).ok().and_then(NonZero::new).unwrap_or(NonZero::<usize>::MIN);
        if possible < wanted {
            tracing::info!("{work} uses {possible} of {wanted} jobs: the server has {free} free connections for us");
        }
        Ok(possible.min(wanted))
    }

    /// Returns the number of jobs for a dump, as [`Capacity::jobs`] does: one if the locks of further sessions find no
    /// room.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn dump_jobs(
        &mut self,
        wanted: NonZero<usize>,
        facts: DumpFacts,
    ) -> Result<NonZero<usize>, DatabaseError> {
        let DumpFacts { needed_locks, free_locks, .. } = facts;
        if wanted > NonZero::<usize>::MIN && needed_locks > free_locks {
            tracing::info!(
                "the backup uses 1 of {wanted} jobs: more could take {needed_locks} locks, the server has room for \
                 {free_locks} (max_locks_per_transaction)"
            );
            return Ok(NonZero::<usize>::MIN);
        }
        self.jobs(wanted, "the backup").await
    }
}
