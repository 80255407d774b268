//! Comparison of an index's definition with the definition that a statement asks for.

use super::column;
use super::index_state::IndexValidity;
use super::migrator::Migrator;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::catalog_effect::IndexBuild;

/// The query for everything that defines an index, apart from names: access method, columns and expressions with their
/// operator classes, collations and options, the condition, storage parameters.
const DEFINITION: &str = "SELECT i.indexrelid::bigint, i.indisvalid, pg_catalog.format('%s %s %s %s %s %s %s %s %s %L', c.relam, i.indisunique, \
     pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct', i.indnkeyatts, i.indclass, i.indcollation, i.indoption, c.reloptions, \
     (SELECT pg_catalog.string_agg(pg_catalog.format('%L %L', pg_catalog.pg_get_indexdef(i.indexrelid, a.attnum, false), a.attoptions), ',' ORDER BY a.attnum) \
      FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attnum > 0), \
     pg_catalog.pg_get_expr(i.indpred, i.indrelid)) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indexrelid";

const SAMPLE: &str = "\"lockkeeper sample\"";
const SAMPLE_INDEX: &str = "\"lockkeeper sample index\"";

impl Migrator<'_> {
    /// Returns the OID and the state of those indexes whose definition is the one that a statement asks for; `None`
    /// when the definitions cannot be compared.
    pub(super) async fn indexes_alike(
        &mut self,
        build: &IndexBuild,
        indexes: &[i64],
    ) -> Result<Option<Vec<(i64, IndexValidity)>>, DatabaseError> {
        let Some(wanted) = self.wanted_definition(build).await? else {
            return Ok(None);
        };
        let oids: Vec<String> = indexes.iter().map(|oid| format!("'{oid}'")).collect();
        let mut alike = Vec::new();
        for row in self.session.rows(format!("{DEFINITION} IN ({})", oids.join(", "))).await? {
            let state = if column(&row, 1)? { IndexValidity::Valid } else { IndexValidity::Invalid };
            if column::<String>(&row, 2)? == wanted {
                alike.push((column(&row, 0)?, state));
            }
        }
        Ok(Some(alike))
    }

    /// Asks the server for the definition that the statement's index would have: builds the index on an empty temporary
    /// table with the same columns, in a transaction that is rolled back. Returns `None` when the server refuses that.
    async fn wanted_definition(&mut self, build: &IndexBuild) -> Result<Option<String>, DatabaseError> {
        let sampled = self.sample(build).await;
        let rolled_back = self.session.run("ROLLBACK".into()).await;
        match sampled {
            Err(fault) if fault.kind == DatabaseErrorKind::Lost => Err(fault),
            Err(fault) => {
                tracing::debug!("the definition of the index could not be compared: {fault}");
                rolled_back?;
                Ok(None)
            }
            Ok(definition) => rolled_back.map(|()| Some(definition)),
        }
    }

    async fn sample(&mut self, build: &IndexBuild) -> Result<String, DatabaseError> {
        let IndexBuild { table, unique, definition } = build;
        let like = format!("BEGIN READ WRITE; CREATE TEMPORARY TABLE {SAMPLE} (LIKE {table})");
        let index = format!("CREATE {unique}INDEX {SAMPLE_INDEX} ON pg_temp.{SAMPLE} {definition}");
        for sql in [like, index] {
            self.session.run(sql).await?;
        }
        let sql = format!("{DEFINITION} = pg_catalog.to_regclass('pg_temp.{SAMPLE_INDEX}')");
        let rows = self.session.rows(sql).await?;
        let row = rows
            .first()
            .ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Statement, "the sample index is missing"))?;
        column(row, 2)
    }
}
