//! Detection of indexes and partitions that statements outside of a transaction have left complete, half done, or not
//! begun.

use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::catalog_effect::{CatalogEffect, ReindexScope};
use crate::sql::literal;

/// The condition for an index `i` on whose table an index build is running: such an index is invalid, but nobody has
/// left it behind.
pub(super) const IN_WORK: &str = "EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p \
     JOIN pg_catalog.pg_locks l ON l.pid = p.pid WHERE l.relation = i.indrelid)";

/// The regular expression for the suffix of the copy that a concurrent rebuild makes, and of the original once the copy
/// is ready (manual, REINDEX).
const COPY: &str = "'_cc(new|old)[0-9]*$'";

/// An index; its name is quoted and qualified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CatalogIndex {
    pub(crate) oid: i64,
    pub(crate) name: String,
    pub(crate) definition: String,
    pub(crate) state: IndexValidity,
}

/// The usability of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexValidity {
    Valid,
    /// The index cannot be used and no session is building it.
    Invalid,
    /// Another session is building the index.
    InWork,
}

impl Postgres {
    /// Returns the OID of a relation that a statement names; 0 when there is none.
    pub(super) async fn relation(&mut self, name: &str) -> Result<i64, DatabaseError> {
        let sql = format!("SELECT pg_catalog.to_regclass({})::pg_catalog.oid::pg_catalog.int8", literal(name));
        // Under the script's search path, as in the script.
        let rows = self.message(sql).await?;
        let oid: Option<i64> = rows.first().map_or(Ok(None), |row| column(row, 0))?;
        Ok(oid.unwrap_or(0))
    }

    /// Returns the index of this name on this table; both names are spelled as in a statement.
    pub(super) async fn built(&mut self, name: &str, table: &str) -> Result<Option<CatalogIndex>, DatabaseError> {
        let which = format!("i.indrelid = '{}' AND c.relname = {}", self.relation(table).await?, folded(name));
        Ok(self.indexes(&which).await?.pop())
    }

