//! Rows that violate a foreign key, primary key, unique constraint or unique index that is to be reattached.

use std::fmt;

use sqlx::postgres::PgRow;

use super::detached::{DetachedForeignKey, UniqueRule};
use crate::database::DatabaseError;
use crate::database::postgres::column;

/// The largest numbers of groups that are listed for each violation, and of keys in each group.
const MAX_GROUPS: usize = 20;
const MAX_KEYS: usize = 5;
/// The number of characters of a value that are shown.
const MAX_CHARACTERS: usize = 100;

/// The rows that violate one constraint or unique index.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The table with the rows, qualified and quoted.
    pub(crate) table: String,
    /// The name of the constraint or index.
    pub name: String,
    /// The constraint or index that is violated.
    pub rule: ViolatedRule,
    /// The groups of rows with the same values, the largest first; not all of them when there are many.
    pub groups: Vec<ViolationGroup>,
    /// The number of all groups, and of the rows in them.
    pub total: ViolationTotal,
    /// The server's error for the first such row.
    pub(crate) fault: DatabaseError,
}

/// The kind of constraint that is violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolatedRule {
    /// A foreign key: its `columns`, and the table `parent` and `parent_columns` in which the values should be.
    Reference {
        /// The names of the columns.
        columns: Vec<String>,
        /// The referenced table, quoted and qualified.
        parent: String,
        /// The referenced columns.
        parent_columns: Vec<String>,
    },
    /// A primary key, unique constraint or index: its columns or expressions.
    Unique {
        /// The names of the columns.
        columns: Vec<String>,
    },
}

/// Rows that have the same values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViolationGroup {
    /// The values in the order of the rule's columns, shortened; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// The primary keys of some of the rows (`ctid` for a table without a primary key).
    pub keys: Vec<String>,
    /// The number of rows in the group.
    pub rows: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
