//! What a restore in place would leave: objects of every kind that the archive does not have.

use std::collections::BTreeSet;

use super::{Postgres, column};
use crate::database::DatabaseError;

/// The first OID that a server gives to an object that is not its own (`FirstNormalObjectId`, transam.h).
const FIRST_OBJECT: u32 = 16_384;

/// The catalogs of what a dump holds, each with the objects that it holds. What belongs to a table goes with it.
const CATALOGS: [(&str, &str); 23] = [
    (
        "pg_class",
        "o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND o.relpersistence <> 't' \
         AND (SELECT n.nspname !~ '^pg_' FROM pg_catalog.pg_namespace n WHERE n.oid = o.relnamespace)",
    ),
    (
        "pg_type",
        "o.typcategory <> 'A' AND (o.typtype IN ('b', 'd', 'e', 'r') OR o.typtype = 'c' \
         AND (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = o.typrelid))",
    ),
    ("pg_proc", "true"),
    ("pg_namespace", "o.nspname !~ '^pg_' AND o.nspname <> 'public'"),
    ("pg_extension", "true"),
    ("pg_operator", "true"),
    ("pg_opclass", "true"),
    ("pg_opfamily", "true"),
    ("pg_am", "true"),
    ("pg_cast", "true"),
    ("pg_collation", "true"),
    ("pg_conversion", "true"),
    ("pg_language", "true"),
    ("pg_transform", "true"),
    ("pg_ts_config", "true"),
    ("pg_ts_dict", "true"),
    ("pg_ts_parser", "true"),
    ("pg_ts_template", "true"),
    ("pg_foreign_data_wrapper", "true"),
    ("pg_foreign_server", "true"),
    ("pg_publication", "true"),
    ("pg_event_trigger", "true"),
    ("pg_default_acl", "true"),
];

impl Postgres {
    /// The subscriptions of this database, which the catalog lets nobody ask for the age of.
    ///
    /// # Errors
    /// A lost session.
    pub async fn subscriptions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let sql = "SELECT s.oid || ' ' || pg_catalog.quote_ident(s.subname) FROM pg_catalog.pg_subscription s \
                   JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
        self.rows(sql.into()).await?.iter().map(|row| column(row, 0)).collect()
    }

    /// The quoted names of the subscriptions of this database that are enabled.
    ///
    /// # Errors
    /// A lost session.
    pub async fn enabled_subscriptions(&mut self) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT pg_catalog.quote_ident(s.subname) FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d \
                   ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database() AND s.subenabled ORDER BY 1";
        self.rows(sql.into()).await?.iter().map(|row| column(row, 0)).collect()
    }

    /// Returns the objects of every kind that were there before this transaction and were not replaced in it.
    ///
    /// # Errors
    /// A lost session.
    pub async fn survivors(&mut self, subscriptions: &BTreeSet<String>) -> Result<Vec<String>, DatabaseError> {
        // Each row of a catalog names the transaction that has written it; by casts, because that type has no order.
        let is_older =
            format!("o.oid >= {FIRST_OBJECT} AND o.xmin::text::bigint <> pg_catalog.txid_current() % 4294967296");
        let mut selects =
            vec![format!("SELECT 'large object ' || o.oid FROM pg_catalog.pg_largeobject_metadata o WHERE {is_older}")];
        selects.extend(CATALOGS.map(|(catalog, also)| {
            format!(
                "SELECT pg_catalog.pg_describe_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) FROM pg_catalog.{catalog} o \
                 WHERE {is_older} AND {also} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
                 WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid = o.oid AND d.objsubid = 0 AND d.deptype IN ('e', 'i'))"
            )
        }));
        let sql = format!("SELECT * FROM ({}) o ORDER BY 1", selects.join(" UNION ALL "));
        let rows = self.rows(sql).await?;
        let found = rows.iter().map(|row| column(row, 0));
        let mut found: Vec<String> = found.collect::<Result<_, DatabaseError>>()?;
        let left = self.subscriptions().await?;
        let names = left.intersection(subscriptions).filter_map(|known| known.split_once(' '));
        found.extend(names.map(|(_, name)| format!("subscription {name}")));
        Ok(found)
    }
}