    /// Reports whether a table is a partition of `table`; `also` is a further condition, or empty.
    pub(super) async fn is_partition(
        &mut self,
        table: &str,
        partition: &str,
        also: &str,
    ) -> Result<bool, DatabaseError> {
        let (partition, table) = (self.relation(partition).await?, self.relation(table).await?);
        self.is_true(format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_inherits WHERE inhrelid = '{partition}' AND inhparent = '{table}' {also})"
        ))
        .await
    }

    /// Reports whether the concurrent detaching of a partition has begun and is not finished.
    pub(super) async fn is_detach_pending(&mut self, table: &str, partition: &str) -> Result<bool, DatabaseError> {
        // The column exists since the release that introduced DETACH CONCURRENTLY.
        Ok(self.major() >= 14 && self.is_partition(table, partition, "AND inhdetachpending").await?)
    }

    /// Returns all indexes of the database that are invalid and that no session is building.
    pub(super) async fn invalid_indexes(&mut self) -> Result<Vec<CatalogIndex>, DatabaseError> {
        self.indexes(&format!("NOT i.indisvalid AND NOT {IN_WORK}")).await
    }

    /// Returns the invalid copies that a concurrent rebuild of the indexes in `scope` has left.
    pub(super) async fn copies(&mut self, scope: &ReindexScope) -> Result<Vec<CatalogIndex>, DatabaseError> {
        let with_toast = |tables: String| {
            format!(
                "SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid IN (SELECT pg_catalog.unnest(ARRAY[t.oid, t.reltoastrelid]) \
                 FROM pg_catalog.pg_class t WHERE {tables})"
            )
        };
        // The OID of a partitioned table or index includes its partitions.
        let tree = |oid: i64| {
            format!("SELECT '{oid}'::oid UNION SELECT relid::oid FROM pg_catalog.pg_partition_tree('{oid}')")
        };
        let rebuilt = match scope {
            ReindexScope::Index(name) => tree(self.relation(name).await?),
            ReindexScope::Table(name) => with_toast(format!("t.oid IN ({})", tree(self.relation(name).await?))),
            ReindexScope::Schema(name) => with_toast(format!(
                "t.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {})",
                folded(name)
            )),
            ReindexScope::Database => "SELECT indexrelid FROM pg_catalog.pg_index".into(),
        };
        // PostgreSQL truncates a long name before it appends the suffix, so only the beginning is compared.
        self.indexes(&format!(
            "NOT i.indisvalid AND NOT {IN_WORK} AND c.relname ~ {COPY} AND EXISTS (SELECT 1 FROM pg_catalog.pg_index o \
             JOIN pg_catalog.pg_class oc ON oc.oid = o.indexrelid WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid \
             AND o.indexrelid IN ({rebuilt}) AND pg_catalog.starts_with(oc.relname, pg_catalog.regexp_replace(c.relname, {COPY}, '')))"
        ))
        .await
    }

    /// Returns the indexes that satisfy a condition on `i` (pg_index), `c` (pg_class) and `n` (pg_namespace).
    async fn indexes(&mut self, which: &str) -> Result<Vec<CatalogIndex>, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_get_indexdef(c.oid), \
             i.indisvalid, NOT i.indisvalid AND {IN_WORK}, c.oid::bigint FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'i' AND {which} ORDER BY 1"
        );
        let rows = self.rows(sql).await?;
        let index = |row| {
            let state = match (column(row, 2)?, column(row, 3)?) {
                (true, _) => IndexValidity::Valid,
                (false, false) => IndexValidity::Invalid,
                (false, true) => IndexValidity::InWork,
            };
            Ok(CatalogIndex { oid: column(row, 4)?, name: column(row, 0)?, definition: column(row, 1)?, state })
        };
        rows.iter().map(index).collect()
    }

    async fn is_true(&mut self, condition: String) -> Result<bool, DatabaseError> {
        let row = self.row(format!("SELECT {condition}")).await?;
        column(&row, 0)
    }

    /// Describes the objects that a failed statement has left, and the effect of a rerun on them; `before` are the
    /// indexes that were invalid already.
    pub(super) async fn describe_leftovers(
        &mut self,
        effect: &CatalogEffect,
        before: &[CatalogIndex],
    ) -> Result<Option<String>, DatabaseError> {
        if let CatalogEffect::Detached { table, partition } = effect {
            let pending = self.is_detach_pending(table, partition).await?;
            return Ok(pending
                .then(|| format!("it left {partition} half detached from {table}; running again finalizes that")));
        }
        let after = self.invalid_indexes().await?;
        let left: Vec<String> =
            after.into_iter().filter(|index| !before.contains(index)).map(|index| index.name).collect();
        if left.is_empty() {
            return Ok(None);
        }
        let (names, noun) = (left.join(", "), if left.len() == 1 { "index" } else { "indexes" });
        let what_next = match effect {
            CatalogEffect::Index { .. } => "running again drops it concurrently and builds it anew".into(),
            CatalogEffect::Rebuilt(_) => "running again drops that concurrently and rebuilds".into(),
            CatalogEffect::NoIndex { .. } => "running again drops it".into(),
            _ => format!(
                "it has no name in the file, so drop it before you run again: DROP INDEX CONCURRENTLY {}",
                left[0]
            ),
        };
        Ok(Some(format!("it left the invalid {noun} {names}; {what_next}")))
    }
}

/// Returns the SQL expression for a name of the catalog that a statement spells as `name`. An error of spelling in the
/// query is the statement's own.
pub(super) fn folded(name: &str) -> String {
    format!("(pg_catalog.parse_ident({}))[1]::name", literal(name))
}

/// Reports whether the session can still run queries after an error.
pub(super) fn can_be_asked(fault: &DatabaseError) -> bool {
    fault.kind != DatabaseErrorKind::Lost
}
