//! Foreign keys: the statements that create them, and the data for finding rows that violate them.

use sqlx::postgres::PgRow;

use super::{KEY, oid};
use crate::database::DatabaseError;
use crate::database::postgres::column;

/// A foreign key of a loaded table.
pub(crate) struct DetachedForeignKey {
    pub(crate) name: String,
    /// The referencing table, qualified and quoted, as `parent` is.
    pub(crate) table: String,
    pub(crate) parent: String,
    /// The FROM items of the referencing and the referenced table.
    pub(crate) rows: String,
    pub(crate) parent_rows: String,
    /// The OID of the unique index to which the foreign key refers.
    pub(crate) index: i64,
    pub(crate) reattach_statement: String,
    /// The primary key's columns of the referencing table, quoted.
    pub(crate) key: Vec<String>,
    /// The columns of the foreign key, quoted, as those of the parent are.
    pub(crate) columns: Vec<String>,
    pub(crate) parent_columns: Vec<String>,
    /// The operators that compare parent and child, column by column; empty when a comparison needs more than
    /// operators.
    pub(crate) operators: Vec<String>,
    /// True if the key is MATCH FULL: then NULL in one column requires NULL in all.
    pub(crate) is_full: bool,
    /// True if the key is NOT VALID: adding it checks no row, but new rows must satisfy it, and the loaded ones
    /// are new.
    pub(crate) is_unchecked: bool,
    /// The OID of the table, or of the root whose partition it is.
    pub(crate) root: u32,
    /// True if the key is enforced; it is not when declared NOT ENFORCED (PostgreSQL 18).
    pub(crate) is_enforced: bool,
}

/// Returns the query for the foreign keys that can be detached, one row each: the OID, the statement that drops it, and
/// the columns for [`read`]. Foreign keys with disabled triggers check nothing and stay in place. Dropping a foreign
/// key also drops those that partitions have inherited; the inherited ones with names of their own are added first, and
/// the one of the parent table then adopts them.
pub(crate) fn query(tables: &str) -> String {
    let names = |of: &str, numbers: &str| {
        format!(
            "(SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) ORDER BY k.place) FROM pg_catalog.unnest({numbers}) WITH ORDINALITY k (attnum, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = {of} AND a.attnum = k.attnum)"
        )
    };
    format!(
        "SELECT f.oid::bigint, CASE WHEN f.conparentid = 0 THEN pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, f.conname) END, \
         f.conname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I.%I', m.nspname, p.relname), \
         CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, CASE p.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, f.conindid::bigint, \
         pg_catalog.concat_ws('; ', pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, f.conname, pg_catalog.pg_get_constraintdef(f.oid)), \
          CASE WHEN d.said IS NOT NULL THEN pg_catalog.format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', f.conname, n.nspname, c.relname, d.said) END), \
         {KEY}, {}, {}, \
         (SELECT coalesce(pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname) ORDER BY k.place), '{{}}') \
          FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY k (id, place) JOIN pg_catalog.pg_operator o ON o.oid = k.id \
          JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace WHERE coalesce(pg_catalog.to_jsonb(f) ->> 'conperiod', 'false') = 'false'), \
         f.confmatchtype = 'f', NOT f.convalidated AND coalesce(pg_catalog.to_jsonb(f) ->> 'conenforced', 'true') = 'true', \
         CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid ELSE c.oid END::bigint, coalesce(pg_catalog.to_jsonb(f) ->> 'conenforced', 'true') = 'true' \
         FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class p ON p.oid = f.confrelid JOIN pg_catalog.pg_namespace m ON m.oid = p.relnamespace \
         LEFT JOIN pg_catalog.pg_constraint above ON above.oid = f.conparentid \
         CROSS JOIN LATERAL pg_catalog.obj_description(f.oid, 'pg_constraint') d (said) \
         WHERE f.contype = 'f' AND f.conrelid IN {tables} AND (f.conparentid = 0 OR above.conrelid <> f.conrelid AND above.conname <> f.conname) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = f.oid AND t.tgenabled <> 'O') \
         ORDER BY f.conparentid = 0, f.oid",
        names("f.conrelid", "f.conkey"),
        names("f.confrelid", "f.confkey"),
    )
}

/// Decodes a row of [`query`].
///
/// # Errors
/// Fails when the row cannot be decoded.
pub(crate) fn read(row: &PgRow) -> Result<DetachedForeignKey, DatabaseError> {
    let (table, parent): (String, String) = (column(row, 3)?, column(row, 4)?);
    Ok(DetachedForeignKey {
        name: column(row, 2)?,
        rows: column::<String>(row, 5)? + &table,
        parent_rows: column::<String>(row, 6)? + &parent,
        table,
        parent,
        index: column(row, 7)?,
        reattach_statement: column(row, 8)?,
        key: column(row, 9)?,
        columns: column(row, 10)?,
        parent_columns: column(row, 11)?,
        operators: column(row, 12)?,
        is_full: column(row, 13)?,
        is_unchecked: column(row, 14)?,
        root: oid(row, 15)?,
        is_enforced: column(row, 16)?,
    })
}
