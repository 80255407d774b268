//! What is set aside while rows are loaded, and the statements that put it back exactly as it was. The server writes
//! them itself, from its catalog.
//!
//! Foreign keys of the loaded tables, since rows come in no order that would satisfy them (self references, cycles) and
//! since checking them at once is faster than row by row. Indexes of ordinary tables, since building is faster than
//! inserting, above all under keys in no order; with primary keys and unique constraints, so that all rows that are there
//! twice can be listed. Triggers, which have fired in the source. FORCE ROW LEVEL SECURITY, which COPY refuses.
//!
//! Left in place, where loading is slower but right: whatever could not be put back exactly, and what another object
//! depends on. That is every index of partitioned tables, invalid ones, exclusion constraints, indexes that depend on an
//! extension, primary keys that a view or a foreign key of another table needs.

mod foreign_key;
mod index;

use super::catalog::{TargetTable, oid, oids};
use crate::database::DatabaseError;
use crate::database::postgres::{Postgres, column};
pub use foreign_key::DetachedForeignKey;
pub use index::{DetachedIndex, UniqueRule};

/// What is set aside.
pub struct DetachedObjects {
    /// The statements that do so.
    pub away: Vec<String>,
    pub indexes: Vec<DetachedIndex>,
    pub foreign_keys: Vec<DetachedForeignKey>,
    /// The statements that put the rest back.
    pub back: Vec<String>,
}

/// The primary key's columns of the table `c`, quoted.
const KEY: &str = "coalesce((SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) ORDER BY k.place) FROM pg_catalog.pg_index p \
     CROSS JOIN pg_catalog.unnest(p.indkey) WITH ORDINALITY k (attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = p.indrelid AND a.attnum = k.attnum \
     WHERE p.indrelid = c.oid AND p.indisprimary AND k.place <= p.indnkeyatts), '{}')";

impl Postgres {
    /// Asks the catalog, in the transaction that has locked the tables.
    pub(super) async fn detach(&mut self, tables: &[TargetTable]) -> Result<DetachedObjects, DatabaseError> {
        let all = oids(tables.iter().map(|table| table.oid));
        let mut aside =
            DetachedObjects { away: Vec::new(), indexes: Vec::new(), foreign_keys: Vec::new(), back: Vec::new() };
        let mut dropped = Vec::new();
        for row in self.rows(foreign_key::query(&tree(&all))).await? {
            dropped.push(column(&row, 0)?);
            aside.away.extend(column::<Option<String>>(&row, 1)?);
            aside.foreign_keys.push(foreign_key::read(&row)?);
        }
        for row in self.rows(index::query(&all, &dropped)).await? {
            aside.away.push(column(&row, 1)?);
            aside.indexes.push(index::read(&row)?);
        }
        for row in self.rows(rest(&all)).await? {
            aside.away.extend(column::<Option<String>>(&row, 0)?);
            aside.back.push(column(&row, 1)?);
        }
        Ok(aside)
    }
}

/// The tables with their partitions.
fn tree(oids: &str) -> String {
    format!(
        "(SELECT pg_catalog.unnest({oids}) UNION SELECT p.relid FROM pg_catalog.unnest({oids}) o (id) \
         CROSS JOIN LATERAL pg_catalog.pg_partition_tree(o.id::pg_catalog.regclass) p)"
    )
}

/// Triggers that would fire, by name: of the server's own, which hold foreign keys and deferred uniqueness, only a
/// superuser may dispose. What is said of a trigger of a partitioned table holds for those of its partitions, too; so
/// theirs are put back after it, those that did not fire among them.
fn rest(oids: &str) -> String {
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
