//! The definitions of the tables that may be loaded, read from the catalog.

use std::collections::HashMap;

use sqlx::postgres::PgRow;

use crate::database::DatabaseError;
use crate::database::postgres::{Postgres, column};
use crate::dialect::Dialect;
use crate::revision::journal;
use crate::sql::literal;
use crate::transfer::target::{Element, IdentityKind, OwnedSequence, Storage, TargetColumn, TargetTable, TargetType};

/// The type below each domain; the modifier is that of the innermost domain (the server's `getBaseTypeAndTypmod`).
const DOMAINS: &str = "WITH RECURSIVE below (id, base, typmod, not_null) AS ( \
     SELECT t.oid, t.typbasetype, t.typtypmod, t.typnotnull FROM pg_catalog.pg_type t WHERE t.typtype = 'd' \
     UNION ALL SELECT b.id, t.typbasetype, t.typtypmod, b.not_null OR t.typnotnull FROM below b JOIN pg_catalog.pg_type t ON t.oid = b.base WHERE t.typtype = 'd'), \
     domain AS (SELECT b.* FROM below b JOIN pg_catalog.pg_type t ON t.oid = b.base WHERE t.typtype <> 'd') ";

/// The catalog of a database as the target of a load.
pub(crate) struct TargetCatalog<'a> {
    session: &'a mut Postgres,
}

impl<'a> TargetCatalog<'a> {
    /// Returns the catalog of the session's database.
    pub(crate) fn new(session: &'a mut Postgres) -> TargetCatalog<'a> {
        TargetCatalog { session }
    }

    /// Lists the tables outside of the system's schemas, without those of extensions, the history, and partitions.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn tables(&mut self) -> Result<Vec<TargetTable>, DatabaseError> {
        let schema = self.session.schema().unwrap_or_default();
        let sql = tables(&schema, &self.session.facts.table);
        let mut tables: Vec<TargetTable> = self.session.rows(sql).await?.iter().map(table).collect::<Result<_, _>>()?;
        let positions: HashMap<u32, usize> =
            tables.iter().enumerate().map(|(position, table)| (table.oid, position)).collect();
        let oids = oids(tables.iter().map(|table| table.oid));
        for row in self.session.rows(columns(&oids)).await? {
            if let Some(position) = positions.get(&oid(&row, 0)?) {
                tables[*position].columns.push(target_column(&row)?);
            }
        }
        for row in self.session.rows(sequences(&oids)).await? {
            if let Some(position) = positions.get(&oid(&row, 0)?) {
                tables[*position].sequences.push(sequence(&row)?);
            }
        }
        Ok(tables)
    }

    /// Returns those of the tables, which must be locked, that have rows.
    pub(super) async fn filled(&mut self, tables: &[TargetTable]) -> Result<Vec<TargetTable>, DatabaseError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let exists = |(position, table): (usize, &TargetTable)| {
            format!("SELECT {position}::bigint WHERE EXISTS (SELECT FROM {})", table.rows())
        };
        let questions: Vec<String> = tables.iter().enumerate().map(exists).collect();
        let rows = self.session.rows(questions.join(" UNION ALL ")).await?;
        let positions: Vec<i64> = rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
        let table = |position: i64| tables.get(usize::try_from(position).ok()?).cloned();
        Ok(positions.into_iter().filter_map(table).collect())
    }
}

/// Returns an SQL expression for an array of OIDs.
pub(crate) fn oids(oids: impl Iterator<Item = u32>) -> String {
    let list: Vec<String> = oids.map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", list.join(","))
}

fn tables(history_schema: &str, history: &str) -> String {
    format!(
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind = 'p', pg_catalog.pg_has_role(c.relowner, 'USAGE'), \
         coalesce((SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place) FROM pg_catalog.pg_index i \
          CROSS JOIN pg_catalog.unnest(i.indkey) WITH ORDINALITY k (attnum, place) \
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
          WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts), '{{}}') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
         AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT (n.nspname = {} AND c.relname IN ({}, {})) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY n.nspname, c.relname",
        literal(history_schema),
        literal(history),
        literal(&journal::name(Dialect::Postgres, history))
    )
}

