//! Indexes, with the constraints that they implement: the statements that create them, and the data for finding
//! duplicate rows.

use sqlx::postgres::PgRow;

use super::KEY;
use crate::database::DatabaseError;
use crate::database::postgres::column;

/// An index of a loaded table, with its constraint if it has one.
pub(crate) struct DetachedIndex {
    pub(crate) oid: i64,
    /// The description in messages, for example `index public.a_idx`.
    pub(crate) label: String,
    pub(crate) reattach_statement: String,
    /// The rule of a unique index; `None` for other indexes.
    pub(crate) unique: Option<UniqueRule>,
}

/// The columns or expressions whose values must be unique in a table.
pub(crate) struct UniqueRule {
    /// The name of the constraint or index.
    pub(crate) name: String,
    /// The table, qualified and quoted.
    pub(crate) table: String,
    /// The columns of the primary key, quoted.
    pub(crate) key: Vec<String>,
    /// The columns or expressions of the index, as SQL.
    pub(crate) expressions: Vec<String>,
    pub(crate) predicate: Option<String>,
    /// True if NULL counts as equal to NULL.
    pub(crate) nulls_are_equal: bool,
}

/// The SQL expression for the statements that recreate the index `x`. A constraint is added by USING INDEX, which keeps
/// the storage options that the constraint's own definition lacks. The tablespace is set by a parameter, since no
/// definition contains it.
const REATTACH_SQL: &str = "pg_catalog.concat_ws('; ', \
     CASE WHEN s.oid IS NOT NULL THEN pg_catalog.format('SET LOCAL default_tablespace = %L', s.spcname) END, \
     pg_catalog.pg_get_indexdef(i.indexrelid), \
     CASE WHEN s.oid IS NOT NULL THEN 'SET LOCAL default_tablespace = ''''' END, \
     CASE WHEN u.oid IS NOT NULL THEN pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s USING INDEX %I%s%s', n.nspname, c.relname, u.conname, \
      CASE u.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, x.relname, \
      CASE WHEN u.condeferrable THEN ' DEFERRABLE' END, CASE WHEN u.condeferred THEN ' INITIALLY DEFERRED' END) END, \
     CASE WHEN d.said IS NOT NULL THEN pg_catalog.format('COMMENT ON INDEX %I.%I IS %L', n.nspname, x.relname, d.said) END, \
     CASE WHEN e.said IS NOT NULL THEN pg_catalog.format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', u.conname, n.nspname, c.relname, e.said) END, \
     (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, x.relname, a.attnum, a.attstattarget), '; ') \
      FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0), \
     CASE WHEN i.indisclustered THEN pg_catalog.format('ALTER TABLE %I.%I CLUSTER ON %I', n.nspname, c.relname, x.relname) END, \
     CASE WHEN i.indisreplident THEN pg_catalog.format('ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I', n.nspname, c.relname, x.relname) END)";

/// The condition for an index that is complete, and of a kind that can be recreated exactly.
const PLAIN: &str = "c.relkind = 'r' AND i.indisvalid AND i.indisready AND i.indislive \
     AND (u.oid IS NULL OR u.contype <> 'x' AND m.amname = 'btree' AND coalesce(pg_catalog.to_jsonb(u) ->> 'conperiod', 'false') = 'false') \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attoptions IS NOT NULL)";

/// Returns the query for the indexes that can be detached, one row each: the OID, the statement that drops it, and the
/// columns for [`read`]. `dropped` are the OIDs of foreign keys that are dropped before and so do not need an index any
/// more.
pub(crate) fn query(tables: &str, dropped: &[i64]) -> String {
    let dropped: Vec<String> = dropped.iter().map(i64::to_string).collect();
    // Only these may depend on the constraint or index: its own index, the trigger of a deferrable constraint, and the
    // foreign keys that are dropped. The index must not depend on an extension.
    let free = format!(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE \
         (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = x.oid \
          OR d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.refobjid = u.oid) \
         AND NOT (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = x.oid) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass \
          AND t.oid = d.objid AND t.tgconstraint = u.oid AND t.tgenabled = 'O') \
         AND NOT (d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = ANY ('{{{}}}'::pg_catalog.oid[]))) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = x.oid AND d.deptype IN ('e', 'x'))",
        dropped.join(",")
    );
    format!(
        "SELECT i.indexrelid::bigint, \
         CASE WHEN u.oid IS NULL THEN pg_catalog.format('DROP INDEX %I.%I', n.nspname, x.relname) \
         ELSE pg_catalog.format('ALTER TABLE ONLY %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, u.conname) END, \
         pg_catalog.format('%s %I.%I', CASE u.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique constraint' ELSE 'index' END, n.nspname, x.relname), \
         {REATTACH_SQL}, i.indisunique, x.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), {KEY}, \
         (SELECT pg_catalog.array_agg(pg_catalog.pg_get_indexdef(i.indexrelid, k, false) ORDER BY k) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) k), \
         pg_catalog.pg_get_expr(i.indpred, i.indrelid), coalesce(pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct', 'false') = 'true' \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam \
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = x.reltablespace \
         LEFT JOIN pg_catalog.pg_constraint u ON u.conindid = x.oid AND u.conrelid = c.oid AND u.contype IN ('p', 'u', 'x') \
         CROSS JOIN LATERAL pg_catalog.obj_description(x.oid, 'pg_class') d (said) \
         CROSS JOIN LATERAL pg_catalog.obj_description(u.oid, 'pg_constraint') e (said) \
         WHERE i.indrelid = ANY ({tables}) AND {PLAIN} AND {free} ORDER BY i.indexrelid"
    )
}

/// Decodes a row of [`query`].
///
/// # Errors
/// Fails when the row cannot be decoded.
pub(crate) fn read(row: &PgRow) -> Result<DetachedIndex, DatabaseError> {
    let unique = match column::<bool>(row, 4)? {
        true => Some(UniqueRule {
            name: column(row, 5)?,
            table: column(row, 6)?,
            key: column(row, 7)?,
            expressions: column(row, 8)?,
            predicate: column(row, 9)?,
            nulls_are_equal: column(row, 10)?,
        }),
        false => None,
    };
    Ok(DetachedIndex { oid: column(row, 0)?, label: column(row, 2)?, reattach_statement: column(row, 3)?, unique })
}
