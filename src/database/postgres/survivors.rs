//! Detection of objects that a restore in place would leave behind: objects of every kind that the archive does not
//! contain.

use std::collections::BTreeSet;

use super::column;
use super::in_place::InPlaceRestore;
use crate::database::DatabaseError;

/// The first OID that a server gives to an object that is not built in (`FirstNormalObjectId`, transam.h).
const FIRST_OBJECT: u32 = 16_384;

/// The catalogs of the objects that a dump contains, each with a condition on its rows. Objects that belong to a table
/// are dropped with it.
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

impl InPlaceRestore<'_> {
    /// Reads the subscriptions of this database, each as its OID and its quoted name. Ordinary roles cannot read the
    /// age of a subscription's row, so subscriptions are compared by these values.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn subscriptions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let sql = "SELECT s.oid || ' ' || pg_catalog.quote_ident(s.subname) FROM pg_catalog.pg_subscription s \
                   JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()";
        self.session.rows(sql.into()).await?.iter().map(|row| column(row, 0)).collect()
    }

    /// Returns descriptions of the objects of every kind that existed before this transaction and were not replaced in
    /// it. `subscriptions` is the earlier result of [`InPlaceRestore::subscriptions`].
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn survivors(&mut self, subscriptions: &BTreeSet<String>) -> Result<Vec<String>, DatabaseError> {
        // Each catalog row has the id of the transaction that wrote it (xmin), which is cast: xid has no order.
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
        let rows = self.session.rows(sql).await?;
        let found = rows.iter().map(|row| column(row, 0));
        let mut found: Vec<String> = found.collect::<Result<_, DatabaseError>>()?;
        let left = self.subscriptions().await?;
        let names = left.intersection(subscriptions).filter_map(|known| known.split_once(' '));
        found.extend(names.map(|(_, name)| format!("subscription {name}")));
        Ok(found)
    }
}
