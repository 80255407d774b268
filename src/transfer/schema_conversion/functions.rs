//! Functions that have the same results in both databases.

use super::translation::{self, ExpressionClass as C, Translation};

/// Translates a call of a function with translated arguments, or returns `None` when the result might differ.
pub(super) fn call(name: &str, arguments: Vec<Translation>) -> Option<Translation> {
    let (sql, class) = match (name, &arguments[..]) {
        ("length", [one]) if matches!(one.class, C::Text | C::Bytes) => (format!("length({})", one.sql), C::Integer),
        // SQLite converts the letters of ASCII only.
        ("lower" | "upper", [one]) if one.class == C::Text => {
            (format!("{name}({} COLLATE \"C\")", one.wrapped()), C::Text)
        }
        // Both databases remove blanks only.
        ("trim" | "ltrim" | "rtrim", [one]) if one.class == C::Text => {
            let name = if name == "trim" { "btrim" } else { name };
            (format!("{name}({})", one.sql), C::Text)
        }
        ("coalesce", [first, _, ..]) | ("ifnull", [first, _]) => {
            let has_same_class = arguments.iter().all(|one| one.class == first.class);
            let list: Vec<&str> = arguments.iter().map(|one| one.sql.as_str()).collect();
            let is_known = has_same_class && first.class != C::Other;
            is_known.then(|| (format!("coalesce({})", list.join(", ")), first.class))?
        }
        _ => return None,
    };
    Some(translation::call(sql, class, arguments))
}
