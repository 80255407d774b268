//! The translation of IN and BETWEEN.

use super::translation::{ExpressionClass, Translation, compare, compound};

/// Translates `value IN (list)`. Each pair is the value and a member of the list, as they can be compared.
pub(super) fn within(pairs: Vec<(Translation, Translation)>, not: &str) -> Option<Translation> {
    let mut parts = Vec::new();
    let mut members = Vec::new();
    let mut subject = None;
    for (value, member) in pairs {
        compare(&value, "=", &member)?;
        members.push(member.sql.clone());
        subject = Some(value.wrapped());
        parts.extend([value, member]);
    }
    let sql = format!("{} {not}IN ({})", subject?, members.join(", "));
    Some(compound(sql, ExpressionClass::Logical).with_parts(parts))
}

/// Translates `value BETWEEN low AND high`.
pub(super) fn between(value: Translation, low: Translation, high: Translation, not: &str) -> Option<Translation> {
    compare(&value, "<=", &low)?;
    compare(&value, "<=", &high)?;
    let collation = if value.class == ExpressionClass::Text { " COLLATE \"C\"" } else { "" };
    let (low_sql, high_sql) = (low.wrapped(), high.wrapped());
    let sql = format!("{}{collation} {not}BETWEEN {low_sql} AND {high_sql}", value.wrapped());
    Some(compound(sql, ExpressionClass::Logical).with_parts([value, low, high]))
}
