//! The operators of PostgreSQL with their schema. A search path may have a schema before `pg_catalog`, and whoever can
//! create objects in that schema decides the meaning of an operator without a schema.

use crate::revision::Dialect;

/// The operator `=`.
pub const EQUALS: &str = "OPERATOR(pg_catalog.=)";
/// The operator `/`, whose error for a divisor of zero stops a script.
pub const DIVIDED_BY: &str = "OPERATOR(pg_catalog./)";

/// Returns an operator in the form that a statement of this dialect needs.
pub fn operator(dialect: Dialect, symbol: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("OPERATOR(pg_catalog.{symbol})"),
        Dialect::Sqlite => symbol.to_owned(),
    }
}

/// Returns a condition that a value is in a list. `IN` is not used on PostgreSQL, which looks up its operator on the
/// search path.
pub fn is_one_of(dialect: Dialect, value: &str, list: &[String]) -> String {
    let list = list.join(", ");
    match dialect {
        Dialect::Postgres => format!("{value} {EQUALS} ANY (ARRAY[{list}])"),
        Dialect::Sqlite => format!("{value} IN ({list})"),
    }
}