fn columns(oids: &str) -> String {
    let labels = |of: &str| {
        format!(
            "coalesce((SELECT pg_catalog.array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l WHERE l.enumtypid = {of}.oid), '{{}}')"
        )
    };
    format!(
        "{DOMAINS} SELECT a.attrelid::bigint, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::bigint, a.atttypmod, \
         t.oid::bigint, CASE t.typname WHEN 'citext' THEN 'citext' ELSE pg_catalog.format_type(t.oid, b.typmod) END, b.typmod, {}, \
         e.oid::bigint, pg_catalog.format_type(e.oid, coalesce(f.typmod, b.typmod)), coalesce(f.typmod, b.typmod), {}, \
         a.attnotnull OR coalesce(d.not_null, false), pg_catalog.pg_get_expr(v.adbin, v.adrelid), a.attidentity::text, a.attgenerated <> '', t.typelem::bigint \
         FROM pg_catalog.pg_attribute a LEFT JOIN domain d ON d.id = a.atttypid \
         CROSS JOIN LATERAL (SELECT coalesce(d.base, a.atttypid), coalesce(d.typmod, a.atttypmod)) b (oid, typmod) \
         JOIN pg_catalog.pg_type t ON t.oid = b.oid \
         LEFT JOIN domain f ON f.id = t.typelem \
         LEFT JOIN pg_catalog.pg_type e ON t.typcategory = 'A' AND e.oid = coalesce(f.base, t.typelem) \
         LEFT JOIN pg_catalog.pg_attrdef v ON v.adrelid = a.attrelid AND v.adnum = a.attnum \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY ({oids}) ORDER BY a.attrelid, a.attnum",
        labels("t"),
        labels("e")
    )
}

/// Returns the query for the sequences of columns. Partitions have the defaults of their roots.
fn sequences(oids: &str) -> String {
    format!(
        "WITH used AS (SELECT u.seq, u.rel, u.att, pg_catalog.bool_or(u.own) AS own FROM ( \
         SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS att, true AS own FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') \
         UNION ALL SELECT d.refobjid, v.adrelid, v.adnum, false FROM pg_catalog.pg_depend d \
         JOIN pg_catalog.pg_attrdef v ON v.oid = d.objid JOIN pg_catalog.pg_class t ON t.oid = v.adrelid AND NOT t.relispartition \
         WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND pg_catalog.pg_get_expr(v.adbin, v.adrelid) ~ '^nextval[(].*::regclass[)]$') u GROUP BY u.seq, u.rel, u.att) \
         SELECT u.rel::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname::text, pg_catalog.format_type(s.seqtypid, NULL), \
         s.seqmin, s.seqmax, s.seqstart, s.seqincrement, \
         EXISTS (SELECT FROM used o WHERE o.seq = u.seq AND NOT o.own) FROM used u \
         JOIN pg_catalog.pg_class c ON c.oid = u.seq JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = u.rel AND a.attnum = u.att \
         WHERE u.rel = ANY ({oids}) ORDER BY u.rel, u.att, c.oid"
    )
}

pub(super) fn oid(row: &PgRow, index: usize) -> Result<u32, DatabaseError> {
    // The server's own type for OIDs has four bytes.
    Ok(u32::try_from(column::<i64>(row, index)?).unwrap_or(0))
}

fn table(row: &PgRow) -> Result<TargetTable, DatabaseError> {
    Ok(TargetTable {
        oid: oid(row, 0)?,
        schema: column(row, 1)?,
        name: column(row, 2)?,
        storage: if column(row, 3)? { Storage::Partitioned } else { Storage::Ordinary },
        is_ours: column(row, 4)?,
        key: column(row, 5)?,
        columns: Vec::new(),
        sequences: Vec::new(),
    })
}

fn target_column(row: &PgRow) -> Result<TargetColumn, DatabaseError> {
    let element = match column::<Option<i64>>(row, 9)? {
        Some(_) => Some(Element { oid: oid(row, 17)?, base: target_type(row, [9, 10, 11, 12])? }),
        None => None,
    };
    Ok(TargetColumn {
        name: column(row, 1)?,
        type_name: column(row, 2)?,
        type_oid: oid(row, 3)?,
        typmod: column(row, 4)?,
        base: target_type(row, [5, 6, 7, 8])?,
        element,
        not_null: column(row, 13)?,
        default: column(row, 14)?,
        identity: match column::<&str>(row, 15)? {
            "a" => Some(IdentityKind::Always),
            "d" => Some(IdentityKind::ByDefault),
            _ => None,
        },
        generated: column(row, 16)?,
    })
}

fn target_type(row: &PgRow, [id, name, typmod, labels]: [usize; 4]) -> Result<TargetType, DatabaseError> {
    Ok(TargetType {
        oid: oid(row, id)?,
        name: column(row, name)?,
        typmod: column(row, typmod)?,
        labels: column(row, labels)?,
    })
}

fn sequence(row: &PgRow) -> Result<OwnedSequence, DatabaseError> {
    Ok(OwnedSequence {
        name: column(row, 1)?,
        column: column(row, 2)?,
        type_name: column(row, 3)?,
        minimum: column(row, 4)?,
        maximum: column(row, 5)?,
        start: column(row, 6)?,
        increment: column(row, 7)?,
        is_shared: column(row, 8)?,
    })
}
