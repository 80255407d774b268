//! Observations of a rehearsal: the tables that a step rewrites, and the locks that it holds when it ends.

use std::collections::BTreeMap;

use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::catalog_effect::CatalogEffect;
use crate::revision::outward::{alters_system, leads_out};
use crate::revision::render::OWN_PATH;
use crate::sql::{identifier, literal};

/// The lock modes from the weakest to the strongest (manual, 13.3.1). The first one blocks neither reads nor writes.
const MODES: [&str; 8] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
];

/// The beginning of the message for a statement that cannot be rehearsed.
const BEYOND: &str = "this cannot be rehearsed, run it without a rehearsal";

/// The tables of a database by their OID, each with its qualified, quoted name and its relfilenode.
pub(crate) type TableFiles = BTreeMap<i64, (String, i64)>;

/// The effect of a step on the tables that existed before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StepImpact {
    /// The tables whose contents were written to a new file.
    pub(crate) rewritten: Vec<String>,
    /// The tables with the strongest lock that the step held on them when it ended.
    pub(crate) locked: Vec<(String, &'static str)>,
}

impl Postgres {
    /// Refuses a statement in a rehearsal that has an effect outside of the copy, or whose effect a transaction cannot
    /// show.
    ///
    /// # Errors
    /// Fails with the reason why the statement cannot be rehearsed.
    pub(super) fn refuse_beyond_copy(&self, statement: &str, effect: &CatalogEffect) -> Result<(), DatabaseError> {
        if !self.is_rehearsal {
            return Ok(());
        }
        let is_beyond =
            matches!(effect, CatalogEffect::Object { .. }) || alters_system(statement) || leads_out(statement);
        match is_beyond {
            true => {
                let message = format!("{BEYOND}: what it makes, changes or drops is not of this database alone");
                Err(DatabaseError::new(DatabaseErrorKind::Statement, message))
            }
            false => Ok(()),
        }
    }
}

/// The log of the locks that the steps of a rehearsal hold, in the database that is a copy.
pub(crate) struct LockLog<'a> {
    session: &'a mut Postgres,
}

impl<'a> LockLog<'a> {
    /// Returns the log for a session in the copy.
    pub(crate) fn new(session: &'a mut Postgres) -> LockLog<'a> {
        LockLog { session }
    }

    fn table(&self) -> String {
        let schema = identifier(self.session.facts.schema.as_deref().unwrap_or_default());
        format!("{schema}.\"lockkeeper_rehearsal\"")
    }

    /// Installs a trigger on the history that logs the locks of the session whenever the history is written, which is
    /// the last action of a step before its transaction ends. The trigger stops a step that has changed objects that
    /// all databases of the server share, such as a role: once committed, the change would be in production, too.
    /// (`pg_shdepend` is exempt: it records dependencies of this database's objects as well.)
    ///
    /// # Errors
    /// Fails when a privilege or PL/pgSQL is missing.
    pub(crate) async fn install(&mut self) -> Result<(), DatabaseError> {
        let (witness, history) = (self.table(), self.session.table());
        let sql = format!(
            "{OWN_PATH}CREATE TABLE {witness} (relation oid, mode text);
             CREATE FUNCTION {witness}() RETURNS trigger LANGUAGE plpgsql SET search_path TO pg_catalog, pg_temp AS $$DECLARE
                 shared text := (SELECT pg_catalog.string_agg(l.relation::pg_catalog.regclass::text, ', ') FROM pg_catalog.pg_locks l
                 JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind = 'r' AND c.relname <> 'pg_shdepend'
                 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.database = 0 AND l.mode = 'RowExclusiveLock');
             BEGIN
                 IF shared IS NOT NULL THEN
                     RAISE EXCEPTION '{BEYOND}: it changes %, which all databases of the server share', shared;
                 END IF;
                 INSERT INTO {witness} SELECT l.relation, l.mode FROM pg_catalog.pg_locks l
                 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted;
                 RETURN NULL;
             END$$;
             CREATE TRIGGER lockkeeper_rehearsal AFTER INSERT OR UPDATE OR DELETE ON {history}
                 FOR EACH STATEMENT EXECUTE FUNCTION {witness}();"
        );
        self.session.message(sql).await?;
        // The history table has our trigger now.
        self.session.facts.history_is_plain = false;
        self.session.is_rehearsal = true;
        Ok(())
    }

    /// Reads the tables of the database, without Lockkeeper's own.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn relfilenodes(&mut self) -> Result<TableFiles, DatabaseError> {
        let sql = format!(
            "SELECT c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relfilenode::bigint \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
             AND c.oid NOT IN (SELECT coalesce(pg_catalog.to_regclass(name)::oid, 0) FROM pg_catalog.unnest(ARRAY[{}]) name)",
            [self.table(), self.session.table(), self.session.journal_table()].map(|table| literal(&table)).join(", ")
        );
        let rows = self.session.rows(sql).await?;
        rows.iter().map(|row| Ok((column(row, 0)?, (column(row, 1)?, column(row, 2)?)))).collect()
    }

    /// Returns the effect on these tables since they were listed and the lock log was last read; empties the log.
    ///
    /// # Errors
    /// Fails when the session is lost, or when a step has dropped the lock log.
    pub(crate) async fn impact(&mut self, before: &TableFiles) -> Result<StepImpact, DatabaseError> {
        let witness = self.table();
        let sql = format!("SELECT relation::bigint, mode FROM {witness} GROUP BY 1, 2; DELETE FROM {witness}");
        let mut strongest: BTreeMap<i64, usize> = BTreeMap::new();
        for row in self.session.rows(sql).await? {
            let (relation, mode): (i64, String) = (column(&row, 0)?, column(&row, 1)?);
            let rank = MODES.iter().position(|known| *known == mode).unwrap_or(0);
            let known = strongest.entry(relation).or_default();
            *known = rank.max(*known);
        }
        let after = self.relfilenodes().await?;
        let is_rewritten = |oid: &i64, file: i64| after.get(oid).is_some_and(|(_, now)| *now != file);
        let rewritten = before.iter().filter(|(oid, (_, file))| is_rewritten(oid, *file));
        let locked = before.iter().filter_map(|(oid, (name, _))| {
            let rank = strongest.get(oid).copied().filter(|&rank| rank > 0)?;
            Some((name.clone(), MODES[rank]))
        });
        Ok(StepImpact { rewritten: rewritten.map(|(_, (name, _))| name.clone()).collect(), locked: locked.collect() })
    }
}
