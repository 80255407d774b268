//! Quoting and operators of SQL.
//!
//! The operators of PostgreSQL are written with their schema. A search path may have a schema before `pg_catalog`, and
//! whoever can create objects in that schema decides the meaning of an operator without a schema.

use crate::dialect::Dialect;

/// The operator `=`.
pub(crate) const EQUALS: &str = "OPERATOR(pg_catalog.=)";
/// The operator `/`, whose error for a divisor of zero stops a script.
pub(crate) const DIVIDED_BY: &str = "OPERATOR(pg_catalog./)";

/// Returns an operator in the form that a statement of this dialect needs.
pub(crate) fn operator(dialect: Dialect, symbol: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("OPERATOR(pg_catalog.{symbol})"),
        Dialect::Sqlite => symbol.to_owned(),
    }
}

/// Returns a condition that a value is in a list. `IN` is not used on PostgreSQL, which looks up its operator on the
/// search path.
pub(crate) fn is_one_of(dialect: Dialect, value: &str, list: &[String]) -> String {
    let list = list.join(", ");
    match dialect {
        Dialect::Postgres => format!("{value} {EQUALS} ANY (ARRAY[{list}])"),
        Dialect::Sqlite => format!("{value} IN ({list})"),
    }
}

/// Returns a text without control characters, so that it cannot end the comment that contains it.
pub(crate) fn comment_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Returns a string literal of PostgreSQL with the same meaning whether `standard_conforming_strings` is on or off: a
/// script may have changed it, and the role or the database may have a default. NUL bytes, which no text of the server
/// can have, are left out.
pub(crate) fn literal(text: &str) -> String {
    match text.contains('\\') {
        false => sqlite_literal(text),
        true => format!("E{}", sqlite_literal(&text.replace('\\', "\\\\"))),
    }
}

/// Returns a string literal of SQLite, in which a backslash is an ordinary character. NUL bytes are left out.
pub(crate) fn sqlite_literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// Returns a quoted identifier of both dialects, without NUL bytes.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_doubles_the_quote() {
        assert_eq!(literal("O'Neil"), "'O''Neil'");
        assert_eq!(literal("O'Neil\\\0"), "E'O''Neil\\\\'");
        assert_eq!(sqlite_literal("O'Neil\\"), "'O''Neil\\'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
