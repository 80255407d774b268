//! What statements outside of a transaction have left in the catalog: wholly done, half done, not begun.

use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::catalog_effect::{CatalogEffect, ReindexScope};
use crate::revision::render::literal;

/// Somebody is building an index of that table at this moment: it is invalid, and not left behind.
pub(super) const IN_WORK: &str = "EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p \
     JOIN pg_catalog.pg_locks l ON l.pid = p.pid WHERE l.relation = i.indrelid)";

/// What a concurrent rebuild calls the copy that it makes, and the original once the copy is ready (manual, REINDEX).
const COPY: &str = "'_cc(new|old)[0-9]*$'";

/// An index, its name quoted and qualified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogIndex {
    pub oid: i64,
    pub name: String,
    pub definition: String,
    pub state: IndexValidity,
}

/// Whether an index can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexValidity {
    Valid,
    /// Left behind.
    Invalid,
    /// Another session is working on it.
    InWork,
}

impl Postgres {
    /// The index of this name on this table, both as a statement spells them.
    pub(super) async fn built(&mut self, name: &str, table: &str) -> Result<Option<CatalogIndex>, DatabaseError> {
        let which = format!("i.indrelid = '{}' AND c.relname = {}", self.relation(table).await?, folded(name));
        Ok(self.indexes(&which).await?.pop())
    }

    /// Whether this is a partition of that table; `also` narrows it down.
    pub(super) async fn is_partition(
        &mut self,
        table: &str,
        partition: &str,
        also: &str,
    ) -> Result<bool, DatabaseError> {
        let (partition, table) = (self.relation(partition).await?, self.relation(table).await?);
        self.holds(format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_inherits WHERE inhrelid = '{partition}' AND inhparent = '{table}' {also})"
        ))
        .await
    }

    /// Whether its detaching stopped half way.
    pub(super) async fn is_detach_pending(&mut self, table: &str, partition: &str) -> Result<bool, DatabaseError> {
        // The column came with DETACH CONCURRENTLY.
        Ok(self.major() >= 14 && self.is_partition(table, partition, "AND inhdetachpending").await?)
    }

    /// Every index of the database that was left invalid.
    pub(super) async fn invalid_indexes(&mut self) -> Result<Vec<CatalogIndex>, DatabaseError> {
        self.indexes(&format!("NOT i.indisvalid AND NOT {IN_WORK}")).await
    }

    /// The invalid copies that a concurrent rebuild has left of these indexes.
    pub(super) async fn copies(&mut self, scope: &ReindexScope) -> Result<Vec<CatalogIndex>, DatabaseError> {
        let with_toast = |tables: String| {
            format!(
                "SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid IN (SELECT pg_catalog.unnest(ARRAY[t.oid, t.reltoastrelid]) \
                 FROM pg_catalog.pg_class t WHERE {tables})"
            )
        };
        // A partitioned one stands for its partitions.
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
        // A long name was cut before the ending was put behind it.
        self.indexes(&format!(
            "NOT i.indisvalid AND NOT {IN_WORK} AND c.relname ~ {COPY} AND EXISTS (SELECT 1 FROM pg_catalog.pg_index o \
             JOIN pg_catalog.pg_class oc ON oc.oid = o.indexrelid WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid \
             AND o.indexrelid IN ({rebuilt}) AND pg_catalog.starts_with(oc.relname, pg_catalog.regexp_replace(c.relname, {COPY}, '')))"
        ))
        .await
    }

    /// The indexes for which this is so.
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

    async fn holds(&mut self, condition: String) -> Result<bool, DatabaseError> {
        let row = self.row(format!("SELECT {condition}")).await?;
        column(&row, 0)
    }

    /// What a statement that failed has left, in words, and what becomes of it; `before` was invalid already.
    pub(super) async fn left_by(
        &mut self,
        trace: &CatalogEffect,
        before: &[CatalogIndex],
    ) -> Result<Option<String>, DatabaseError> {
        if let CatalogEffect::Detached { table, partition } = trace {
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
        let what_next = match trace {
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

/// A name as a statement spells it, as the catalog has it. A query's fault of spelling is the statement's own.
pub(super) fn folded(name: &str) -> String {
    format!("(pg_catalog.parse_ident({}))[1]::name", literal(name))
}

/// Whether a fault leaves a session that can be asked.
pub(super) fn can_be_asked(fault: &DatabaseError) -> bool {
    fault.kind != DatabaseErrorKind::Lost
}
