//! Functions that have the same results in both databases.

use super::expression::Expression;
use super::translate::{ColumnInfo, ExpressionClass, Translation, call as said, text, translate};

/// Translates a call of a function, or returns `None` when the result might differ.
pub(super) fn call(name: &str, arguments: &[Expression], columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    match (name, arguments) {
        ("length", [one]) => {
            let of = translate(one, columns)?;
            let known = matches!(of.class, ExpressionClass::Text | ExpressionClass::Bytes);
            known.then(|| said(format!("length({})", of.sql), ExpressionClass::Integer, [of]))
        }
        // SQLite converts the letters of ASCII only.
        ("lower" | "upper", [one]) => {
            let of = text(one, columns)?;
            let collated = if of.is_atom() { of.sql.clone() } else { format!("({})", of.sql) };
            Some(said(format!("{name}({collated} COLLATE \"C\")"), ExpressionClass::Text, [of]))
        }
        // Both databases remove blanks only.
        ("trim" | "ltrim" | "rtrim", [one]) => {
            let of = text(one, columns)?;
            let name = if name == "trim" { "btrim" } else { name };
            Some(said(format!("{name}({})", of.sql), ExpressionClass::Text, [of]))
        }
        ("coalesce", [_, _, ..]) | ("ifnull", [_, _]) => {
            let all: Vec<Translation> = arguments.iter().map(|one| translate(one, columns)).collect::<Option<_>>()?;
            let class = all[0].class;
            let alike = all.iter().all(|one| one.class == class);
            let list: Vec<&str> = all.iter().map(|one| one.sql.as_str()).collect();
            let sql = format!("coalesce({})", list.join(", "));
            (alike && class != ExpressionClass::Other).then(|| said(sql, class, all))
        }
        _ => None,
    }
}
