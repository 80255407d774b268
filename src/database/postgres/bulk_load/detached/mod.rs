//! The objects that are detached while rows are loaded, with the statements that recreate them exactly. The server
//! itself writes these statements, from its catalog.
//!
//! These objects are detached:
//!
//! - Foreign keys of the loaded tables: rows come in no order that would satisfy them (self references, cycles), and
//!   one check of all rows is faster than a check of each.
//! - Indexes of ordinary tables: building is faster than inserting, above all under keys in no order. Primary keys and
//!   unique constraints are among them, so that all duplicate rows can be listed.
//! - Triggers, which have fired in the source.
//! - FORCE ROW LEVEL SECURITY, which COPY refuses.
//!
//! Objects stay in place, where loading is slower but correct, if they could not be recreated exactly or if another
//! object depends on them. These are all indexes of partitioned tables, invalid indexes, exclusion constraints, indexes
//! that depend on an extension, and primary keys that a view or a foreign key of another table needs.

mod foreign_key;
mod index;

use super::catalog::{oid, oids};
use crate::database::DatabaseError;
use crate::database::postgres::{Postgres, column};
use crate::transfer::target::TargetTable;
pub(crate) use foreign_key::DetachedForeignKey;
pub(crate) use index::{DetachedIndex, UniqueRule};

/// The detached objects and their statements.
pub(crate) struct DetachedObjects {
    /// The statements that detach the objects.
    pub(crate) detach_statements: Vec<String>,
    pub(crate) indexes: Vec<DetachedIndex>,
    pub(crate) foreign_keys: Vec<DetachedForeignKey>,
    /// The statements that reattach triggers and FORCE ROW LEVEL SECURITY.
    pub(crate) reattach_statements: Vec<String>,
}

/// The SQL expression for the primary key's columns of the table `c`, quoted.
const KEY: &str = "coalesce((SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) ORDER BY k.place) FROM pg_catalog.pg_index p \
     CROSS JOIN pg_catalog.unnest(p.indkey) WITH ORDINALITY k (attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = p.indrelid AND a.attnum = k.attnum \
     WHERE p.indrelid = c.oid AND p.indisprimary AND k.place <= p.indnkeyatts), '{}')";

impl DetachedObjects {
    /// Reads the objects from the catalog, in the transaction that has locked the tables.
    pub(super) async fn from_catalog(
        session: &mut Postgres,
        tables: &[TargetTable],
    ) -> Result<DetachedObjects, DatabaseError> {
        let all = oids(tables.iter().map(|table| table.oid));
        let mut detached = DetachedObjects {
            detach_statements: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            reattach_statements: Vec::new(),
        };
        let mut dropped = Vec::new();
        for row in session.rows(foreign_key::query(&tree(&all))).await? {
            dropped.push(column(&row, 0)?);
            detached.detach_statements.extend(column::<Option<String>>(&row, 1)?);
            detached.foreign_keys.push(foreign_key::read(&row)?);
        }
        for row in session.rows(index::query(&all, &dropped)).await? {
            detached.detach_statements.push(column(&row, 1)?);
            detached.indexes.push(index::read(&row)?);
        }
        for row in session.rows(trigger_and_policy_query(&all)).await? {
            detached.detach_statements.extend(column::<Option<String>>(&row, 0)?);
            detached.reattach_statements.push(column(&row, 1)?);
        }
        Ok(detached)
    }
}

/// Returns the subquery for the OIDs of the tables and of their partitions.
fn tree(oids: &str) -> String {
    format!(
        "(SELECT pg_catalog.unnest({oids}) UNION SELECT p.relid FROM pg_catalog.unnest({oids}) o (id) \
         CROSS JOIN LATERAL pg_catalog.pg_partition_tree(o.id::pg_catalog.regclass) p)"
    )
}

/// Returns the query for triggers and FORCE ROW LEVEL SECURITY. Triggers that would fire are disabled by name: only a
/// superuser may disable the server's own ones, which implement foreign keys and deferred uniqueness. A change to a
/// trigger of a partitioned table also changes those of its partitions, so the partitions' triggers are restored after
/// it, including those that did not fire.
fn trigger_and_policy_query(oids: &str) -> String {
    format!(
        "SELECT away, back FROM ( \
         SELECT 1 AS kind, c.relispartition, c.relname::text, t.tgname::text, \
         CASE WHEN t.tgenabled IN ('O', 'A') THEN pg_catalog.format('ALTER TABLE %I.%I DISABLE TRIGGER %I', n.nspname, c.relname, t.tgname) END AS away, \
         pg_catalog.format('ALTER TABLE %I.%I %s TRIGGER %I', n.nspname, c.relname, \
          CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, t.tgname) AS back \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE t.tgrelid IN {} AND NOT t.tgisinternal AND (t.tgenabled IN ('O', 'A') OR c.relispartition) \
         UNION ALL SELECT 2, c.relispartition, c.relname, '', \
         pg_catalog.format('ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname), \
         pg_catalog.format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', n.nspname, c.relname) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = ANY ({oids}) AND c.relforcerowsecurity) r ORDER BY kind, relispartition, relname, tgname",
        tree(oids)
    )
}
