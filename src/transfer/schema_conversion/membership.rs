//! The translation of IN and BETWEEN.

use super::expression::Expression;
use super::translate::{ColumnInfo, ExpressionClass, Translation, comparable, compare, compound};

/// Translates `value IN (list)`.
pub(super) fn within(
    value: &Expression,
    list: &[Expression],
    not: &str,
    columns: &[ColumnInfo<'_>],
) -> Option<Translation> {
    let mut parts = Vec::new();
    let mut shown = Vec::new();
    let mut subject = None;
    for one in list {
        let (left, right) = comparable(value, one, columns)?;
        compare(&left, "=", &right)?;
        shown.push(right.sql.clone());
        subject = Some(left.wrapped());
        parts.extend([left, right]);
    }
    let sql = format!("{} {not}IN ({})", subject?, shown.join(", "));
    Some(compound(sql, ExpressionClass::Logical).with_parts(parts))
}

/// Translates `value BETWEEN low AND high`.
pub(super) fn between(
    value: &Expression,
    ends: &[Expression; 2],
    not: &str,
    columns: &[ColumnInfo<'_>],
) -> Option<Translation> {
    let (subject, low) = comparable(value, &ends[0], columns)?;
    let (_, high) = comparable(value, &ends[1], columns)?;
    compare(&subject, "<=", &low)?;
    compare(&subject, "<=", &high)?;
    let collated = if subject.class == ExpressionClass::Text { " COLLATE \"C\"" } else { "" };
    let (low_sql, high_sql) = (low.wrapped(), high.wrapped());
    let sql = format!("{}{collated} {not}BETWEEN {low_sql} AND {high_sql}", subject.wrapped());
    Some(compound(sql, ExpressionClass::Logical).with_parts([subject, low, high]))
}