/// The totals of a violation.
pub struct ViolationTotal {
    /// The number of groups.
    pub groups: u64,
    /// The number of rows in all groups.
    pub rows: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { table, name, total: of, .. } = self;
        match &self.rule {
            ViolatedRule::Reference { columns, parent, parent_columns } => {
                let (columns, parents) = (columns.join(", "), parent_columns.join(", "));
                write!(f, "{name}: {table} ({columns}) leads to nothing in {parent} ({parents})")?;
            }
            ViolatedRule::Unique { columns } => write!(f, "{name}: {table} ({}) is not unique", columns.join(", "))?,
        }
        if self.groups.is_empty() {
            return write!(f, ": {}", self.fault);
        }
        write!(f, ", rows: {}", of.rows)?;
        for group in &self.groups {
            let values: Vec<&str> = group.values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
            let more = if group.rows > group.keys.len() as u64 { ", ..." } else { "" };
            write!(f, "\n  ({}) in {}{more}", values.join(", "), group.keys.join(", "))?;
        }
        match of.groups.saturating_sub(self.groups.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Decodes the rows of [`orphans_query`] or [`duplicates_query`].
pub(super) fn read_groups(rows: &[PgRow]) -> Result<(Vec<ViolationGroup>, ViolationTotal), DatabaseError> {
    let number = |row: &PgRow, index| column::<i64>(row, index).map(i64::cast_unsigned);
    let mut total = ViolationTotal::default();
    let mut found = Vec::new();
    for row in rows {
        found.push(ViolationGroup { values: column(row, 0)?, keys: column(row, 1)?, rows: number(row, 2)? });
        total = ViolationTotal { groups: number(row, 3)?, rows: number(row, 4)? };
    }
    Ok((found, total))
}

/// Returns the query for the rows of a referencing table that have no parent row.
pub(super) fn orphans_query(foreign_key: &DetachedForeignKey) -> String {
    let columns: Vec<String> = foreign_key.columns.iter().map(|column| format!("c.{column}")).collect();
    groups_query(&format!("{} c", foreign_key.rows), &foreign_key.key, &columns, &orphan_condition(foreign_key), "")
}

/// Returns the condition that a row `c` has no parent row.
pub(super) fn orphan_condition(foreign_key: &DetachedForeignKey) -> String {
    let child = |column: &String| format!("c.{column}");
    let columns: Vec<String> = foreign_key.columns.iter().map(child).collect();
    let pairs = columns.iter().zip(&foreign_key.parent_columns).zip(&foreign_key.operators);
    let equal: Vec<String> =
        pairs.map(|((column, parent), operator)| format!("p.{parent} {operator} {column}")).collect();
    // MATCH SIMPLE accepts a row as soon as one of its columns is NULL.
    let connective = if foreign_key.is_full { " OR " } else { " AND " };
    let not_null: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    format!(
        "({}) AND NOT EXISTS (SELECT FROM {} p WHERE {})",
        not_null.join(connective),
        foreign_key.parent_rows,
        equal.join(" AND ")
    )
}

/// Returns the query for rows that have the same values as other rows.
pub(super) fn duplicates_query(unique: &UniqueRule) -> String {
    let mut conditions: Vec<String> = unique.predicate.iter().map(|predicate| format!("({predicate})")).collect();
    if !unique.nulls_are_equal {
        conditions.extend(unique.expressions.iter().map(|expression| format!("({expression}) IS NOT NULL")));
    }
    let condition = if conditions.is_empty() { "true".into() } else { conditions.join(" AND ") };
    // Without an alias: the expressions refer to the table by its own name.
    groups_query(
        &format!("ONLY {}", unique.table),
        &unique.key,
        &unique.expressions,
        &condition,
        "HAVING pg_catalog.count(*) > 1",
    )
}

fn groups_query(from: &str, key: &[String], columns: &[String], condition: &str, having: &str) -> String {
    let values: Vec<String> =
        columns.iter().map(|column| format!("pg_catalog.left(({column})::text, {MAX_CHARACTERS})")).collect();
    let key: Vec<String> = match key {
        [] => vec!["ctid::text".into()],
        key => key
            .iter()
            .map(|column| format!("coalesce(pg_catalog.left({column}::text, {MAX_CHARACTERS}), 'NULL')"))
            .collect(),
    };
    let key = key.join(" || ', ' || ");
    let key = if key.contains("||") { format!("'(' || {key} || ')'") } else { key };
    format!(
        "SELECT ARRAY[{}]::text[], (pg_catalog.array_agg({key} ORDER BY {key}))[1:{MAX_KEYS}], pg_catalog.count(*), \
         pg_catalog.count(*) OVER (), (pg_catalog.sum(pg_catalog.count(*)) OVER ())::bigint \
         FROM {from} WHERE {condition} GROUP BY {} {having} ORDER BY pg_catalog.count(*) DESC, 1 LIMIT {MAX_GROUPS}",
        values.join(", "),
        columns.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::DatabaseErrorKind;

    #[test]
    fn a_violation_names_rows_values_and_how_many_more_there_are() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let group = ViolationGroup { values: vec![Some("9".into()), None], keys: texts(&["1", "4"]), rows: 3 };
        let reference = ViolatedRule::Reference {
            columns: texts(&["x", "y"]),
            parent: "public.b".into(),
            parent_columns: texts(&["u", "v"]),
        };
        let unique = ViolatedRule::Unique { columns: texts(&["lower(name)"]) };
        for (rule, groups, of, text) in [
            (
                reference,
                vec![group.clone()],
                ViolationTotal { groups: 3, rows: 7 },
                "n: public.c (x, y) leads to nothing in public.b (u, v), rows: 7\n  (9, NULL) in 1, 4, ...\n  and 2 more",
            ),
            (
                unique.clone(),
                vec![ViolationGroup { rows: 2, ..group }],
                ViolationTotal { groups: 1, rows: 2 },
                "n: public.c (lower(name)) is not unique, rows: 2\n  (9, NULL) in 1, 4",
            ),
            (
                unique,
                Vec::new(),
                ViolationTotal::default(),
                "n: public.c (lower(name)) is not unique: the server's words",
            ),
        ] {
            let fault = DatabaseError::new(DatabaseErrorKind::Statement, "the server's words");
            let violation = Violation { table: "public.c".into(), name: "n".into(), rule, groups, total: of, fault };
            assert_eq!(violation.to_string(), text);
        }
    }
}
